"""What `benchmarks.gpu_check` works on: a generated shop, texts written as numbers without any tokenizer, POD on them.

A GPU machine may have neither SentencePiece nor the files of T5's tokenizer: names of users and items are cut into
pairs of digits here and words into one token each, which comes to about as many tokens as T5's pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from zlib import crc32

import numpy as np

from bench.data.dataset import Dataset
from bench.models import Context, Pairs, Training
from bench.protocols import PROTOCOLS
from bench.ragged import IntArray, Ragged, offsets_of
from bench.runs.execute import training_data
from bench.splits import make_split
from benchmarks.gpu_report import Report
from pod.backbone import build_backbone
from pod.building import Built
from pod.network import PodNetwork
from pod.recommender import Pod
from pod.render import Tokens
from pod.t5 import T5Backbone
from pod.templates import Template, load_templates

EOS, USER, ITEM, MARK, DIGIT, PAIR, WORD = 1, 3, 4, 5, 6, 16, 116


@dataclass(frozen=True)
class Scale:
    """How large everything is.

    users, items, sentences: of the shop that is trained on. few: users and items of the shop for checks.
    rows:  of the vocabulary. sizes: of backbones. batch: samples a step. users_asked: in a batch of the authors' way.
    tokens: of an input of each task. rounds: of everything that is timed. matrix: side of the largest product.
    """

    users: int
    items: int
    sentences: int
    few: tuple[int, int]
    rows: int
    sizes: tuple[str, ...]
    batch: int
    users_asked: int
    tokens: dict[str, int]
    rounds: int
    matrix: int


# Sports and Outdoors, as in the paper's Table 1, and T5's vocabulary; the lengths are those of benchmarks/decoding.py.
SPORTS = Scale(
    users=35598,
    items=18357,
    sentences=50000,
    few=(600, 400),
    rows=32128,
    sizes=("small", "base"),
    batch=64,
    users_asked=32,
    tokens={"sequential": 88, "topn": 440, "explanation": 12},
    rounds=5,
    matrix=8192,
)
REHEARSAL = Scale(
    users=60,
    items=50,
    sentences=80,
    few=(60, 50),
    rows=400,
    sizes=("16x1",),
    batch=8,
    users_asked=2,
    tokens={"sequential": 12, "topn": 20, "explanation": 6},
    rounds=2,
    matrix=128,
)


@dataclass(frozen=True)
class World:
    """The device, how large everything is, and where findings go."""

    device: str
    scale: Scale
    report: Report
    facts: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def training(self) -> Training:
        """The shop that is trained on."""
        return shop(self.scale.users, self.scale.items, self.scale.sentences)

    @cached_property
    def few(self) -> Training:
        """The small shop of the checks."""
        return shop(*self.scale.few, sentences=self.scale.sentences // 100 + 60)


def shop(users: int, items: int, sentences: int, seed: int = 7) -> Training:
    """About 8 items a user, popular ones more often, and a sentence on some of the training interactions."""
    rng = np.random.default_rng(seed)
    lengths = np.minimum(4 + rng.geometric(0.2, users), items // 2)
    weights = 1.0 / (1.0 + rng.permutation(items)) ** 0.8
    drawn = np.searchsorted(np.cumsum(weights / weights.sum()), rng.random(int(lengths.sum()))).clip(max=items - 1)
    owners = np.repeat(np.arange(users), lengths)
    first = np.sort(np.unique(owners * items + drawn, return_index=True)[1])
    kept = np.bincount(owners[first], minlength=users)
    names = tuple(map(str, range(users))), tuple(map(str, range(items)))
    data = Dataset("generated", "generated", *names, Ragged(drawn[first].astype(np.int32), offsets_of(kept)))
    training = training_data(make_split(data), ("sequential", "topn"), PROTOCOLS["sound"])
    sequences = training.sequences
    places = np.sort(rng.choice(len(sequences.values), min(sentences, len(sequences.values)), replace=False))
    texts = tuple(" ".join(f"w{word}" for word in rng.zipf(1.3, rng.integers(6, 19)) % 3000) for _ in places)
    held = max(1, len(places) // 20)
    whole = Pairs(sequences.row_of[places], sequences.values[places], texts)
    parts = [Pairs(whole.users[part], whole.items[part], texts[part]) for part in (slice(held, None), slice(0, held))]
    return replace(training, explanations=(parts[0], parts[1]))


class Writer:
    """Users, items and words as rows of numbers: what `pod.render.Renderer` does, without a tokenizer.

    item_numbers: (n_items,). size: rows of the vocabulary.
    """

    def __init__(self, users: int, item_numbers: IntArray, size: int) -> None:
        self.size = size
        names = [_pieces(number) for number in item_numbers.tolist()]
        self.item_targets = Ragged.from_rows([[*name, EOS] for name in names])
        self._users = [[USER, MARK, *_pieces(number)] for number in range(1, users + 1)]
        self._items = [[ITEM, MARK, *name] for name in names]
        self._named = {tuple(name): item for item, name in enumerate(names)}
        self._listed: dict[str, Ragged] = {}

    def inputs(
        self, templates: Template | Sequence[Template], users: IntArray, items: Ragged, choice: IntArray | None = None
    ) -> Tokens:
        """Encoder inputs, as `pod.render.Renderer.inputs`."""
        listed = (templates,) if isinstance(templates, Template) else tuple(templates)
        ids, words = [], []
        for row, user in enumerate(users.tolist()):
            template = listed[0 if choice is None else int(choice[row])]
            before, between, after = (self._words(text) for text in template.literals)
            chunks = self._joined(template.join).take(items[row])
            owner = np.array(self._users[user], np.int32)
            ordinals, second = np.repeat(np.arange(len(chunks)), chunks.lengths), int(template.user_first)
            number = np.full(len(owner), 1 if second else len(chunks) + 1)
            # Nothing joins the last item to another.
            inner = slice(0, len(ordinals) - len(self._words(template.join)) if len(chunks) else 0)
            slots = [(owner, number), (chunks.values[inner], ordinals[inner] + 1 + second)]
            (one, first), (two, other) = slots if second else slots[::-1]
            line = np.concatenate([before, one, between, two, after, [EOS]])
            place = np.concatenate([0 * before, first, 0 * between, other, 0 * after, [0]])
            ids.append(line)
            words.append(np.where(line < WORD, place, 0))
        return Tokens(Ragged.from_rows(ids), Ragged.from_rows(words))

    def text_targets(self, texts: Iterable[str], limit: int = 20) -> Ragged:
        """Sentences as targets, at most `limit` tokens each."""
        return Ragged.from_rows([[*self._words(text), EOS][:limit] for text in texts])

    def decode(self, rows: Iterable[IntArray]) -> list[str]:
        """Generated rows as text."""
        return [" ".join(str(token) for token in np.asarray(row).tolist() if token > 2) for row in rows]

    def parse_items(self, ids: IntArray) -> IntArray:
        """(…, T) generated ids -> (…) items, -1 where they spell none."""
        rows = np.asarray(ids).reshape(-1, ids.shape[-1])
        found = [self._named.get(tuple(token for token in row if token > 2), -1) for row in rows.tolist()]
        return np.array(found, np.int64).reshape(ids.shape[:-1])

    def _words(self, text: str) -> IntArray:
        rows = self.size - WORD
        return np.array([WORD + crc32(word.encode()) % rows for word in text.split()], dtype=np.int32)

    def _joined(self, join: str) -> Ragged:
        if join not in self._listed:
            words = self._words(join).tolist()
            self._listed[join] = Ragged.from_rows([[*item, *words] for item in self._items])
        return self._listed[join]


def _pieces(number: int) -> list[int]:
    """A number in pairs of digits from the left."""
    text = str(number)
    parts = [text[at : at + 2] for at in range(0, len(text), 2)]
    return [PAIR + int(part) if len(part) == 2 else DIGIT + int(part) for part in parts]


class NumberPod(Pod):
    """POD from scratch that reads and writes through a `Writer`."""

    rows = 400

    def _build(self, training: Training, context: Context) -> Built:
        settings, vectors = self.settings, self._vectors(training)
        writer: Any = Writer(training.n_users, training.item_numbers, self.rows)
        backbone = build_backbone(settings.backbone, self.rows, dropout=settings.dropout)
        network = PodNetwork(T5Backbone(backbone.network), vectors, word_scale=settings.whole_word_scale)
        return Built(network.to(context.device), writer, load_templates(), f"{training.n_users} generated users", {})


class SportsPod(NumberPod):
    """The same with as many rows as T5 has."""

    rows = SPORTS.rows
