"""Generated rows back to items: the number that a row spells, without writing the text out."""

from __future__ import annotations

import numpy as np

from bench.ragged import BoolArray, IntArray
from pod.spiece import UNK
from pod.tokens import Tokenizer

_SKIPPED, _SPACE, _DIGITS, _NEW_DIGITS, _OTHER, _ITEM = range(6)
_MOST_DIGITS = 18


class NumberReader:
    """Reads rows of ids as item numbers.

    numbers: (n_items,) the number of each item.
    base:    the id of the first item's own token, the others following it; None where items have none.
    """

    def __init__(self, tokenizer: Tokenizer, numbers: IntArray, base: int | None) -> None:
        items = 0 if base is None else len(numbers)
        self._kind = np.full(tokenizer.size + items, _OTHER, dtype=np.int8)
        self._value = np.zeros(len(self._kind), dtype=np.int64)
        self._length = np.zeros(len(self._kind), dtype=np.int64)
        for index, piece in enumerate(tokenizer.vocabulary):
            run = piece.removeprefix("▁")
            if run.isascii() and run.isdecimal() and len(run) <= _MOST_DIGITS:
                self._kind[index] = _DIGITS if run == piece else _NEW_DIGITS
                self._value[index], self._length[index] = int(run), len(run)
        if "▁" in tokenizer.vocabulary:
            self._kind[tokenizer.vocabulary.index("▁")] = _SPACE
        self._kind[: UNK + 1] = _SKIPPED
        self._kind[tokenizer.sentinels] = _SKIPPED
        if base is not None:
            self._kind[base:] = _ITEM
            self._value[base:] = np.arange(items)
        self._order = np.argsort(numbers)
        self._sorted = np.asarray(numbers, dtype=np.int64)[self._order]

    def parse(self, ids: IntArray) -> IntArray:
        """(…, T) ids -> (…) item indices; -1 where the decoded text is not exactly an item's number.

        With tokens of their own an item's number in pieces does not count.
        """
        shape = ids.shape[:-1]
        rows = ids.reshape(-1, ids.shape[-1])
        outside = (rows < 0) | (rows >= len(self._kind))
        clipped = np.where(outside, 0, rows)
        kinds = np.where(outside, _OTHER, self._kind[clipped])
        if (self._kind == _ITEM).any():
            found = self._one_token(kinds, self._value[clipped])
        else:
            found = self._spelt(kinds, self._value[clipped], self._length[clipped])
        return found.reshape(shape)

    def _one_token(self, kinds: IntArray, values: IntArray) -> IntArray:
        item = kinds == _ITEM
        fine = (item.sum(axis=1) == 1) & np.all(item | (kinds == _SKIPPED), axis=1)
        return np.where(fine, np.where(item, values, 0).sum(axis=1), -1)

    def _spelt(self, kinds: IntArray, values: IntArray, lengths: IntArray) -> IntArray:
        number, digits = np.zeros(len(kinds), np.int64), np.zeros(len(kinds), np.int64)
        # Spaces around a number are stripped from a decoded text; one inside makes two words of it.
        ended, fine = np.zeros(len(kinds), np.bool_), np.ones(len(kinds), np.bool_)
        for column in range(kinds.shape[1]):
            kind, length = kinds[:, column], lengths[:, column]
            more = (kind == _DIGITS) | (kind == _NEW_DIGITS)
            fine &= (kind != _OTHER) & ~(more & ended) & ~((kind == _NEW_DIGITS) & (digits > 0))
            ended |= (kind == _SPACE) & (digits > 0)
            digits += np.where(more, length, 0)
            fine &= digits <= _MOST_DIGITS
            number = np.where(more & fine, number * 10**length + values[:, column], number)
        return np.where(fine & self._plain(number, digits), self._index(number), -1)

    def _plain(self, number: IntArray, digits: IntArray) -> BoolArray:
        """Whether a number of that many digits has no leading zero, and has a digit at all."""
        least = np.where(digits > 1, 10 ** np.maximum(digits - 1, 0), 0)
        return (digits > 0) & (number >= least)

    def _index(self, number: IntArray) -> IntArray:
        if not len(self._sorted):
            return np.full(len(number), -1)
        place = np.minimum(np.searchsorted(self._sorted, number), len(self._sorted) - 1)
        return np.where(self._sorted[place] == number, self._order[place], -1)
