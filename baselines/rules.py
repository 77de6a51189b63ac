"""Rules that learn little or nothing: popularity, item-knn, sequential rules, and the id-order leak probe."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.models import Context, ModelInfo, NoSettings, ScoringModel, Training
from bench.ragged import FloatArray, IntArray, Ragged, offsets_of
from bench.tasks import Queries, tie_keys

if TYPE_CHECKING:  # scipy is slow to import, and listings read this file
    from scipy.sparse import csr_matrix

_PAIRS = 1 << 23


class Popularity(ScoringModel):
    """Ranks items by how many users interacted with them in training."""

    def __init__(self, settings: NoSettings) -> None:
        del settings
        self._counts = np.zeros(0, np.float32)

    def fit(self, training: Training, context: Context) -> None:
        del context
        self._counts = np.bincount(training.sequences.values, minlength=training.n_items).astype(np.float32)

    def scores(self, queries: Queries) -> FloatArray:
        return np.tile(self._counts, (len(queries), 1))


class LinkScorer(ScoringModel):
    """Scores items by a weighted sum of the history items' rows in a sparse item-item matrix."""

    _links: csr_matrix

    def weights(self, histories: Ragged) -> FloatArray:
        """(total,) weight of each history item in `histories.values`."""
        return np.ones(len(histories.values), np.float32)

    def scores(self, queries: Queries) -> FloatArray:
        from scipy.sparse import csr_matrix

        histories = queries.histories
        votes = csr_matrix(
            (self.weights(histories), histories.values, histories.offsets), shape=(len(queries), queries.n_items)
        )
        return csr_matrix(votes @ self._links).toarray()


@dataclass(frozen=True)
class ItemKnnSettings:
    """neighbours: similar items kept of each item. shrink: added to the norms, damps rare pairs."""

    neighbours: int = 1000
    shrink: float = 30.0

    def __post_init__(self) -> None:
        if self.neighbours < 1 or self.shrink < 0:
            raise ValueError("neighbours must be at least 1 and shrink not below 0")


class ItemKnn(LinkScorer):
    """Item-based nearest neighbours with shrunk cosine similarity (Sarwar et al. 2001)."""

    def __init__(self, settings: ItemKnnSettings) -> None:
        self._settings = settings

    def fit(self, training: Training, context: Context) -> None:
        from scipy.sparse import csr_matrix, vstack

        del context
        sequences, n_items = training.sequences, training.n_items
        ones = np.ones(len(sequences.values), np.float32)
        users = csr_matrix((ones, sequences.values, sequences.offsets), shape=(training.n_users, n_items))
        items = users.T.tocsr()
        norms = np.sqrt(np.bincount(sequences.values, minlength=n_items)).astype(np.float32)
        work = items @ sequences.lengths
        parts = []
        for start, stop in item_blocks(work, _PAIRS):
            together = csr_matrix(items[start:stop] @ users)
            row = np.repeat(np.arange(start, stop), np.diff(together.indptr))
            together.data /= norms[row] * norms[together.indices] + np.float32(self._settings.shrink)
            together.data[row == together.indices] = 0.0
            together.eliminate_zeros()
            parts.append(keep_strongest(together, start, self._settings.neighbours))
        self._links = csr_matrix(vstack(parts))


@dataclass(frozen=True)
class SequentialRulesSettings:
    """reach: how many steps back a rule looks. recent: history items that vote. keep: rules kept of each item."""

    reach: int = 20
    recent: int = 10
    keep: int = 1000

    def __post_init__(self) -> None:
        if min(self.reach, self.recent, self.keep) < 1:
            raise ValueError("reach, recent and keep must be at least 1")


class SequentialRules(LinkScorer):
    """Sequential rules (Ludewig and Jannach 2018): i then j counts 1 over their distance; recent items weigh more."""

    def __init__(self, settings: SequentialRulesSettings) -> None:
        self._settings = settings

    def fit(self, training: Training, context: Context) -> None:
        from scipy.sparse import csr_matrix, vstack

        del context
        sequences, n_items, reach = training.sequences, training.n_items, self._settings.reach
        ends = np.repeat(sequences.offsets[1:], sequences.lengths)
        by_item = np.argsort(sequences.values, kind="stable")
        counts = np.bincount(sequences.values, minlength=n_items)
        first = offsets_of(counts)
        parts = []
        for start, stop in item_blocks(counts * reach, _PAIRS):
            places = by_item[first[start] : first[stop]]
            before, after, distances = [], [], []
            for distance in range(1, reach + 1):
                places = places[places + distance < ends[places]]
                before.append(sequences.values[places] - start)
                after.append(sequences.values[places + distance])
                distances.append(np.full(len(places), 1.0 / distance, np.float32))
            pairs = (np.concatenate(before), np.concatenate(after))
            rules = csr_matrix((np.concatenate(distances), pairs), shape=(stop - start, n_items))
            parts.append(keep_strongest(rules, start, self._settings.keep))
        self._links = csr_matrix(vstack(parts))

    def weights(self, histories: Ragged) -> FloatArray:
        back = histories.offsets[1:][histories.row_of] - np.arange(len(histories.values))
        return np.where(back <= self._settings.recent, 1.0 / back, 0.0).astype(np.float32)


def item_blocks(work: IntArray, most: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of consecutive items whose work adds up to at most `most`, or of one item: bounds the memory."""
    total = np.cumsum(work)
    start = 0
    while start < len(work):
        done = total[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(total, done + most, side="right")))
        yield start, stop
        start = stop


def keep_strongest(links: csr_matrix, first: int, keep: int) -> csr_matrix:
    """The `keep` largest weights of each row; ties fall by a hash, not by number.

    first: the item that row 0 belongs to.
    """
    chosen = np.ones(len(links.data), dtype=bool)
    for row in np.flatnonzero(np.diff(links.indptr) > keep):
        span = slice(links.indptr[row], links.indptr[row + 1])
        weights = links.data[span]
        edge = np.partition(weights, -keep)[-keep]
        strong = weights > edge
        equal = np.flatnonzero(weights == edge)
        room = keep - np.count_nonzero(strong)
        keys = tie_keys(np.array(first + row), links.indices[span][equal])
        strong[equal[np.argpartition(keys, room - 1)[:room]]] = True
        chosen[span] = strong
    kept = links.copy()
    kept.data[~chosen] = 0.0
    kept.eliminate_zeros()
    return kept


class IdOrder(ScoringModel):
    """A leak probe that learns nothing: the highest item number in the history + 1, + 2, …

    Where numbers were given by first appearance over whole histories, the held-out item of a user often
    carries the number after the last one seen, and this rule finds it (PUBLISHED.md, line 1).
    """

    def __init__(self, settings: NoSettings) -> None:
        del settings
        self._numbers = np.zeros(0, np.int32)

    def fit(self, training: Training, context: Context) -> None:
        del context
        self._numbers = training.item_numbers

    def scores(self, queries: Queries) -> FloatArray:
        return self._scores_of(self._numbers[None, :], queries)

    def candidate_scores(self, queries: Queries) -> FloatArray:
        assert queries.candidates is not None
        return self._scores_of(self._numbers[queries.candidates], queries)

    def _scores_of(self, numbers: IntArray, queries: Queries) -> FloatArray:
        highest = np.zeros(len(queries), np.int32)
        np.maximum.at(highest, queries.histories.row_of, self._numbers[queries.histories.values])
        # Items just above the highest come first in rising order; those below follow, far behind.
        ahead = (numbers - highest[:, None] - 1) % np.int32(len(self._numbers))
        return -ahead.astype(np.float32)


_COMMON = {"family": "rule", "tasks": ("sequential", "topn"), "deterministic": True}

MODELS = (
    ModelInfo("popularity", "Popularity", factory="baselines.rules:Popularity", **_COMMON),
    ModelInfo(
        "item-knn",
        "ItemKNN",
        factory="baselines.rules:ItemKnn",
        settings=ItemKnnSettings,
        paper="Sarwar et al., WWW 2001",
        **_COMMON,
    ),
    ModelInfo(
        "sequential-rules",
        "Sequential rules",
        factory="baselines.rules:SequentialRules",
        settings=SequentialRulesSettings,
        paper="Ludewig and Jannach, UMUAI 2018",
        **_COMMON,
    ),
    ModelInfo(
        "id-order",
        "Id order (leak probe)",
        factory="baselines.rules:IdOrder",
        protocol_settings=("item_numbering",),
        **{**_COMMON, "family": "probe"},
    ),
)
