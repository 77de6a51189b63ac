"""Hit ratio and NDCG of one held-out item a query (POD section 4.3)."""

from __future__ import annotations

import numpy as np

from bench.ragged import BoolArray, FloatArray, IntArray

CUTOFFS: tuple[tuple[str, int], ...] = (("HR", 1), ("HR", 5), ("NDCG", 5), ("HR", 10), ("NDCG", 10))


def _hits(ranked: IntArray, truth: IntArray, k: int) -> BoolArray:
    ranked, truth = np.asarray(ranked), np.asarray(truth)
    if ranked.ndim != 2 or truth.shape != ranked.shape[:1]:
        raise ValueError(f"ranked must be (n, m) and truth (n,), got {ranked.shape} and {truth.shape}")
    if not 1 <= k <= ranked.shape[1]:
        raise ValueError(f"k must lie in 1..{ranked.shape[1]}, got {k}")
    if (truth < 0).any():
        raise ValueError("truth holds a negative id; -1 is reserved for missing places in ranked")
    return ranked[:, :k] == truth[:, None]


def hit_ratio(ranked: IntArray, truth: IntArray, k: int, *, per_occurrence: bool = False) -> FloatArray:
    """Hit ratio at k of each query.

    ranked: (n, m) item ids, best first, -1 where the model gave fewer than m.
    truth:  (n,) the one held-out item of each query.
    per_occurrence: count a repeated id every time it occurs, as the authors' code does; the result
        can then exceed 1 (PUBLISHED.md, line 18).
    Returns (n,) ones and zeros (counts with per_occurrence).
    Raises ValueError if the two disagree on n or k exceeds m.
    Source: POD section 4.3.
    """
    hits = _hits(ranked, truth, k)
    return np.asarray(np.sum(hits, axis=1) if per_occurrence else np.any(hits, axis=1), dtype=np.float64)


def ndcg(ranked: IntArray, truth: IntArray, k: int, *, per_occurrence: bool = False) -> FloatArray:
    """Normalised discounted cumulative gain at k of each query; with one relevant item the ideal is 1.

    Arguments, shapes and errors as in `hit_ratio`. A repeated id gains at its best place only, unless
    per_occurrence. Returns (n,) values, at most 1 without per_occurrence.
    Source: POD section 4.3; Jarvelin and Kekalainen 2002.
    """
    hits = _hits(ranked, truth, k)
    gains = 1.0 / np.log2(np.arange(2, k + 2))
    if per_occurrence:
        return hits @ gains
    return np.where(hits.any(axis=1), gains[hits.argmax(axis=1)], 0.0)


def first_rank(ranked: IntArray, truth: IntArray) -> IntArray:
    """(n,) the 1-based place of the truth in each list, 0 where it is not listed."""
    hits = _hits(ranked, truth, np.asarray(ranked).shape[1])
    return np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, 0).astype(np.int32)


def ranking_scores(ranked: IntArray, truth: IntArray, *, per_occurrence: bool = False) -> dict[str, FloatArray]:
    """Every ranking metric of the paper, per query: {"HR@1": (n,), "HR@5": …, "NDCG@10": …}."""
    functions = {"HR": hit_ratio, "NDCG": ndcg}
    return {f"{name}@{k}": functions[name](ranked, truth, k, per_occurrence=per_occurrence) for name, k in CUTOFFS}
