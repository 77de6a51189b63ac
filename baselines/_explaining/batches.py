"""Encoded sentences of pairs, and batches of like length without padding in any loss."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from baselines._explaining.vocabulary import BOS, EOS, PAD, UNK, Vocabulary
from bench.models import Pairs
from bench.ragged import FloatArray, IntArray, Ragged

# Sorting by length goes on within so many batches' sentences: less padding, and company still changes.
_GROUPED = 8


@dataclass(frozen=True, eq=False)
class Batch:
    """Sentences on a device, b of them, the longest of l tokens; t tokens in all.

    users, items: (b,). ratings: (b,) or None.
    inputs:  (b, l) <bos> and the tokens but the last, padded behind.
    places:  (t,) where each real token is predicted, in the flattened (b * l) positions.
    targets: (t,) these tokens. rows: (t,) the sentence of each.
    """

    users: torch.Tensor
    items: torch.Tensor
    ratings: torch.Tensor | None
    inputs: torch.Tensor
    places: torch.Tensor
    targets: torch.Tensor
    rows: torch.Tensor

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True, eq=False)
class Sentences:
    """Pairs with their sentences in numbers.

    users, items: (n,). words: row r: the tokens to predict, <eos> the last of them unless the sentence was cut.
    ratings:      (n,) or None.
    """

    users: IntArray
    items: IntArray
    words: Ragged
    ratings: FloatArray | None

    @classmethod
    def of_pairs(cls, pairs: Pairs, vocabulary: Vocabulary, most: int) -> Sentences:
        """Encode the texts of pairs, at most `most` words and marks of each."""
        words = Ragged.from_rows([vocabulary.encode(text, most) for text in pairs.texts])
        return cls(pairs.users, pairs.items, words, pairs.ratings)

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def units(self) -> dict[str, int]:
        """What each loss is a mean over: text: tokens, context: tokens but <eos>, rating: pairs."""
        ends = int(np.count_nonzero(self.words.values == EOS))
        return {"text": len(self.words.values), "context": len(self.words.values) - ends, "rating": len(self)}

    @property
    def unknown(self) -> float:
        """The share of words that the vocabulary does not have."""
        return float(np.count_nonzero(self.words.values == UNK)) / max(1, self.units["context"])

    def batch(self, chosen: IntArray, device: str) -> Batch:
        """The chosen sentences on a device."""
        words = self.words.take(chosen)
        width = int(words.lengths.max())
        column = np.arange(len(words.values)) - np.repeat(words.offsets[:-1], words.lengths)
        rows = words.row_of.astype(np.int64)
        read = column < words.lengths[rows] - 1
        inputs = np.full((len(words), width), PAD, np.int64)
        inputs[:, 0] = BOS
        inputs[rows[read], column[read] + 1] = words.values[read]
        ratings = None if self.ratings is None else _placed(self.ratings[chosen].astype(np.float32), device)
        return Batch(
            _placed(self.users[chosen].astype(np.int64), device),
            _placed(self.items[chosen].astype(np.int64), device),
            ratings,
            _placed(inputs, device),
            _placed(rows * width + column, device),
            _placed(words.values.astype(np.int64), device),
            _placed(rows, device),
        )


def _placed(values: np.ndarray, device: str) -> torch.Tensor:
    return torch.from_numpy(values).to(device)


def shuffled(lengths: IntArray, size: int, rng: np.random.Generator) -> list[IntArray]:
    """Rows of batches of `size` in random order, rows of like length together; each row once, one batch may be smaller.

    All rows are shuffled, groups of eight batches are sorted by length, and the batches are shuffled again.
    """
    order = rng.permutation(len(lengths))
    group = np.arange(len(order)) // (size * _GROUPED)
    order = order[np.lexsort((lengths[order], group))]
    pieces = np.split(order, np.arange(size, len(order), size))
    return [pieces[place] for place in rng.permutation(len(pieces))]


def by_length(lengths: IntArray, size: int) -> list[IntArray]:
    """Rows of batches of `size`, the shortest first; nothing is drawn."""
    order = np.argsort(lengths, kind="stable")
    return np.split(order, np.arange(size, len(order), size)) if len(order) else []
