"""What is asked of a model, what comes back, and how it is judged.

A model gets `Queries` and returns a `Ranking`; it never sees the truth. `judge` compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from bench.metrics.ranking import first_rank, ranking_scores
from bench.ragged import BoolArray, FloatArray, IntArray, Ragged
from bench.splits import Split, Stage

TaskName = Literal["sequential", "topn", "explanation"]

# The ranking tasks; explanation is asked by pairs (`bench.models.Pairs`) and answered in sentences.
TASKS: dict[str, str] = {
    "sequential": "next item among the whole catalogue, history removed",
    "topn": "the held-out item among it and 99 fixed negatives",
}
LIST_LENGTH = 20
_TIE_SEED = 0x9E3779B97F4A7C15
_BLOCK = 8192


@dataclass(frozen=True, eq=False)
class Queries:
    """Questions of one task and stage.

    task, stage: what is asked, of which held-out item.
    users:       (n,) user indices.
    histories:   row r: the items user r saw before, oldest first.
    candidates:  (n, 100) the items to rank, -1 for none; None: rank the whole catalogue.
    n_items:     size of the catalogue.
    k:           how many places the ranking should fill.
    keep_history: leave history items in the ranking (`published`, PUBLISHED.md line 16); otherwise none may appear.
    """

    task: TaskName
    stage: Stage
    users: IntArray
    histories: Ragged
    candidates: IntArray | None
    n_items: int
    k: int = LIST_LENGTH
    keep_history: bool = False

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: IntArray) -> Queries:
        """The given queries, in the given order."""
        candidates = None if self.candidates is None else self.candidates[rows]
        return replace(self, users=self.users[rows], histories=self.histories.take(rows), candidates=candidates)

    def chunks(self, size: int) -> Iterator[tuple[slice, Queries]]:
        """Consecutive parts of at most `size` queries with their places."""
        for start in range(0, len(self), size):
            rows = np.arange(start, min(start + size, len(self)))
            yield slice(start, start + len(rows)), self.take(rows)


@dataclass(frozen=True, eq=False)
class Ranking:
    """Ranked items of each query.

    items:  (n, k) item indices, best first, -1 where there are fewer.
    scores: (n, k) float32, higher is better, -inf where there is no item.
    """

    items: IntArray
    scores: FloatArray


def make_queries(split: Split, task: TaskName, stage: Stage, *, keep_history: bool = False) -> Queries:
    """The questions of a task at a stage, one per evaluated user, in user order."""
    return Queries(
        task=task,
        stage=stage,
        users=split.users,
        histories=split.histories(stage),
        candidates=split.candidates[stage] if task == "topn" else None,
        n_items=split.dataset.n_items,
        keep_history=keep_history,
    )


def select_top(scores: FloatArray, queries: Queries) -> Ranking:
    """Turn scores into a ranking; the one place where history is removed and ties are broken.

    scores: (n, n_items) for the whole catalogue, or (n, c) aligned with queries.candidates; overwritten.
            -inf and nan take an item off the list.
    Ties fall by a hash of user and item: independent of the item's number, of the truth and of who
    shares the batch, and the same in every run.
    """
    n, width = scores.shape
    expected = queries.n_items if queries.candidates is None else queries.candidates.shape[1]
    if n != len(queries) or width != expected:
        raise ValueError(f"scores must be ({len(queries)}, {expected}), got {scores.shape}")
    if scores.dtype.kind != "f":
        raise ValueError(f"scores must be floating-point numbers, got {scores.dtype}")
    np.copyto(scores, -np.inf, where=np.isnan(scores))
    if queries.candidates is not None:
        scores[queries.candidates < 0] = -np.inf
    elif not queries.keep_history:
        scores[queries.histories.row_of, queries.histories.values] = -np.inf
    k = min(queries.k, width)
    columns = _top_columns(scores, queries, k)
    listed = columns >= 0
    top = np.where(listed, np.take_along_axis(scores, columns, axis=1), -np.inf)
    items = columns if queries.candidates is None else np.take_along_axis(queries.candidates, columns, axis=1)
    items = np.where(listed, items, -1)
    order = np.lexsort((tie_keys(queries.users[:, None], items), -top), axis=1)
    ranking = Ranking(np.full((n, queries.k), -1, np.int32), np.full((n, queries.k), -np.inf, np.float32))
    ranking.items[:, :k] = np.take_along_axis(items, order, axis=1)
    ranking.scores[:, :k] = np.take_along_axis(top, order, axis=1)
    return ranking


def _top_columns(scores: FloatArray, queries: Queries, k: int) -> IntArray:
    """(n, k) columns of the k best scores above -inf of each row, in no order; -1 where there are fewer."""
    n, width = scores.shape
    # A copy of the scores and a mask of them are all that is made in their size: the catalogue may be large.
    edge = np.partition(scores, width - k, axis=1)[:, width - k]
    chosen = scores >= np.maximum(edge, np.finfo(scores.dtype).min)[:, None]
    counts = np.count_nonzero(chosen, axis=1)
    tied = np.flatnonzero(counts > k)
    chosen[tied] = False
    counts[tied] = 0
    columns = np.full((n, k), -1, np.int64)
    columns[np.arange(k) < counts[:, None]] = np.flatnonzero(chosen) % width
    for row in tied:
        better = np.flatnonzero(scores[row] > edge[row])
        equal = np.flatnonzero(scores[row] == edge[row])
        items = equal if queries.candidates is None else queries.candidates[row, equal]
        room = k - len(better)
        first = np.argpartition(tie_keys(queries.users[row], items), room - 1)[:room]
        columns[row] = np.concatenate([better, equal[first]])
    return columns


def tie_keys(users: IntArray, items: IntArray) -> IntArray:
    """A 64-bit hash of each (user, item) pair (the finaliser of splitmix64); broadcasts."""
    x = np.asarray(users).astype(np.uint64) * np.uint64(_TIE_SEED) + np.asarray(items).astype(np.uint64)
    with np.errstate(over="ignore"):
        x = x + np.uint64(_TIE_SEED)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def judge(
    ranking: Ranking, queries: Queries, truth: IntArray, *, per_occurrence: bool = False
) -> dict[str, FloatArray]:
    """Per-query metrics of a ranking, and the place of the truth ("rank", 0 where it is not listed).

    Raises ValueError where a ranking breaks the task's rules: wrong shape, an unknown item, a history item,
    an item outside the candidates, or (unless per_occurrence) an item twice. No number comes of such a list.
    """
    check_ranking(ranking, queries, repeats=per_occurrence)
    scores = ranking_scores(ranking.items, truth, per_occurrence=per_occurrence)
    scores["rank"] = first_rank(ranking.items, truth).astype(np.float64)
    return scores


def check_ranking(ranking: Ranking, queries: Queries, *, repeats: bool = False) -> None:
    """Raise ValueError, naming the first offending query, where a ranking breaks the rules of its task.

    repeats: an item may be listed twice.
    """
    items = ranking.items
    if items.shape != (len(queries), queries.k) or ranking.scores.shape != items.shape:
        raise ValueError(f"ranking must be ({len(queries)}, {queries.k}), got {items.shape}")
    if items.dtype.kind not in "iu":
        raise ValueError(f"items must be whole numbers, got {items.dtype}")
    for start in range(0, len(items), _BLOCK):
        rows = slice(start, min(start + _BLOCK, len(items)))
        for what, broken in _broken_rules(items[rows], queries, rows, repeats):
            if broken.any():
                row = start + int(np.argmax(broken))
                raise ValueError(f"the list of user {int(queries.users[row])} (query {row}) holds {what}")


def _broken_rules(items: IntArray, queries: Queries, rows: slice, repeats: bool) -> Iterator[tuple[str, BoolArray]]:
    """Each rule of the task in words, and (b,) which of these rows break it."""
    yield "an item outside the catalogue", np.any((items < -1) | (items >= queries.n_items), axis=1)
    items = np.sort(items, axis=1)
    again = (items[:, 1:] == items[:, :-1]) & (items[:, 1:] >= 0)
    if not repeats:
        yield "an item twice", np.any(again, axis=1)
    elif again.any():
        items[:, 1:][again] = -1
    if queries.candidates is not None:
        found = _how_many_among(items, queries.candidates[rows])
        yield "an item outside the candidates", found < np.count_nonzero(items >= 0, axis=1)
    elif not queries.keep_history:
        seen = queries.histories.slice_rows(queries.histories.offsets[:-1][rows], queries.histories.offsets[1:][rows])
        yield "an item of the history", _how_many_in(items, seen, queries.n_items) > 0


# Sorted together, an odd key comes right after the even key of an equal item: far cheaper than looking each up.


def _how_many_among(items: IntArray, others: IntArray) -> IntArray:
    """(b,) how many items of each row, distinct and -1 aside, are among the others of that row."""
    keys = np.concatenate([2 * others + 2, 2 * items + 3], axis=1)
    keys.sort(axis=1)
    after = keys[:, 1:]
    return np.count_nonzero((after - keys[:, :-1] == 1) & (after % 2 == 1) & (after > 1), axis=1)


def _how_many_in(items: IntArray, others: Ragged, n_items: int) -> IntArray:
    """(b,) the same for others in rows of any length."""
    stride = 2 * (n_items + 1)
    rows = np.arange(len(items), dtype=np.int64) * stride
    keys = np.concatenate([(rows[:, None] + 2 * items + 3).ravel(), rows[others.row_of] + 2 * others.values + 2])
    keys.sort()
    after = keys[1:]
    found = after[(after - keys[:-1] == 1) & (after % 2 == 1) & (after % stride > 1)]
    return np.bincount(found // stride, minlength=len(items))
