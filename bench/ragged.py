"""Rows of unequal length in two flat arrays, the shape every history and candidate list has here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.integer]
FloatArray = NDArray[np.floating]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Ragged:
    """n rows of int32 values.

    values:  (total,) all rows laid end to end.
    offsets: (n + 1,) int64; row r is values[offsets[r]:offsets[r + 1]].
    """

    values: IntArray
    offsets: IntArray

    @classmethod
    def from_rows(cls, rows: Iterable[Sequence[int]]) -> Ragged:
        """Build from any iterable of rows."""
        listed = [np.asarray(row, dtype=np.int32) for row in rows]
        lengths = np.array([len(row) for row in listed], dtype=np.int64)
        values = np.concatenate(listed) if listed else np.empty(0, np.int32)
        return cls(values.astype(np.int32, copy=False), offsets_of(lengths))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> IntArray:
        if row < 0 or row >= len(self):
            raise IndexError(row)
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> IntArray:
        """(n,) the length of each row."""
        return np.diff(self.offsets)

    @property
    def row_of(self) -> IntArray:
        """(total,) the row that each value belongs to."""
        return np.repeat(np.arange(len(self), dtype=np.int32), self.lengths)

    def slice_rows(self, starts: IntArray, stops: IntArray) -> Ragged:
        """Rows made of values[starts[r]:stops[r]] in absolute positions; empty where stop <= start."""
        lengths = np.maximum(stops - starts, 0)
        offsets = offsets_of(lengths)
        positions = np.arange(offsets[-1], dtype=np.int64) + np.repeat(starts - offsets[:-1], lengths)
        return Ragged(self.values[positions], offsets)

    def take(self, rows: IntArray) -> Ragged:
        """The given rows, in the given order."""
        rows = np.asarray(rows)
        return self.slice_rows(self.offsets[:-1][rows], self.offsets[1:][rows])

    def drop_last(self, counts: IntArray) -> Ragged:
        """Each row without its last counts[r] values."""
        return self.slice_rows(self.offsets[:-1], self.offsets[1:] - counts)

    def tail(self, width: int) -> Ragged:
        """At most the last `width` values of each row."""
        return self.slice_rows(np.maximum(self.offsets[:-1], self.offsets[1:] - width), self.offsets[1:])

    def padded(self, width: int, fill: int = -1) -> IntArray:
        """(n, width) int32, the last `width` values of each row from the left, then `fill`."""
        cut = self.tail(width)
        out = np.full((len(self), width), fill, dtype=np.int32)
        columns = np.arange(cut.offsets[-1]) - np.repeat(cut.offsets[:-1], cut.lengths)
        out[cut.row_of, columns] = cut.values
        return out


def offsets_of(lengths: IntArray) -> IntArray:
    """(n + 1,) int64 row boundaries from (n,) lengths."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets
