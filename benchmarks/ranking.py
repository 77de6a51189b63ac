"""How long all users of Beauty take to be ranked and scored: `python -m benchmarks.ranking [--data-dir DIR]`.

Bars: 10 seconds and 2.5 GB for a matrix factorisation of 64 factors, both tasks. Its weights are random, which
costs what trained ones cost. The rules are held to the same bars, fitting included.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from bench.data.catalog import load_dataset
from bench.data.dataset import Dataset
from bench.models import Context, Model, ScoringModel, Training, discover
from bench.protocols import PROTOCOLS
from bench.ragged import FloatArray, Ragged, offsets_of
from bench.runs.execute import training_data
from bench.splits import Split, make_split
from bench.tasks import Queries, TaskName, judge, make_queries
from benchmarks.measure import Bar, finish, hold

N_USERS, N_ITEMS, WIDTH = 22_363, 12_101, 64
RULES = ("popularity", "item-knn", "sequential-rules", "id-order")
STEPS = {name: Bar(10.0, 2.5) for name in ("mf", *RULES)}
TASKS: tuple[TaskName, ...] = ("sequential", "topn")


class Factors(ScoringModel):
    """Matrix factorisation with random weights."""

    def fit(self, training: Training, context: Context) -> None:
        rng = context.rng()
        self._users = rng.standard_normal((training.n_users, WIDTH), dtype=np.float32)
        self._items = rng.standard_normal((training.n_items, WIDTH), dtype=np.float32)

    def scores(self, queries: Queries) -> FloatArray:
        return self._users[queries.users] @ self._items.T


def beauty(folder: str | None) -> Dataset:
    """The real data where its folder is given, else random sequences of its size."""
    if folder:
        return load_dataset("beauty", Path(folder))
    rng = np.random.default_rng(0)
    lengths = np.full(N_USERS, 9)
    start, step = rng.integers(0, N_ITEMS, N_USERS), rng.integers(1, N_ITEMS, N_USERS)
    items = (start[:, None] + step[:, None] * np.arange(9)) % N_ITEMS
    users, ids = (tuple(map(str, range(n))) for n in (N_USERS, N_ITEMS))
    return Dataset("beauty-sized", "generated", users, ids, Ragged(items.astype(np.int32).ravel(), offsets_of(lengths)))


def rank_all(model: Model, split: Split) -> dict[str, float]:
    """NDCG@10 of both tasks."""
    found: dict[str, float] = {}
    for task in TASKS:
        queries = make_queries(split, task, "test")
        values = judge(model.rank(queries), queries, split.truth("test"))
        found[task] = round(float(values["NDCG@10"].mean()), 4)
    return found


def main(arguments: list[str]) -> int:
    """With a step: measure it here. Without: measure all, each in a process of its own; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", nargs="?", choices=list(STEPS))
    parser.add_argument("--data-dir", help="where Beauty lies; without it: random sequences of its size")
    typed = parser.parse_args(arguments)
    if typed.step is None:
        return min(1, hold("benchmarks.ranking", STEPS, *arguments))
    step, folder = typed.step, typed.data_dir
    split = make_split(beauty(folder))
    training = training_data(split, TASKS, PROTOCOLS["sound"])
    if step == "mf":
        model: Model = Factors()
    else:
        info = discover().get(step)
        model = info.build(info.settings())

    def work() -> dict[str, float]:
        model.fit(training, Context(0))
        return rank_all(model, split)

    finish(work)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
