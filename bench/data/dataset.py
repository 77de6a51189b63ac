"""What every source turns into: users' item sequences, oldest first, with a fingerprint."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from bench.errors import UserError
from bench.ragged import FloatArray, IntArray, Ragged, offsets_of


@dataclass(frozen=True)
class DataNote:
    """A rule that was applied to the source, and how often: shown in reports, never silent."""

    rule: str
    count: int


@dataclass(frozen=True, eq=False)
class Dataset:
    """Users, items and who touched what when.

    name:       the folder its results go to.
    source:     the format it was read from, in words.
    user_ids:   the source's user ids; a user is its index here (0-based).
    item_ids:   the source's item ids; an item is its index here (0-based).
    sequences:  row u: the items of user u, oldest first, each item at most once.
    ratings:    (interactions,) aligned with sequences.values, or None.
    attributes: row i: the attribute numbers (1-based) of item i, or None.
    negatives:  row u: the test negatives the source fixed for user u, or None.
    notes:      the rules that were applied while reading.
    """

    name: str
    source: str
    user_ids: tuple[str, ...]
    item_ids: tuple[str, ...]
    sequences: Ragged
    ratings: FloatArray | None = None
    attributes: Ragged | None = None
    negatives: Ragged | None = None
    notes: tuple[DataNote, ...] = field(default=())

    @property
    def n_users(self) -> int:
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        return len(self.item_ids)

    @property
    def n_interactions(self) -> int:
        return len(self.sequences.values)

    @property
    def density(self) -> float:
        """Share of the user-item matrix that is filled, in percent (the paper's "sparsity", Table 1)."""
        return 100.0 * self.n_interactions / (self.n_users * self.n_items)

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of everything a model or a split could depend on; the name is not part of it."""
        digest = hashlib.sha256(b"podium-dataset-1")
        for ids in (self.user_ids, self.item_ids):
            digest.update(str(len(ids)).encode() + b"\0")
            digest.update("\0".join(ids).encode("utf-8", "surrogatepass"))
        parts: list[Ragged | None] = [self.sequences, self.attributes, self.negatives]
        for part in parts:
            digest.update(b"-" if part is None else b"+")
            if part is not None:
                digest.update(np.ascontiguousarray(part.offsets, dtype="<i8").tobytes())
                digest.update(np.ascontiguousarray(part.values, dtype="<i4").tobytes())
        if self.ratings is not None:
            digest.update(np.ascontiguousarray(self.ratings, dtype="<f4").tobytes())
        return digest.hexdigest()[:16]


def dataset_from_events(
    name: str,
    source: str,
    users: IntArray,
    items: IntArray,
    user_ids: list[str],
    item_ids: list[str],
    times: FloatArray | IntArray | None = None,
    ratings: FloatArray | None = None,
    notes: tuple[DataNote, ...] = (),
) -> Dataset:
    """A dataset from one row per event, in file order.

    users, items: (n,) codes into user_ids and item_ids.
    times:        (n,) any sortable clock; equal times of one user keep the file's order. None: file order.
    Rules: of a repeated (user, item) pair the earliest event stays (a model that never recommends history
    could not find the later one); items are re-indexed by first appearance, walking users in file order.
    """
    if len(users) == 0:
        raise UserError("no interactions", source, "check that the file is the right one and not empty")
    by_time = np.arange(len(users)) if times is None else np.argsort(times, kind="stable")
    order = by_time[np.argsort(users[by_time], kind="stable")]
    users, items = users[order], items[order]
    ratings = None if ratings is None else ratings[order]
    pair = users.astype(np.int64) * len(item_ids) + items
    first = np.zeros(len(pair), dtype=bool)
    first[np.unique(pair, return_index=True)[1]] = True
    repeated = int(len(pair) - first.sum())
    users, items = users[first], items[first]
    ratings = None if ratings is None else ratings[first].astype(np.float32)
    appearance = first_appearance(items, len(item_ids))
    lengths = np.bincount(users, minlength=len(user_ids))
    notes = (*notes, DataNote("repeated user-item pairs dropped, the earliest kept", repeated))
    seen = np.argsort(appearance)[: int((appearance < len(item_ids)).sum())]
    return Dataset(
        name=name,
        source=source,
        user_ids=tuple(user_ids),
        item_ids=tuple(item_ids[i] for i in seen),
        sequences=Ragged(appearance[items].astype(np.int32), offsets_of(lengths)),
        ratings=ratings,
        notes=notes,
    )


def first_appearance(items: IntArray, n_items: int) -> IntArray:
    """(n_items,) the rank of each item by first appearance in `items`; n_items for those that never appear."""
    distinct, position = np.unique(items, return_index=True)
    rank = np.full(n_items, n_items, dtype=np.int64)
    rank[distinct[np.argsort(position)]] = np.arange(len(distinct))
    return rank
