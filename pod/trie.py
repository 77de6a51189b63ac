"""The ids of a catalogue as a prefix tree in flat arrays, and which items a user may be given."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from bench.ragged import IntArray, Ragged


@dataclass(frozen=True, eq=False)
class Trie:
    """Prefixes of item ids. Node 0 is the empty prefix; nodes are numbered by length, then in the order of their ids.

    Items sorted by id have ranks, so that the items below a node are a range of ranks and its children are neighbours.

    rows:     (R,) int64, sorted, the vocabulary rows that ids use, EOS among them where ids end with it.
    columns:  (nodes,) int64, the place in `rows` of the token that leads to a node; 0 for the empty prefix.
    first:    (nodes,) int64, the first child. children: (nodes,) int64, how many there are.
    item:     (nodes,) int64, the item whose id ends here; -1 for none.
    low, high: (nodes,) int64, the ranks of the items below, its own included.
    longest:  (nodes,) int64, tokens of the longest id below, EOS not counted.
    rank:     (items + 1,) int64; the last one belongs to item -1, which is no item, and is no rank.
    paths:    (items + 1, depth + 1) int64, the nodes of an item's id from the empty prefix on, -1 behind its end.
    lengths:  (items + 1,) int64, tokens of each id, EOS not counted.
    widest:   for each length of a prefix the largest number of children of such a node.
    eos:      the place of EOS in `rows`; -1 where ids end by themselves.
    """

    rows: Tensor
    columns: Tensor
    first: Tensor
    children: Tensor
    item: Tensor
    low: Tensor
    high: Tensor
    longest: Tensor
    rank: Tensor
    paths: Tensor
    lengths: Tensor
    widest: tuple[int, ...]
    eos: int

    @classmethod
    def build(cls, ids: Ragged, eos: int, device: str | torch.device = "cpu") -> Trie:
        """From the id of each item, all of them with EOS at the end, or none.

        With EOS, one id may be the beginning of another, and its end counts in every probability. Without, an id ends
        where nothing can follow: for ids of one token that is the softmax over items.
        Raises ValueError where an id is empty, used twice, or without EOS the beginning of another.
        """
        with_eos = _all_end(ids, eos)
        bare = ids.drop_last(np.ones(len(ids), dtype=np.int64)) if with_eos else ids
        if len(ids) == 0 or bare.lengths.min() == 0:
            raise ValueError("an item has no id")
        table = bare.padded(int(bare.lengths.max())).astype(np.int64)
        order = np.lexsort(table.T[::-1])
        table, lengths = table[order], bare.lengths[order].astype(np.int64)
        nodes = _number(table, lengths, order, with_eos)
        rows = np.unique(np.append(bare.values, eos) if with_eos else bare.values).astype(np.int64)
        arrays, widest = _describe(nodes, table, lengths, order, rows)
        return cls(
            **{name: torch.from_numpy(array).to(device) for name, array in arrays.items()},
            rows=torch.from_numpy(rows).to(device),
            widest=widest,
            eos=int(np.searchsorted(rows, eos)) if with_eos else -1,
        )

    def __len__(self) -> int:
        return len(self.rank) - 1

    def only(self, candidates: Tensor) -> Allowed:
        """(n, c) int64 items each user may be given, -1 for none."""
        return Allowed(self.rank[candidates].sort(1).values, True, len(self))

    def without(self, forbidden: Tensor) -> Allowed:
        """(n, f) int64 items each user may not be given, -1 for none; others may be. One may be named twice."""
        ranks = self.rank[forbidden].sort(1).values
        twice = torch.zeros_like(ranks, dtype=torch.bool)
        twice[:, 1:] = ranks[:, 1:] == ranks[:, :-1]
        return Allowed(ranks.masked_fill(twice, len(self)).sort(1).values, False, len(self))


@dataclass(frozen=True, eq=False)
class Allowed:
    """Which ranks each of n users may be given.

    ranks: (n, c) int64, sorted in each row, distinct but for `items`, which is no rank.
    named_only: whether these are the only ones, or all but these.
    """

    ranks: Tensor
    named_only: bool
    items: int

    def take(self, users: Tensor) -> Allowed:
        """Those of these users, (m,) int64."""
        return replace(self, ranks=self.ranks[users])

    def between(self, low: Tensor, high: Tensor) -> Tensor:
        """low, high: (n, m) int64. Returns (n, m) bool, whether any rank from low to high - 1 is allowed."""
        named = torch.searchsorted(self.ranks, high) - torch.searchsorted(self.ranks, low)
        return named > 0 if self.named_only else named < high - low


def _all_end(ids: Ragged, eos: int) -> bool:
    """Whether every id ends in EOS; ValueError if only some do, or if one holds it elsewhere."""
    ends = int((ids.values[ids.offsets[1:] - 1] == eos).sum()) if len(ids) and ids.lengths.min() > 0 else 0
    if ends != (ids.values == eos).sum() or ends not in (0, len(ids)):
        raise ValueError("either every id ends in EOS, or none holds it")
    return ends > 0


def _number(table: IntArray, lengths: IntArray, order: IntArray, with_eos: bool) -> IntArray:
    """(items, depth + 1) nodes of each prefix, -1 behind an id's end, from the (items, depth) sorted ids.

    order: the item of each row, for messages.
    """
    count, depth = table.shape
    nodes = np.full((count, depth + 1), -1, dtype=np.int64)
    nodes[:, 0] = 0
    differs, used = np.arange(count) == 0, 1
    for length in range(1, depth + 1):
        differs[1:] |= table[1:, length - 1] != table[:-1, length - 1]
        inside = lengths >= length
        fresh = differs & inside
        nodes[inside, length] = used + np.cumsum(fresh)[inside] - 1
        used += int(fresh.sum())
    for row in np.flatnonzero(~differs)[:1]:
        raise ValueError(f"items {order[row - 1]} and {order[row]} have the same id")
    # An id that begins others stands right before the first of them.
    begins = nodes[np.arange(count), lengths][:-1] == nodes[np.arange(1, count), lengths[:-1]]
    for row in np.flatnonzero(begins & (not with_eos))[:1]:
        raise ValueError(f"the id of item {order[row]} is the beginning of that of {order[row + 1]}: end them with EOS")
    return nodes


def _describe(
    nodes: IntArray, table: IntArray, lengths: IntArray, order: IntArray, rows: IntArray
) -> tuple[dict[str, IntArray], tuple[int, ...]]:
    """The arrays of a `Trie` by name, and `widest`, from the sorted ids and their nodes."""
    items, count = len(order), int(nodes.max()) + 1
    columns, first, children, low, high, longest = np.zeros((6, count), dtype=np.int64)
    item, widest = np.full(count, -1), []
    for length in range(nodes.shape[1]):
        inside = np.flatnonzero(nodes[:, length] >= 0)
        here = nodes[inside, length]
        mine, starts, counts = np.unique(here, return_index=True, return_counts=True)
        # The rows of a node are neighbours.
        low[mine], high[mine] = inside[starts], inside[starts] + counts
        np.maximum.at(longest, here, lengths[inside])
        ended = lengths == length
        item[nodes[ended, length]] = order[ended]
        if length:
            columns[mine] = np.searchsorted(rows, table[inside[starts], length - 1])
            parents, starts, counts = np.unique(
                nodes[inside[starts], length - 1], return_index=True, return_counts=True
            )
            first[parents], children[parents] = mine[starts], counts
            widest.append(int(counts.max()))
    arrays = {"columns": columns, "first": first, "children": children, "item": item, "low": low, "high": high}
    arrays |= {"longest": longest, "rank": _by_item(order, np.arange(items), items)}
    arrays |= {"paths": _by_item(order, nodes, -1), "lengths": _by_item(order, lengths, 0)}
    return arrays, (*widest, 0)


def _by_item(order: IntArray, values: IntArray, none: int) -> IntArray:
    """Values of sorted items in the order of items, with one more row, `none`, for item -1."""
    out = np.full((len(order) + 1, *values.shape[1:]), none, dtype=np.int64)
    out[order] = values
    return out
