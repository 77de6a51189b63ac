"""Rules that learn little or nothing: popularity, item-knn, sequential rules, and the id-order leak probe."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
from scipy import sparse

from bench.models import Context, ModelInfo, NoSettings, ScoringModel, Training
from bench.ragged import FloatArray, IntArray, Ragged
from bench.tasks import Queries, tie_keys


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


class SparseScorer(ScoringModel):
    """Scores items by a weighted sum of the history items' rows in a sparse item-item matrix."""

    _links: sparse.csr_matrix

    def weights(self, histories: Ragged) -> FloatArray:
        """(total,) weight of each history item in `histories.values`."""
        return np.ones(len(histories.values), np.float32)

    def scores(self, queries: Queries) -> FloatArray:
        histories = queries.histories
        shape = (len(queries), queries.n_items)
        weighted = sparse.csr_matrix((self.weights(histories), histories.values, histories.offsets), shape=shape)
        return cast(sparse.csr_matrix, weighted @ self._links).toarray()


@dataclass(frozen=True)
class ItemKnnSettings:
    """neighbours: similar items kept of each item. shrink: added to the norms, damps rare pairs."""

    neighbours: int = 100
    shrink: float = 10.0


class ItemKnn(SparseScorer):
    """Item-based nearest neighbours with shrunk cosine similarity (Sarwar et al. 2001)."""

    def __init__(self, settings: ItemKnnSettings) -> None:
        self._settings = settings

    def fit(self, training: Training, context: Context) -> None:
        del context
        sequences = training.sequences
        ones = np.ones(len(sequences.values), np.float32)
        shape = (training.n_users, training.n_items)
        matrix = sparse.csr_matrix((ones, sequences.values, sequences.offsets), shape=shape)
        together = (matrix.T @ matrix).tocoo()
        norms = np.sqrt(np.asarray(matrix.sum(axis=0)).ravel())
        off = together.row != together.col
        row, col = together.row[off], together.col[off]
        similarity = np.asarray(together.data[off] / (norms[row] * norms[col] + self._settings.shrink), np.float32)
        self._links = keep_strongest(row, col, similarity, training.n_items, self._settings.neighbours)


@dataclass(frozen=True)
class SequentialRulesSettings:
    """reach: how many steps back a rule looks. recent: history items that vote. keep: rules kept of each item."""

    reach: int = 10
    recent: int = 10
    keep: int = 200


class SequentialRules(SparseScorer):
    """Sequential rules (Ludewig and Jannach 2018): i then j counts 1 over their distance; recent items weigh more."""

    def __init__(self, settings: SequentialRulesSettings) -> None:
        self._settings = settings

    def fit(self, training: Training, context: Context) -> None:
        del context
        values, row_of = training.sequences.values, training.sequences.row_of
        rows, cols, weights = [], [], []
        for distance in range(1, self._settings.reach + 1):
            same = row_of[distance:] == row_of[:-distance]
            rows.append(values[:-distance][same])
            cols.append(values[distance:][same])
            weights.append(np.full(int(same.sum()), 1.0 / distance, np.float32))
        row, col = np.concatenate(rows), np.concatenate(cols)
        summed = sparse.coo_matrix((np.concatenate(weights), (row, col)), shape=(training.n_items,) * 2).tocsr().tocoo()
        self._links = keep_strongest(
            summed.row, summed.col, np.asarray(summed.data, np.float32), training.n_items, self._settings.keep
        )

    def weights(self, histories: Ragged) -> FloatArray:
        back = histories.offsets[1:][histories.row_of] - np.arange(len(histories.values))
        return np.where(back <= self._settings.recent, 1.0 / back, 0.0).astype(np.float32)


def keep_strongest(row: IntArray, col: IntArray, weight: FloatArray, n_items: int, keep: int) -> sparse.csr_matrix:
    """(n_items, n_items) CSR of the `keep` largest weights of each row; ties fall by a hash, not by number."""
    order = np.lexsort((tie_keys(row, col), -weight, row))
    row, col, weight = row[order], col[order], weight[order]
    starts = np.searchsorted(row, np.arange(n_items))
    strong = np.arange(len(row)) - starts[row] < keep
    kept = (weight[strong].astype(np.float32), (row[strong], col[strong]))
    return sparse.csr_matrix(kept, shape=(n_items, n_items))


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

    @cached_property
    def _n_items(self) -> int:
        return len(self._numbers)

    def scores(self, queries: Queries) -> FloatArray:
        highest = np.zeros(len(queries), np.int64)
        np.maximum.at(highest, queries.histories.row_of, self._numbers[queries.histories.values])
        # Items just above the highest come first in rising order; those below follow, far behind.
        ahead = (self._numbers[None, :] - highest[:, None] - 1) % self._n_items
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
