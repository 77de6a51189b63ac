"""What decoding costs, ours against the authors' way, both in one process by turns.

    python -m benchmarks.decoding [--quick] [--rounds 3] [SHAPE ...]

The authors' way (PUBLISHED.md line 22): inputs are repeated once a beam before the encoder, every beam keeps keys and
values of the input for itself and reorders them at each step, log-probabilities over the vocabulary are sorted a user
at a time with bookkeeping in lists, and a batch runs until its last user is through. It is `pod.plain`, with
attention spelt out as in the version of transformers they used (4.18 knows no other). Explanation: their 21
beams in 3 groups, our 7. Ours is what the suite runs, but for the input embeddings. `generate` is transformers' search
of today, which encodes once; `catalogue`, `candidates` and `scores` are ours, held to ids of items.

Networks have random weights but for the vocabulary head, which is drawn so that lists look like those of a trained
model: ids of two or three pieces and EOS, sentences of some 15 words. Both sides must find the same lists.
Costs are CPU-seconds of one thread, both sides with the same allocator settings. The floor is the time that the
multiplications of our side would take at the rate of a large matrix product, the faster of MKL's and oneDNN's.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from transformers import T5Config, T5ForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from bench.efficiency import keep_freed_memory
from bench.ragged import Ragged
from benchmarks.measure import Costs, figures, gigaflops
from engine.randomness import seeded
from pod import kernels
from pod.beam import EXPLANATION, RANKING, Hypotheses, Search, beam_search
from pod.constrained import score_candidates, search_items
from pod.decoder import Decoder, Memory
from pod.layout import padded_layout
from pod.plain import plain_search
from pod.t5 import T5Backbone
from pod.trie import Trie

EOS, VOCABULARY, CANDIDATES = 1, 32128, 100


@dataclass(frozen=True)
class Shape:
    """tokens: of an input, prompt vectors included. users: in a batch of ours. plain: in a batch of the authors' way.

    bar: how many times cheaper ours has to be, in CPU-seconds a user; 0: none was set.
    """

    size: str
    task: str
    tokens: int
    users: int
    plain: int
    bar: float = 0.0


SHAPES = {
    "small-sequential": Shape("small", "sequential", 88, 16, 2, 8.0),
    "small-topn": Shape("small", "topn", 440, 8, 1, 15.0),
    "small-explanation": Shape("small", "explanation", 12, 16, 4, 3.0),
    "tiny-sequential": Shape("tiny", "sequential", 88, 64, 64, 4.0),
    "tiny-topn": Shape("tiny", "topn", 440, 64, 8, 15.0),
    "tiny-explanation": Shape("tiny", "explanation", 12, 64, 64),
}
SIZES: dict[str, dict[str, int]] = {
    "small": {"d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_heads": 8},
    "tiny": {"d_model": 64, "d_kv": 16, "d_ff": 256, "num_layers": 2, "num_heads": 4},
}


# Pieces of ids by place, as many as T5's tokenizer has for the numbers from 1 to 12,101, and words of sentences.
FIRST, SECOND, THIRD = np.arange(100, 295), np.arange(300, 582), np.arange(600, 694)
WORDS = np.arange(1000, 4000)
_REST = 0.02
# Kinds of tokens and what follows them with which probability.
CHAINS: dict[str, list[tuple[Any, list[tuple[Any, float]]]]] = {
    "explanation": [([0], [(WORDS, 0.98)]), (WORDS, [(WORDS, 0.68), ([EOS], 0.3)])],
    "ids": [
        ([0], [(FIRST, 0.98)]),
        (FIRST, [(SECOND, 0.96), ([EOS], 0.02)]),
        (SECOND, [([EOS], 0.66), (THIRD, 0.32)]),
        (THIRD, [([EOS], 0.98)]),
    ],
}


def build_network(size: str, task: str, attention: str = "sdpa", seed: int = 0) -> T5ForConditionalGeneration:
    """Random weights, but that the head tells by the kind of the last token which kind comes next, and how surely.

    After tokens of a kind one dimension of the embedding is large; the head reads it as the logarithms of the next
    kinds' probabilities. What remains, _REST, is spread over the whole vocabulary.
    """
    config = T5Config(vocab_size=VOCABULARY, tie_word_embeddings=False, decoder_start_token_id=0, **SIZES[size])
    chains = CHAINS["explanation" if task == "explanation" else "ids"]
    with seeded(seed, "cpu"), torch.no_grad():
        network = T5ForConditionalGeneration(config).eval()
        network.set_attn_implementation(attention)
        network.lm_head.weight = torch.nn.Parameter(torch.empty(VOCABULARY, config.d_model))  # tied till now
        head, embedding, width = network.lm_head.weight, network.shared.weight, config.d_model
        head.normal_(std=1.5 / width**0.5)
        head[:, : len(chains)] = embedding[:, : len(chains)] = 0.0
        for kind, (tokens, _) in enumerate(chains):
            embedding[torch.as_tensor(tokens), kind] = 1.5 * width**0.5
        read = torch.tensor([[int(tokens[0]) for tokens, _ in chains]])
        encoded = encode(network, torch.randn(8, 100, width))
        hidden = network.decoder(input_ids=read.expand(8, -1), encoder_hidden_states=encoded).last_hidden_state
        for kind, (_, following) in enumerate(chains):
            for tokens, share in following:
                strength = math.log(share / len(tokens)) - math.log(_REST / VOCABULARY)
                head[torch.as_tensor(tokens), kind] = strength / hidden[:, kind, kind].mean()
    return network


def catalogue(seed: int = 0) -> Trie:
    """12,101 ids that the network spells: 194 of one piece, 7,958 of two, the others of three, as T5 cuts Beauty's."""
    draw = np.random.default_rng(seed)
    pairs = [(int(a), int(b)) for a in FIRST for b in SECOND]
    pairs = [pairs[place] for place in draw.permutation(len(pairs))]
    short = [*((int(a),) for a in FIRST[:194]), *pairs[:7958]]
    long = [(*pairs[place], int(draw.choice(THIRD))) for place in range(7958, 7958 + 3949)]
    return Trie.build(Ragged.from_rows([(*row, EOS) for row in short + long]), EOS)


@torch.no_grad()
def encode(network: T5ForConditionalGeneration, embedded: Tensor) -> Tensor:
    """(n, L, d) inputs, with a mask as batches of unequal length have it, to the encoder's output."""
    mask = torch.ones(embedded.shape[:2], dtype=torch.int64)
    return network.encoder(inputs_embeds=embedded, attention_mask=mask).last_hidden_state


def plain(
    network: T5ForConditionalGeneration, embedded: Tensor, search: Search, groups: int = 1
) -> list[list[tuple[int, ...]]]:
    """The authors' way: (n, L, d) inputs to each user's lists, best first. Groups have search.beams each."""
    real = torch.ones(embedded.shape[:2], dtype=torch.bool, device=embedded.device)
    found, _ = plain_search(T5Backbone(network), embedded, real, search, groups=groups)
    return [[ids for _, ids in user] for user in found]


def generate(network: T5ForConditionalGeneration, embedded: Tensor, search: Search) -> Any:
    """Today's transformers, for comparison: it encodes once a user and has a batched search, with caches a beam."""
    return network.generate(
        encoder_outputs=BaseModelOutput(last_hidden_state=encode(network, embedded)),
        attention_mask=torch.ones(embedded.shape[:2], dtype=torch.int64),
        num_beams=search.beams,
        num_return_sequences=search.returned,
        max_length=search.max_length,
        min_length=search.min_length,
        early_stopping=True,
    )


def measure(name: str, rounds: int) -> dict[str, Any]:
    """Every way of decoding one shape by turns, in this process."""
    shape = SHAPES[name]
    torch.set_num_threads(1)
    keep_freed_memory()
    network = build_network(shape.size, shape.task)
    theirs = build_network(shape.size, shape.task, "eager")
    backbone, layout = T5Backbone(network), padded_layout(np.full(shape.users, shape.tokens), shape.tokens, "cpu")
    embedded = torch.randn(
        shape.users, shape.tokens, network.config.d_model, generator=torch.Generator().manual_seed(1)
    )
    few, decoder = embedded[: shape.plain], Decoder(network)

    @torch.no_grad()
    def encoded() -> Tensor:
        return backbone.encode(embedded.flatten(0, 1), layout).view(embedded.shape)

    def asked() -> tuple[Decoder, Memory]:
        """Encoded and projected once a user."""
        return decoder, decoder.remember(encoded())

    search, groups = (EXPLANATION, 3) if shape.task == "explanation" else (RANKING, 1)
    ways: dict[str, tuple[Callable[[], Any], int]] = {
        "authors": (lambda: plain(theirs, few, search, groups), shape.plain),
        "ours": (lambda: beam_search(*asked(), search), shape.users),
        "encoder": (encoded, shape.users),
        "generate": (lambda: generate(network, embedded, search), shape.users),
    }
    if shape.task != "explanation":
        ways |= constrained_ways(asked, shape)
    for work, _ in ways.values():
        work()  # what the allocator keeps from here on is not paid for below
    # oneDNN's products are not counted.
    with mock.patch.object(kernels, "_onednn", lambda: None), FlopCounterMode(display=False) as counter:
        ways["ours"][0]()
    found: dict[str, Any] = {}
    costs = {way: Costs() for way in ways}
    rates = [max(gigaflops(), gigaflops(kernels.linear))]
    for _ in range(rounds):
        for way, (work, users) in ways.items():
            found[way] = costs[way].run(work, users)
        rates.append(max(gigaflops(), gigaflops(kernels.linear)))
    return {
        "gigaflops": median(rates),
        "operations": counter.get_total_flops() / shape.users,
        "costs": {way: asdict(cost) for way, cost in costs.items()},
        **compared(found["authors"], found["ours"]),
    }


def constrained_ways(
    asked: Callable[[], tuple[Decoder, Memory]], shape: Shape
) -> dict[str, tuple[Callable[[], Any], int]]:
    """The sound protocol's ways: any item of the catalogue, the best candidates, all candidates' scores."""
    trie = catalogue()
    draw = np.random.default_rng(2)
    chosen = [draw.choice(len(trie), CANDIDATES, replace=False) for _ in range(shape.users)]
    candidates = torch.from_numpy(np.stack(chosen))
    return {
        "catalogue": (lambda: search_items(*asked(), RANKING, trie), shape.users),
        "candidates": (lambda: search_items(*asked(), RANKING, trie, trie.only(candidates)), shape.users),
        "scores": (lambda: score_candidates(*asked(), trie, candidates), shape.users),
    }


def compared(theirs: list[list[tuple[int, ...]]], mine: Hypotheses) -> dict[str, Any]:
    """How many of the users have the same list, and how long hypotheses are."""
    lists = [[tuple(row[: row.index(EOS) + 1] if EOS in row else row) for row in user] for user in mine.ids.tolist()]
    same = sum(a == b for a, b in zip(theirs, lists, strict=False))
    lengths = [len(row) for user in lists for row in user]
    return {"same": same, "compared": len(theirs), "length": sum(lengths) / len(lengths), "longest": max(lengths)}


def report(name: str, found: dict[str, Any]) -> bool:
    """Print a shape's figures; whether its bars are met."""
    shape, costs = SHAPES[name], found["costs"]
    cpu = {way: median(cost["cpu"]) for way, cost in costs.items()}
    floor = found["operations"] / found["gigaflops"] / 1e9
    ratio = cpu["authors"] / cpu["ours"]
    lengths = f"{found['length']:.1f} ids on average, {found['longest']} at most"
    print(f"\n{name}: {shape.tokens} tokens in, hypotheses of {lengths}")
    for way, cost in costs.items():
        spread = f"{min(cost['cpu']):.4f} to {max(cost['cpu']):.4f}"
        wall = median(cost["wall"])
        print(f"  {way:<11}{cpu[way]:>9.4f} CPU-s a user ({spread}){wall:>9.4f} s wall{1 / wall:>9.1f} users/s")
    met = ratio >= shape.bar and found["same"] == found["compared"]
    bar = f"bar {shape.bar:g}" if shape.bar else "no bar"
    print(f"  authors / ours {ratio:.1f} ({bar}); same lists for {found['same']} of {found['compared']} users")
    print(
        f"  {found['operations'] / 1e9:.2f} GFLOP a user at {found['gigaflops']:.0f} GFLOP/s: floor {floor:.4f} s,"
        f" {floor / cpu['ours']:.0%} of it reached"
    )
    if "catalogue" in cpu:
        search = cpu["ours"] - cpu["encoder"]
        shares = {way: (cpu[way] - cpu["encoder"]) / search for way in ("catalogue", "candidates", "scores")}
        figures = ", ".join(f"{way} {share:.2f}" for way, share in shares.items())
        print(f"  without the encoder, of ours: {figures} (bar for the first two: 1)")
        met = met and shares["catalogue"] <= 1 and shares["candidates"] <= 1
    print("  met" if met else "  MISSED", flush=True)
    return met


def main() -> int:
    """Print every shape's costs and verdict; the number of shapes that miss a bar is the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapes", nargs="*", choices=[[], *SHAPES], metavar="SHAPE", help=", ".join(SHAPES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="tiny shapes, one round")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(args.measure, args.rounds)))
        return 0
    names = args.shapes or [name for name in SHAPES if not args.quick or name.startswith("tiny")]
    rounds = str(1 if args.quick else args.rounds)
    measured = (figures("benchmarks.decoding", "--measure", name, "--rounds", rounds) for name in names)
    return sum(not report(name, found) for name, found in zip(names, measured, strict=True))


if __name__ == "__main__":
    sys.exit(main())
