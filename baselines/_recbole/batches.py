"""Training rows of sequential models: windows, targets, length-grouped batches trimmed of padding.

Two forms. `every position`: one row a user and one pass for all its targets, for networks whose state at a
position depends on the past alone (SASRec supervises so in its paper). `last position`: RecBole's own form, one
row for each prefix; positions counted back from the latest item need it. Both train on the same (history, target)
pairs; see `windows` for long histories.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench.ragged import IntArray, Ragged, offsets_of

_GROUPED = 16


@dataclass(frozen=True, eq=False)
class Rows:
    """Training rows before padding.

    users:   (n,) the user of each row.
    inputs:  row r: its items, oldest first.
    targets: row r: the items that follow its last positions, aligned to the end of the row.
    """

    users: IntArray
    inputs: Ragged
    targets: Ragged


def prefixes(sequences: Ragged, width: int) -> Rows:
    """A row for every item but a user's first: at most `width` items before it, and it as the target."""
    position = np.arange(len(sequences.values)) - np.repeat(sequences.offsets[:-1], sequences.lengths)
    ends = np.flatnonzero(position >= 1)
    starts = ends - np.minimum(position[ends], width)
    targets = Ragged(sequences.values[ends], np.arange(len(ends) + 1))
    return Rows(sequences.row_of[ends], sequences.slice_rows(starts, ends), targets)


def windows(sequences: Ragged, width: int, stride: int) -> Rows:
    """Rows of at most `width` items whose every target is supervised once.

    A user with at most width + 1 items is one row, and each target sees exactly the history that `prefixes`
    gives it. A longer one is cut into windows `stride` apart from its start; a later window supervises its last
    `stride` positions alone, so a target there sees width - stride + 1 to width items. stride=1 equals `prefixes`.
    """
    lengths, begin = sequences.lengths - 1, sequences.offsets[:-1]
    short = np.flatnonzero((lengths >= 1) & (lengths <= width))
    users, starts, stops, first = [short], [begin[short]], [begin[short] + lengths[short]], [begin[short]]
    for user in np.flatnonzero(lengths > width):
        ends = np.append(np.arange(width, lengths[user], stride), lengths[user])
        users.append(np.full(len(ends), user))
        stops.append(begin[user] + ends)
        starts.append(begin[user] + np.maximum(ends - width, 0))
        first.append(begin[user] + np.concatenate([[0], ends[:-1]]))
    low, high = np.concatenate(starts), np.concatenate(stops)
    inputs = sequences.slice_rows(low, high)
    targets = sequences.slice_rows(np.concatenate(first) + 1, high + 1)
    return Rows(np.concatenate(users), inputs, targets)


def batches(rows: Rows, targets_each: int, rng: np.random.Generator, by: IntArray | None = None) -> Iterator[IntArray]:
    """Row numbers of batches of about `targets_each` targets, rows of like length together, in random order.

    All rows are shuffled, groups of sixteen batches are sorted by length, and the batches are shuffled again:
    little padding, while what shares a batch still changes from epoch to epoch.
    by: (n,) what to sort by before length.
    """
    if not len(rows.users):
        return
    order = rng.permutation(len(rows.users))
    lengths, counts = rows.inputs.lengths, rows.targets.lengths
    first = np.zeros_like(lengths) if by is None else by
    group = (np.cumsum(counts[order]) - 1) // (targets_each * _GROUPED)
    order = order[np.lexsort((lengths[order], first[order], group))]
    batch = np.maximum(np.cumsum(counts[order]) - 1, 0) // targets_each
    edges = np.flatnonzero(np.diff(batch)) + 1
    pieces = np.split(order, edges)
    for piece in rng.permutation(len(pieces)):
        yield pieces[piece]


class NegativeSampler:
    """Draws items that a user has no training interaction with, uniformly."""

    def __init__(self, sequences: Ragged, n_items: int) -> None:
        self._n_items = n_items
        self._seen = np.sort(sequences.row_of.astype(np.int64) * n_items + sequences.values)
        self._full = sequences.lengths >= n_items

    def draw(self, users: IntArray, rng: np.random.Generator) -> IntArray:
        """(n,) one item for each user; any item for a user who has had them all."""
        out = rng.integers(0, self._n_items, size=len(users))
        todo = np.flatnonzero(~self._full[users])
        while len(todo):
            keys = users[todo].astype(np.int64) * self._n_items + out[todo]
            place = np.minimum(np.searchsorted(self._seen, keys), len(self._seen) - 1)
            todo = todo[self._seen[place] == keys]
            out[todo] = rng.integers(0, self._n_items, size=len(todo))
        return out


def right_padded(rows: Ragged, width: int) -> IntArray:
    """(n, width) int64, each row from the left, then zeros; rows must not be longer than width."""
    out = np.zeros((len(rows), width), dtype=np.int64)
    columns = np.arange(len(rows.values)) - np.repeat(rows.offsets[:-1], rows.lengths)
    out[rows.row_of, columns] = rows.values
    return out


def left_padded(rows: Ragged, width: int) -> IntArray:
    """(n, width) int64, zeros, then each row up to the right edge; rows must not be longer than width."""
    out = np.zeros((len(rows), width), dtype=np.int64)
    columns = np.arange(len(rows.values)) + width - np.repeat(rows.offsets[1:], rows.lengths)
    out[rows.row_of, columns] = rows.values
    return out


def end_positions(rows: Ragged, counts: IntArray) -> tuple[IntArray, IntArray]:
    """(row, column) of the last counts[r] positions of each row, in row order."""
    row = np.repeat(np.arange(len(rows)), counts)
    within = np.arange(int(counts.sum())) - np.repeat(offsets_of(counts)[:-1], counts)
    return row, (rows.lengths - counts)[row] + within
