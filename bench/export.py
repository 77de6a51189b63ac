"""The split as CSV files in the source's ids, for systems outside the suite; test answers are left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.ragged import IntArray
from bench.runs.record import whole_or_nothing
from bench.runs.workspace import make_folder
from bench.splits import Split


def export_split(split: Split, folder: Path) -> list[Path]:
    """Write what a model may see, one row per interaction or candidate, columns user and item.

    train.csv: training interactions, each user's oldest first. valid.csv: the validation item of each evaluated
    user. candidates-valid.csv, candidates-test.csv: the items to rank for top-N, 100 a user, in their fixed order.
    A model that is to be judged by `--score` learns from the first two; the item of valid.csv is the last one of
    each user's history at test time. Returns the paths.
    """
    make_folder(folder)
    train = split.train
    tables = {
        "train.csv": (train.row_of, train.values),
        "valid.csv": (split.users, split.truth("valid")),
        "candidates-valid.csv": _listed(split, split.candidates["valid"]),
        "candidates-test.csv": _listed(split, split.candidates["test"]),
    }
    return [_write(split, folder / name, users, items) for name, (users, items) in tables.items()]


def _listed(split: Split, candidates: IntArray) -> tuple[IntArray, IntArray]:
    rows, places = np.nonzero(candidates >= 0)
    return split.users[rows], candidates[rows, places]


def _write(split: Split, path: Path, users: IntArray, items: IntArray) -> Path:
    import pyarrow as pa
    import pyarrow.csv as pc

    data = split.dataset
    columns = {
        "user": pa.array(data.user_ids).take(pa.array(users)),
        "item": pa.array(data.item_ids).take(pa.array(items)),
    }
    aside = path.with_name(f".tmp-{path.name}")
    with whole_or_nothing(aside):
        pc.write_csv(pa.table(columns), aside)
        aside.replace(path)
    return path
