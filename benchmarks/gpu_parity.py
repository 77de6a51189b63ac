"""The checks of `benchmarks.gpu_check`: a device finds what the CPU finds."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bench.models import Context, Pairs, Training
from bench.progress import Progress
from bench.protocols import PROTOCOLS
from benchmarks import decoding
from benchmarks.gpu_world import NumberPod, SportsPod, World
from engine.randomness import seeded
from pod import training as learning
from pod.answering import padded_states
from pod.batches import Examples, Shape, make_batch
from pod.beam import EXPLANATION, RANKING, beam_search
from pod.building import Built
from pod.constrained import score_candidates, search_items
from pod.decoder import Decoder, Memory
from pod.layout import edges_of, packed_layout
from pod.network import PodNetwork
from pod.recommender import network_of
from pod.t5 import T5Backbone
from pod.training import BEST, Learner
from pod.trie import Trie
from pod.variants import PodSettings

T = TypeVar("T")
# Largest difference of losses, of gradients over the largest one, of hidden states and scores; in bfloat16 relative to
# the loss, and the least cosine of gradients; neighbours in a list closer than TIE may swap.
FP32, BF16, COSINE, TIE = 1e-4, 2e-2, 0.99, 2e-5
# Users whose lists may differ by more than near-ties: beams of a free search may part at one on the way.
PARTED = 0.02
CHECKED = PodSettings(
    backbone="scratch:64x2",
    strategy="packed",
    batch_size=16,
    epochs=2,
    learning_rate=3e-3,
    dropout=0.1,
    whole_word_scale=0.02,
    validation_users=100,
)


def losses(world: World) -> None:
    """Loss and gradients of a step, packed and padded, in float32 and in bfloat16, against the CPU's in float32."""
    network, built = fresh(replace(CHECKED, dropout=0.0), world.few)
    examples = drawn(built, world.few, 48)
    for packed in (True, False):
        shape, name = Shape(network.vectors, packed), "packed" if packed else "padded"
        loss, wanted = gradients(network, examples, shape, "cpu")
        for kind in ("fp32", "bf16"):
            found, got = gradients(deepcopy(network).to(world.device), examples, shape, world.device, kind == "bf16")
            off = abs(found - loss) / (abs(loss) if kind == "bf16" else 1.0)
            worst = max(
                float((got[key] - each).abs().max() / each.abs().max().clamp(min=1e-6)) for key, each in wanted.items()
            )
            flat = [torch.cat([each.flatten().double() for each in side.values()]) for side in (wanted, got)]
            cosine = float(functional.cosine_similarity(flat[0], flat[1], dim=0))
            passed = off < FP32 and worst < 10 * FP32 if kind == "fp32" else off < BF16 and cosine > COSINE
            text = f"loss off by {off:.1e}, gradients by {worst:.1e} of the largest, cosine {cosine:.6f}"
            world.report.check(f"loss and gradients, {name}, {kind}", passed, text, loss=loss, off=off, worst=worst)


def gradients(
    network: PodNetwork, examples: Examples, shape: Shape, device: str, bf16: bool = False
) -> tuple[float, dict[str, Tensor]]:
    """A step's loss and gradients, on the CPU."""
    network.zero_grad()
    with torch.autocast(torch.device(device).type, torch.bfloat16) if bf16 else nullcontext():
        loss = network(make_batch(examples, shape, device), masked=True)
    loss.backward()
    found = {name: p.grad.float().cpu() for name, p in network.named_parameters() if p.grad is not None}
    return float(loss.detach()), found


def fresh(settings: PodSettings, training: Training, device: str = "cpu", kind: type = NumberPod) -> Any:
    """(network, parts) of a new model."""
    with seeded(0, device):
        built = kind(settings)._build(training, Context(0, device))
    return built.network, built


def drawn(built: Built, training: Training, samples: int) -> Examples:
    """A mixed step of so many samples."""
    model = NumberPod(replace(CHECKED, batch_size=samples))
    return model._sampler(built, training, 0).step(0, 0)


def searches(world: World) -> None:
    """Encoder, free search, explanation search, search held to ids and to candidates, scores of candidates."""
    size, full = ("tiny", True) if world.scale.users > 1000 else ("16x1", False)
    users, trie = 24 if full else 3, decoding.catalogue()
    for task in ("sequential", "explanation"):
        with mock.patch.dict(decoding.SIZES, SIZES):
            network = decoding.build_network(size, task)
        other: Any = deepcopy(network)
        other.to(world.device)
        lengths = np.sort(np.random.default_rng(3).integers(4, world.scale.tokens["sequential"] + 1, users))
        width, generator = network.config.d_model, torch.Generator().manual_seed(4)
        flat = torch.randn(int(lengths.sum()), width, generator=generator)
        there, here = (asked(net, flat, lengths) for net in (other, network))
        worst = float((there[2].cpu() - here[2]).abs().max())
        world.report.check(f"encoder, {task}", worst < FP32 * 10, f"off by {worst:.1e}", worst=worst)
        search = EXPLANATION if task == "explanation" else RANKING
        mine, theirs = (beam_search(*side[:2], search) for side in (there, here))
        compared(world, f"free search, {task}", *(listed(each.ids, each.scores) for each in (mine, theirs)))
        if task == "sequential":
            held(world, there, here, trie, users)


def held(world: World, there: Any, here: Any, trie: Trie, users: int) -> None:
    """The searches that can only spell items."""
    draw = np.random.default_rng(2)
    picked = torch.from_numpy(np.stack([draw.choice(len(trie), decoding.CANDIDATES, False) for _ in range(users)]))
    found: dict[str, list[Any]] = {}
    for (decoder, memory, _), tree in ((there, moved(trie, world.device)), (here, trie)):
        chosen = picked.to(memory.device)
        some = chosen[:, :20]
        for name, allowed in (("ids", None), ("candidates", tree.only(chosen)), ("unseen ids", tree.without(some))):
            ranked = search_items(decoder, memory, RANKING, tree, allowed)
            found.setdefault(f"search held to {name}", []).append(listed(ranked.items[..., None], ranked.scores))
        found.setdefault("scores", []).append(score_candidates(decoder, memory, tree, chosen).cpu())
    mine, theirs = found.pop("scores")
    worst = float((mine - theirs).abs().max())
    world.report.check("scores of candidates", worst < FP32, f"off by {worst:.1e}", worst=worst)
    for name, sides in found.items():
        compared(world, name, *sides)


def asked(network: Any, flat: Tensor, lengths: np.ndarray) -> tuple[Decoder, Memory, Tensor]:
    """A decoder, encoded inputs and the encoder's flat output, where the network is."""
    device = next(network.parameters()).device
    layout = packed_layout(lengths, edges_of(lengths), device)
    with torch.no_grad():
        encoded = T5Backbone(network).encode(flat.to(device), layout)
    batch: Any = SimpleNamespace(inputs=layout)
    states, real = padded_states(encoded, batch)
    decoder = Decoder(network)
    return decoder, decoder.remember(states, real), encoded


def moved(trie: Trie, device: str) -> Trie:
    """A trie on a device."""
    values = {each.name: getattr(trie, each.name) for each in fields(trie)}
    return replace(trie, **{name: value.to(device) for name, value in values.items() if isinstance(value, Tensor)})


SIZES = {
    "16x1": {"d_model": 16, "d_kv": 16, "d_ff": 64, "num_layers": 1, "num_heads": 1},
    "base": {"d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12},
}
Lists = tuple[list[list[Any]], list[list[float]]]


def listed(ids: Tensor, scores: Tensor) -> Lists:
    """(n, m, T) ids, cut at EOS, and (n, m) scores as lists."""
    rows = ids.cpu().tolist()
    lists = [[tuple(row[: row.index(1) + 1] if 1 in row[1:] else row) for row in user] for user in rows]
    return lists, scores.float().cpu().tolist()


def parted(mine: Lists, theirs: Lists) -> int:
    """Users whose two ordered lists differ by more than swaps of neighbours in score closer than TIE."""
    count = 0
    for row, other, scores in zip(mine[0], theirs[0], mine[1], strict=True):
        for place, (one, two) in enumerate(zip(row, other, strict=True)):
            if one != two and scores[place] - scores[row.index(two) if two in row else -1] > TIE:
                count += 1
                break
            if one != two and two in row and scores[row.index(two)] - scores[place] > TIE:
                count += 1
                break
    return count


def compared(world: World, name: str, mine: Lists, theirs: Lists) -> None:
    """Check that lists are the same but for near-ties, and scores close."""
    count, users = parted(mine, theirs), len(mine[0])
    pairs = zip(np.ravel(mine[1]), np.ravel(theirs[1]), strict=True)
    off = max((abs(a - b) for a, b in pairs if np.isfinite(a) and np.isfinite(b)), default=0.0)
    text = f"{users - count} of {users} users have the CPU's list, scores off by {off:.1e}"
    world.report.check(name, count <= PARTED * users, text, users=users, parted=count, off=off)


class Killed(Exception):
    """What ends a run in the middle."""


class Killing(Progress):
    """Raises Killed at a step, 0: never; counts steps and keeps lines."""

    def __init__(self, at: int = 0) -> None:
        self.at, self.steps, self.lines = at, 0, [""]

    def line(self, text: str) -> None:
        self.lines.append(text)

    def track(self, steps: Iterable[T], total: int, label: str) -> Iterator[T]:
        for step in steps:
            if label.startswith("fit"):
                self.steps += 1
                if self.steps == self.at:
                    raise Killed
            yield step


def whole(world: World) -> None:
    """Fit on the device twice, and once more killed and resumed; ask the weights there and on the CPU."""
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(learning, "_CHECK_EVERY", 3),
        mock.patch.object(learning, "_CHECKPOINT_EVERY_S", 0.0),
    ):
        counting = Killing()
        first = fitted(world, Path(folder) / "first", counting)
        again = fitted(world, Path(folder) / "again", Killing())
        try:
            fitted(world, Path(folder) / "killed", Killing(counting.steps * 3 // 4))
        except Killed:
            world.report.say("killed in the second epoch")
        progress = Killing()
        resumed = fitted(world, Path(folder) / "killed", progress)
        noise, off = apart(first, again), apart(first, resumed)
        went_on = any("resumed" in line for line in progress.lines) and progress.steps < counting.steps
        # Some kernels add up in any order: what two uninterrupted runs differ by, a resumed one may too.
        passed = went_on and off <= max(1e-4, 10 * noise)
        text = f"weights off by {off:.1e}, those of a second whole run by {noise:.1e}; {progress.steps} steps again"
        world.report.check("killed and resumed", passed, text, off=off, noise=noise)
        for name in ("sound", "published"):
            answered(world, Path(folder) / "first" / BEST, name)


def fitted(world: World, folder: Path, progress: Progress) -> dict[str, Tensor]:
    """The weights of a fit on the device."""
    context = Context(0, world.device, checkpoint=folder, progress=progress, offline=True)
    model = NumberPod(CHECKED)
    model.fit(world.few, context)
    return {name: tensor.cpu() for name, tensor in network_of(model).state_dict().items()}


def apart(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The largest difference of two models' weights."""
    return max(float((tensor - other[name]).abs().max()) for name, tensor in one.items())


def answered(world: World, weights: Path, protocol: str) -> None:
    """Lists and sentences of the same weights on the device and on the CPU under a protocol."""
    training = replace(world.few, protocol=PROTOCOLS[protocol])
    settings = replace(CHECKED, strategy="fastest", prompts=3, inference_batch=8)
    models = []
    for device in (world.device, "cpu"):
        model = NumberPod(settings)
        with mock.patch("pod.recommender.check_origin"):  # another protocol asks the same weights
            model.restore(weights, training, Context(0, device, offline=True))
        models.append(model)
    few = np.arange(min(40, training.n_users // 2))
    for task in ("sequential", "topn"):
        queries = replace(training.validation[task].queries, keep_history=training.protocol.keep_history).take(few)
        rankings = [model.rank(queries) for model in models]
        if protocol == "sound":
            sides = [(each.items.tolist(), each.scores.tolist()) for each in rankings]
        else:  # before what names no item is filled in at random, in the order of the list
            generated = [model._answerer._generated(queries) for model in models]
            sides = [(items.tolist(), scores.tolist()) for items, scores in generated]
        compared(world, f"{protocol}, {task}", *sides)
    pairs = (training.explanations or (Pairs(few, few),))[0]
    asked_of = Pairs(pairs.users[few], pairs.items[few])
    same = np.mean([a == b for a, b in zip(*(model.explain(asked_of) for model in models), strict=True)])
    world.report.check(f"{protocol}, sentences", bool(same >= 1 - PARTED), f"{same:.1%} the same", same=float(same))


def memory(world: World) -> None:
    """Out of memory: a step is halved until it fits, with the same loss and weights."""
    size, kind = ("scratch:small", SportsPod) if world.scale.users > 1000 else ("scratch:16x1", NumberPod)
    settings = replace(CHECKED, backbone=size, dropout=0.0, strategy="sample-mixed", batch_size=world.scale.batch)
    network, built = fresh(settings, world.few, world.device, kind)
    examples = kind(settings)._sampler(built, world.few, 0).step(0, 0)
    results = []
    room = 0
    for limited in (False, True):
        progress, parts = Killing(), replace(built, network=deepcopy(network).train())
        learner = learner_of(kind(settings), parts, world.few, Context(0, world.device, progress=progress))
        before = _allocated(world.device)
        with limit(world.device, before + int(0.6 * room), len(examples)) if limited else nullcontext():
            loss = float(learner._step(examples, 1.0))
        room = _peak(world.device) - before
        results.append((loss, learner.standing.parts, {k: v.cpu() for k, v in parts.network.state_dict().items()}))
        said = sum("out of memory" in line for line in progress.lines)
    (loss, _, weights), (found, count, other) = results
    off = apart(weights, other)
    # The first step of AdamW moves every weight by the rate whatever its gradient: one whose sign is noise, by two.
    share = float(np.mean([float((weights[n] - other[n]).abs().gt(1e-5).float().mean()) for n in weights]))
    passed = count > 1 and said > 0 and abs(loss - found) < FP32 and share < 0.02
    text = (
        f"{count} parts, loss off by {abs(loss - found):.1e}, {share:.2%} of weights off by more than 1e-5 ({off:.1e})"
    )
    world.report.check("out of memory", passed, text, parts=count, off=off)


@contextmanager
def limit(device: str, size: int, samples: int) -> Iterator[None]:
    """Let the process have so many bytes of the device; on a CPU, steps of more than half the samples fail."""
    if torch.device(device).type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        whole = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, size / whole))
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        return
    real = learning.make_batch

    def limited(examples: Examples, *rest: Any, **more: Any) -> Any:
        if len(examples) > (samples + 1) // 2:
            raise torch.OutOfMemoryError("made up")
        return real(examples, *rest, **more)

    with mock.patch.object(learning, "make_batch", limited):
        yield


def learner_of(model: NumberPod, built: Built, training: Training, context: Context) -> Learner:
    """What makes a model's steps."""
    sampler, shape = model._sampler(built, training, 0), model._shape(training)
    plan, masked = model._plan(training), model._masked(training)
    return Learner(built.network, sampler, plan, shape, lambda _: {}, context, masked=masked, origin={})


def _allocated(device: str) -> int:
    """Bytes in use, from where the peak counts anew."""
    if torch.device(device).type != "cuda":
        return 0
    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated()


def _peak(device: str) -> int:
    return torch.cuda.max_memory_allocated() if torch.device(device).type == "cuda" else 0
