"""What `benchmarks.scale` makes grow: shops of any size, the suite's functions on them, searches over any catalogue."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.data.dataset import Dataset
from bench.models import Training
from bench.protocols import PROTOCOLS
from bench.ragged import Ragged, offsets_of
from bench.runs.execute import training_data
from bench.splits import Split, draw_negatives, make_split
from bench.tasks import LIST_LENGTH, Ranking, judge, make_queries
from benchmarks.decoding import CANDIDATES, EOS, FIRST, SECOND, THIRD, build_network
from engine.randomness import seeded
from pod.backbone import build_backbone
from pod.batches import Examples, Shape, make_batch
from pod.beam import Search, beam_search
from pod.constrained import score_candidates, search_items
from pod.decoder import Decoder, Memory
from pod.layout import padded_layout
from pod.network import PodNetwork
from pod.render import Renderer
from pod.samples import HISTORY, Drawing, Sampler
from pod.scratch_tokenizer import train_tokenizer
from pod.t5 import T5Backbone
from pod.templates import load_templates
from pod.tokens import Tokenizer
from pod.trie import Trie

VECTORS, BATCH, ROWS, BEAMS = 3, 64, 4775, 20
LINEAR, SUBLINEAR = 1.1, 1.0
LENGTH = 8  # items a user where the length of histories is not what grows, as in Beauty
TOKENS = 88  # of an input where nothing else decides it


@dataclass(frozen=True)
class Prepared:
    """work: what is timed, the same amount each time. amount: how much of the axis' unit it handles."""

    work: Callable[[], Any]
    amount: float


@dataclass(frozen=True)
class Growth:
    """One operation along one axis.

    axis:    "users", "items", "tokens", "history" or "beams"; what amounts count, but for "history": tokens there.
    sizes:   ascending. prepare: set-up of one size, not timed.
    bar:     the largest exponent allowed; None: it is only reported. strict: the bar itself is not allowed.
    fitted:  how many of the sizes, from the smallest, the exponent is fitted to; 0: all.
    """

    operation: str
    axis: str
    sizes: tuple[int, ...]
    prepare: Callable[[int], Prepared]
    bar: float | None = None
    strict: bool = False
    fitted: int = 0


@dataclass(frozen=True)
class Sizes:
    """The sizes along each axis. searched: users in a search's batch. batches: samples a training step."""

    users: tuple[int, ...] = (2_000, 8_000, 32_000)
    drawn: tuple[int, ...] = (1_000, 4_000, 16_000)
    searched: tuple[int, ...] = (16, 64, 256)
    batches: tuple[int, ...] = (16, 64, 256)
    items: tuple[int, ...] = (500, 5_000, 50_000)
    history: tuple[int, ...] = (5, 10, 20, 40, 80)
    beams: tuple[int, ...] = (5, 10, 20, 50)


QUICK = Sizes((100, 400), (64, 256), (2, 8), (4, 16), (600, 3000), (5, 20, 40), (2, 8))


def shop(users: int, items: int, length: int = LENGTH) -> Dataset:
    """Every user walks the catalogue in steps of an own width: `length` distinct items, and 120 more to go on with."""
    walked = walk(users, items, length, 0, length)
    names = tuple(map(str, range(users))), tuple(map(str, range(items)))
    sequences = Ragged(walked.astype(np.int32).ravel(), offsets_of(np.full(users, length)))
    return Dataset("generated", "generated", *names, sequences)


def walk(users: int, items: int, length: int, first: int, places: int) -> Any:
    """(users, places) items of each user's walk from place `first` on; distinct below place length + 120."""
    rng = np.random.default_rng(1)
    start = rng.integers(0, items, (users, 1))
    step = rng.integers(1, max(2, (items - 1) // (length + 120)), (users, 1))
    return (start + step * np.arange(first, first + places)) % items


def referee(sizes: Sizes) -> list[Growth]:
    """Splitting, drawing candidates and judging."""

    def split(users: int, items: int) -> Callable[[], Any]:
        data = shop(users, items)
        return lambda: make_split(data)

    def negatives(users: int, items: int) -> Callable[[], Any]:
        histories, asked = shop(users, items).sequences, np.arange(users)
        return lambda: draw_negatives(histories, items, asked, np.random.default_rng(2))

    def catalogue_lists(users: int, items: int) -> Callable[[], Any]:
        return judging(
            make_split(shop(users, items)), walk(users, items, LENGTH, LENGTH - 1, LIST_LENGTH), "sequential"
        )

    def candidate_lists(users: int, items: int) -> Callable[[], Any]:
        split = make_split(shop(users, items))
        return judging(split, split.candidates["test"][:, :LIST_LENGTH], "topn")

    found = []
    for name, make in (
        ("splitting", split),
        ("top-N candidates", negatives),
        ("judging, catalogue", catalogue_lists),
        ("judging, candidates", candidate_lists),
    ):
        of_users = lambda n, make=make: Prepared(make(n, 5_000), n)  # noqa: E731
        of_items = lambda n, make=make: Prepared(make(sizes.users[0], n), n)  # noqa: E731
        found.append(Growth(name, "users", sizes.users, of_users, LINEAR))
        found.append(Growth(name, "items", sizes.items, of_items))
    return found


def judging(split: Split, lists: Any, task: Any) -> Callable[[], Any]:
    """The referee on these lists, (n, 20) items."""
    queries, truth = make_queries(split, task, "test"), split.truth("test")
    ranking = Ranking(lists.astype(np.int32), np.zeros(lists.shape, np.float32))
    return lambda: judge(ranking, queries, truth)


@lru_cache(maxsize=1)
def tokenizer() -> Tokenizer:
    """One for all sizes, trained on names and the words of templates."""
    templates = load_templates()
    words = [template.fill("", []) for task in templates.bare for template in templates.of(task)]
    return train_tokenizer([*(f"user_{number} item_{number}" for number in range(1, 2001)), *words])


def sampler(users: int, items: int, length: int) -> Sampler:
    """POD's sampler of sequential and top-N samples, packed steps of 64."""
    training: Training = training_data(
        make_split(shop(users, items, length)), ("sequential", "topn"), PROTOCOLS["sound"]
    )
    renderer = Renderer(tokenizer(), np.arange(1, users + 1), training.item_numbers)
    return Sampler(
        training, renderer, load_templates(), Drawing("packed", {"sequential": BATCH, "topn": BATCH}, BATCH), 0
    )


def questions(users: int, history: int) -> Examples:
    """The sequential samples of so many users whose histories are so long before they are cut at 20."""
    drawn = sampler(users, 5_000, history + 2)
    return drawn.validation("sequential", load_templates().bare["sequential"], 0)


def samples(sizes: Sizes) -> list[Growth]:
    """Drawing, writing and laying out the samples of an epoch's steps; those of a step by the length of histories."""

    def epoch(users: int, items: int) -> Callable[[], Any]:
        drawn = sampler(users, items, LENGTH)
        epochs = iter(range(1_000_000))

        def work() -> None:
            number = next(epochs)  # the plan of an epoch is kept, so each time another
            for step in range(drawn.steps):
                make_batch(drawn.step(number, step), Shape(VECTORS), "cpu")

        return work

    def step(history: int) -> Prepared:
        drawn, template = sampler(BATCH, 5_000, history + 2), load_templates().bare["sequential"]
        tokens = len(questions(BATCH, history).ids.values)
        return Prepared(lambda: make_batch(drawn.validation("sequential", template, 0), Shape(VECTORS), "cpu"), tokens)

    name = "preparing samples"
    return [
        Growth(name, "users", sizes.drawn, lambda n: Prepared(epoch(n, 5_000), n), LINEAR),
        Growth(name, "items", sizes.items, lambda n: Prepared(epoch(sizes.drawn[0], n), n)),
        Growth(name, "history", sizes.history, step, LINEAR, fitted=_uncut(sizes)),
    ]


class Trainer:
    """POD's network at width 64 with its optimiser; `step` is an update on a packed batch."""

    def __init__(self) -> None:
        with seeded(0, "cpu"):
            self._network = PodNetwork(T5Backbone(build_backbone("scratch:mini", ROWS).network), VECTORS).train()
        self._optimizer = torch.optim.AdamW(self._network.parameters(), 5e-4, fused=True)

    def step(self, examples: Examples) -> None:
        """Lay out, forward, backward, update."""
        self._optimizer.zero_grad()
        self._network(make_batch(examples, Shape(VECTORS), "cpu"), masked=True).backward()
        self._optimizer.step()


def training(sizes: Sizes) -> list[Growth]:
    """A step by its samples and by the length of histories, amounts in tokens, prompt vectors included."""
    trainer = Trainer()

    def step(users: int, history: int) -> Prepared:
        examples = questions(users, history)
        return Prepared(lambda: trainer.step(examples), len(examples.ids.values) + VECTORS * users)

    by_history = lambda history: step(BATCH, history)  # noqa: E731
    return [
        Growth("training step", "tokens", sizes.batches, lambda n: step(n, HISTORY), LINEAR),
        Growth("training step", "history", sizes.history, by_history, LINEAR, fitted=_uncut(sizes)),
    ]


def spelled(items: int, seed: int = 0) -> Trie:
    """Ids as T5 cuts numbers counted up from 1: 194 of one piece, then 7,958 of two, then three.

    The first 12,101 are as many of each kind as in `benchmarks.decoding.catalogue`. At most 55,184.
    """
    draw = np.random.default_rng(seed)
    pairs = draw.permutation([(int(a), int(b)) for a in FIRST for b in SECOND]).tolist()
    short = [*([int(a)] for a in FIRST[:194]), *pairs[:7958]]
    long = [[*pair, int(draw.choice(THIRD))] for pair in pairs[7958 : max(7958, 7958 + items - len(short))]]
    return Trie.build(Ragged.from_rows([[*row, EOS] for row in (short + long)[:items]]), EOS)


class Asked:
    """The network of `benchmarks.decoding`, width 64, and what it remembers of random inputs."""

    def __init__(self) -> None:
        self.network = build_network("tiny", "sequential")
        self.decoder = Decoder(self.network)
        self._backbone = T5Backbone(self.network)

    def embedded(self, users: int, tokens: int) -> Tensor:
        return torch.randn(users, tokens, self._backbone.width, generator=torch.Generator().manual_seed(1))

    @torch.no_grad()
    def encode(self, embedded: Tensor) -> Tensor:
        layout = padded_layout(np.full(len(embedded), embedded.shape[1]), embedded.shape[1], "cpu")
        return self._backbone.encode(embedded.flatten(0, 1), layout).view(embedded.shape)

    def memory(self, users: int, tokens: int = TOKENS) -> Memory:
        return self.decoder.remember(self.encode(self.embedded(users, tokens)))

    @cached_property
    def ways(self) -> Mapping[str, Callable[[int, int, int, int], Callable[[], Any]]]:
        """Each way of asking by name, from users, items, beams and tokens; the encoder is only in its own."""
        decoder = self.decoder

        def encoder(users: int, items: int, beams: int, tokens: int) -> Callable[[], Any]:
            embedded = self.embedded(users, tokens)
            return lambda: decoder.remember(self.encode(embedded))

        def free(users: int, items: int, beams: int, tokens: int) -> Callable[[], Any]:
            memory = self.memory(users, tokens)
            return lambda: beam_search(decoder, memory, Search(beams, beams))

        def constrained(users: int, items: int, beams: int, tokens: int) -> Callable[[], Any]:
            memory, trie = self.memory(users, tokens), spelled(items)
            allowed = trie.without(some(users, items, HISTORY))
            return lambda: search_items(decoder, memory, Search(beams, beams), trie, allowed)

        def scores(users: int, items: int, beams: int, tokens: int) -> Callable[[], Any]:
            memory, trie, candidates = self.memory(users, tokens), spelled(items), some(users, items, CANDIDATES)
            return lambda: score_candidates(decoder, memory, trie, candidates)

        return {"encoder": encoder, "free search": free, "constrained search": constrained, "candidate scores": scores}


def some(users: int, items: int, count: int) -> Tensor:
    """(users, count) items, distinct in each row."""
    draw = np.random.default_rng(2)
    return torch.from_numpy(np.stack([draw.choice(items, count, replace=False) for _ in range(users)]))


def decoding(sizes: Sizes) -> list[Growth]:
    """The encoder, both searches and the scores of candidates, of a batch."""
    asked, middle, catalogue = Asked(), sizes.searched[1], sizes.items[1]
    found = []
    for name, way in asked.ways.items():
        users = lambda n, way=way: Prepared(way(n, catalogue, BEAMS, TOKENS), n)  # noqa: E731
        items = lambda n, way=way: Prepared(way(middle, n, BEAMS, TOKENS), n)  # noqa: E731
        beams = lambda n, way=way: Prepared(way(middle, catalogue, n, TOKENS), n)  # noqa: E731
        history = lambda n, way=way: _by_history(way, middle, catalogue, n)  # noqa: E731
        found.append(Growth(name, "users", sizes.searched, users, LINEAR))
        found.append(Growth(name, "history", sizes.history, history, LINEAR, fitted=_uncut(sizes)))
        if name == "constrained search":
            found.append(Growth(name, "items", sizes.items, items, SUBLINEAR, strict=True))
        if name == "candidate scores":
            found.append(Growth(name, "items", sizes.items, items))
        if "search" in name:
            found.append(Growth(name, "beams", sizes.beams, beams))
    return found


def _by_history(way: Callable[..., Callable[[], Any]], users: int, items: int, history: int) -> Prepared:
    """One way of asking about inputs as long as those of such histories are on average."""
    tokens = round(len(questions(users, history).ids.values) / users) + VECTORS
    return Prepared(way(users, items, BEAMS, tokens), tokens * users)


def _uncut(sizes: Sizes) -> int:
    return sum(history <= HISTORY for history in sizes.history)


def growths(sizes: Sizes) -> list[Growth]:
    """All that is measured."""
    return [*referee(sizes), *samples(sizes), *training(sizes), *decoding(sizes)]
