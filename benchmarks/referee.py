"""How fast the referee judges a million lists of twenty: `python -m benchmarks.referee`.

Bars: 5 seconds and 2 GB for each task, inputs included in the memory. Lists are generated: what is measured is
checking every rule of the task and computing every metric.
"""

from __future__ import annotations

import sys

import numpy as np

from bench.ragged import IntArray, Ragged, offsets_of
from bench.tasks import LIST_LENGTH, Queries, Ranking, TaskName, judge
from benchmarks.measure import Bar, finish, hold

N_USERS, N_ITEMS, N_CANDIDATES = 1_000_000, 50_021, 100
STEPS = {task: Bar(5.0, 2.0) for task in ("sequential", "topn")}


def make_lists(task: TaskName, rng: np.random.Generator) -> tuple[Ranking, Queries, IntArray]:
    """Lists that obey the rules; the truth is in about a third of them."""
    start = rng.integers(0, N_ITEMS, (N_USERS, 1), dtype=np.int32)
    step = rng.integers(1, 500, (N_USERS, 1), dtype=np.int32)

    def walk(first: int, places: int) -> IntArray:
        """(N_USERS, places) distinct items of each user: a prime catalogue makes every step a full cycle."""
        return (start + step * np.arange(first, first + places, dtype=np.int32)) % N_ITEMS

    lengths = np.minimum(rng.geometric(0.15, N_USERS) + 2, 60)
    rows = np.repeat(np.arange(N_USERS, dtype=np.int32), lengths)
    places = N_CANDIDATES + np.arange(len(rows)) - np.repeat(offsets_of(lengths)[:-1], lengths)
    seen = (start[rows, 0] + step[rows, 0] * places.astype(np.int32)) % N_ITEMS
    truth = (start + step * rng.integers(0, 3 * LIST_LENGTH, (N_USERS, 1), dtype=np.int32))[:, 0] % N_ITEMS
    queries = Queries(
        task,
        "test",
        np.arange(N_USERS, dtype=np.int32),
        Ragged(seen.astype(np.int32), offsets_of(lengths)),
        walk(0, N_CANDIDATES) if task == "topn" else None,
        N_ITEMS,
    )
    return Ranking(walk(0, LIST_LENGTH), np.zeros((N_USERS, LIST_LENGTH), np.float32)), queries, truth


def main(arguments: list[str]) -> int:
    """With a step: measure it here. Without: measure all, each in a process of its own; 1 if a bar is missed."""
    if not arguments:
        return min(1, hold("benchmarks.referee", STEPS))
    task: TaskName = "topn" if arguments[0] == "topn" else "sequential"
    ranking, queries, truth = make_lists(task, np.random.default_rng(1))
    finish(lambda: {name: round(float(v.mean()), 4) for name, v in judge(ranking, queries, truth).items()})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
