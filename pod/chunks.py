"""Texts in pieces tokenised once: words around and with ids, put together into whole inputs by indexing."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from bench.ragged import BoolArray, FloatArray, IntArray, Ragged, offsets_of
from pod.margins import Margins
from pod.spiece import EOS, UNK
from pod.templates import Template, parted
from pod.tokens import Tokenizer

NEVER = 2.0**16
"""More than any text of 511 ids costs: a chunk with a wider margin is cut one way wherever it stands."""


@dataclass(frozen=True, eq=False)
class Chunks:
    """n chunks of text, each of whole words.

    packed:  row c: the chunk's ids, doubled, plus one for tokens of an id.
    cost:    (n,) minus the log probability of each chunk.
    margin:  (n,) the cost of a text up to the end of the chunk, up to which it is cut as here for sure.
    holds_id: (n,) whether an id is in it.
    """

    packed: Ragged
    cost: FloatArray
    margin: FloatArray
    holds_id: BoolArray

    def joined(self, other: Chunks) -> Chunks:
        """These chunks, then the others."""
        return Chunks(
            joined_rows(self.packed, other.packed),
            np.concatenate([self.cost, other.cost]),
            np.concatenate([self.margin, other.margin]),
            np.concatenate([self.holds_id, other.holds_id]),
        )


def joined_rows(first: Ragged, second: Ragged) -> Ragged:
    """The rows of one, then those of the other."""
    offsets = np.concatenate([first.offsets, second.offsets[1:] + first.offsets[-1]])
    return Ragged(np.concatenate([first.values, second.values]), offsets)


@dataclass(frozen=True)
class Plan:
    """A template taken apart into chunks.

    before, between, after: the words outside the slots.
    user, item: (text before, text after) the name of the user and of each item, by where the item stands in its
        list: "only", "first", "middle" or "last".
    """

    before: str
    between: str
    after: str
    user: tuple[str, str]
    item: dict[str, tuple[str, str]]


def plan_of(template: Template) -> Plan:
    """The chunks of a template. Raises ValueError where a word holds two slots or items."""
    if not parted(template.literals[1]) or not parted(template.join):
        raise ValueError(f"no space between two ids of '{template.text}'")
    before, glue_before = _split_end(template.literals[0])
    glue_first, rest = _split_start(template.literals[1])
    between, glue_second = _split_end(rest)
    glue_after, after = _split_start(template.literals[2])
    first, second = (glue_before, glue_first), (glue_second, glue_after)
    user, listed = (first, second) if template.user_first else (second, first)
    # Words between items go with the item before them, what touches the next item with that one.
    head, touching = _split_end(template.join)
    item = {
        "only": listed,
        "first": (listed[0], head),
        "middle": (touching, head),
        "last": (touching, listed[1]),
    }
    return Plan(before, between, after, user, item)


def _split_end(text: str) -> tuple[str, str]:
    """Whole words, and what touches whatever follows the text."""
    touching = re.split(r"\s", text)[-1]
    return text[: len(text) - len(touching)].rstrip(), touching


def _split_start(text: str) -> tuple[str, str]:
    """What touches whatever stands before the text, and the rest."""
    touching = re.split(r"\s", text)[0]
    return touching, text[len(touching) :]


class ChunkMaker:
    """Tokenises chunks of one kind at a time, all users or all items in one go."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._margins = Margins(tokenizer.scores)
        self._scores = np.zeros(len(tokenizer.model_pieces))
        self._scores[UNK + 1 :] = list(tokenizer.scores.values())

    def words(self, text: str) -> Chunks:
        """One chunk without an id."""
        rows = self._tokenizer.model_ids([text])
        cost, margin = self._margins.of_text(text)
        return self._checked(rows, np.array([cost]), np.array([margin]), holds_id=False)

    def end(self, text: str) -> Chunks:
        """One chunk without an id, EOS last."""
        words, eos = self.words(text), np.array([2 * EOS], dtype=np.int32)
        packed = np.concatenate([words.packed.values, eos])
        return replace(words, packed=Ragged(packed, np.array([0, len(packed)])))

    def names(self, before: str, numbers: IntArray, after: str) -> Chunks:
        """A chunk for each number: before + number + after, `before` ending in "user_" or "item_"."""
        rows = self._tokenizer.model_ids([f"{before}{number}{after}" for number in numbers.tolist()])
        cost, margin = self._margins.of_numbers(before, numbers, after)
        return self._checked(rows, cost, margin, holds_id=True)

    def tokens(self, before: str, base: int, count: int, after: str) -> Chunks:
        """A chunk for each of `count` added tokens; the texts around a token are tokenised for themselves."""
        left, right = self.words(before), self.words(after)
        at, width = len(left.packed.values), len(left.packed.values) + 1 + len(right.packed.values)
        block = np.empty((count, width), dtype=np.int32)
        block[:, :at] = left.packed.values
        block[:, at] = (base + np.arange(count)) * 2 + 1
        block[:, at + 1 :] = right.packed.values
        cost, margin = left.cost + right.cost, np.minimum(left.margin, right.margin)
        packed = Ragged(block.ravel(), offsets_of(np.full(count, width)))
        return Chunks(packed, np.repeat(cost, count), np.repeat(margin, count), np.ones(count, np.bool_))

    def possible_pieces(self, text: str) -> IntArray:
        """Ids of all pieces that a chunk may be cut into, where it is one that may be cut in several ways."""
        letters = "▁" + "▁".join(text.split())
        spans = {letters[i:j] for i in range(len(letters)) for j in range(i + 1, len(letters) + 1)}
        known = [index for index, piece in enumerate(self._tokenizer.vocabulary) if piece in spans]
        return np.array(known, dtype=np.int64)

    def _checked(self, rows: Ragged, cost: FloatArray, margin: FloatArray, *, holds_id: bool) -> Chunks:
        """Chunks of the model's ids; one not cut in the way whose margin is known has no margin at all.

        That is one with letters outside the vocabulary, or that SentencePiece writes anew before it cuts it.
        """
        logs = np.concatenate([[0.0], np.cumsum(self._scores[rows.values])])
        spent = logs[rows.offsets[:-1]] - logs[rows.offsets[1:]]
        own = Ragged(self._tokenizer.own_ids(rows.values), rows.offsets)
        flags = self._tokenizer.whole_words(own).values > 0 if holds_id else np.zeros(len(own.values), np.bool_)
        margin = np.where(np.abs(spent - cost) < 1e-2, margin, 0.0)
        return Chunks(Ragged(own.values * 2 + flags, own.offsets), cost, margin, np.full(len(own), holds_id))
