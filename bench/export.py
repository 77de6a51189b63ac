"""The split as CSV files in the source's ids, for systems outside the suite; test answers are left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.explanations import TEST, TRAIN, VALID, Explanations, held_out
from bench.ragged import IntArray
from bench.runs.record import whole_or_nothing
from bench.runs.workspace import make_folder
from bench.splits import Split


def export_split(split: Split, folder: Path) -> list[Path]:
    """Write what a model may see, one row per interaction or candidate, columns user and item.

    train.csv: training interactions, each user's oldest first. valid.csv: the validation item of each evaluated
    user. candidates-valid.csv, candidates-test.csv: the items to rank for top-N, 100 a user, in their fixed order.
    A model that is to be judged by `--score` learns from the first two; the item of valid.csv is the last one of
    each user's history at test time.
    Where there are explanation records: explanations-train.csv and explanations-valid.csv with feature and sentence,
    without the pairs that the recommendation tasks validate and test on (as under `sound`), and explanations-test.csv,
    the pairs to explain, nothing to train on: such pairs are among them. Returns the paths.
    """
    make_folder(folder)
    train = split.train
    tables = {
        "train.csv": (train.row_of, train.values),
        "valid.csv": (split.users, split.truth("valid")),
        "candidates-valid.csv": _listed(split, split.candidates["valid"]),
        "candidates-test.csv": _listed(split, split.candidates["test"]),
    }
    paths = [_write(split, folder / name, users, items) for name, (users, items) in tables.items()]
    return paths if split.explanations is None else [*paths, *_explanations(split, split.explanations, folder)]


def _explanations(split: Split, records: Explanations, folder: Path) -> Iterator[Path]:
    kept = ~held_out(records, split)
    for name, part in (("train", TRAIN), ("valid", VALID)):
        rows = np.flatnonzero(kept & (records.part == part))
        told = {
            column: [strings[row] for row in rows]
            for column, strings in (("feature", records.features), ("explanation", records.texts))
        }
        yield _write(split, folder / f"explanations-{name}.csv", records.users[rows], records.items[rows], told)
    rows = records.rows(TEST)
    yield _write(split, folder / "explanations-test.csv", records.users[rows], records.items[rows])


def _listed(split: Split, candidates: IntArray) -> tuple[IntArray, IntArray]:
    rows, places = np.nonzero(candidates >= 0)
    return split.users[rows], candidates[rows, places]


def _write(split: Split, path: Path, users: IntArray, items: IntArray, more: Mapping[str, Any] | None = None) -> Path:
    import pyarrow as pa
    import pyarrow.csv as pc

    data = split.dataset
    columns = {
        "user": pa.array(data.user_ids).take(pa.array(users)),
        "item": pa.array(data.item_ids).take(pa.array(items)),
        **(more or {}),
    }
    aside = path.with_name(f".tmp-{path.name}")
    with whole_or_nothing(aside):
        pc.write_csv(pa.table(columns), aside)
        aside.replace(path)
    return path
