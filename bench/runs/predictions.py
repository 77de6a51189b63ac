"""The data files of a run's record: per-user scores, rankings and sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.explanations import TEST
from bench.ragged import FloatArray
from bench.splits import Split
from bench.tasks import Ranking, TaskName

EXPLANATIONS = "predictions-explanation.parquet"


def write_per_user(path: Path, split: Split, judged: Mapping[TaskName, Mapping[str, FloatArray]]) -> None:
    """Write one row per task and evaluated user: every metric and the place of the truth."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts = []
    for task, values in judged.items():
        columns: dict[str, Any] = {"task": pa.array([task] * len(split.users)).dictionary_encode()}
        columns["user"] = split.users.astype(np.int32)
        columns.update({name: column.astype(np.float32) for name, column in values.items()})
        columns["rank"] = values["rank"].astype(np.int16)
        parts.append(pa.table(columns))
    pq.write_table(pa.concat_tables(parts, promote_options="default"), path, compression="zstd")


def write_predictions(path: Path, split: Split, ranking: Ranking) -> None:
    """Write a ranking in the form `--score` reads: user and item ids of the source, rank from 1, score."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    listed = ranking.items >= 0
    users, places = np.nonzero(listed)
    user_ids, item_ids = pa.array(split.dataset.user_ids), pa.array(split.dataset.item_ids)
    table = pa.table(
        {
            "user": pa.DictionaryArray.from_arrays(split.users[users].astype(np.int32), user_ids),
            "rank": (places + 1).astype(np.int16),
            "item": pa.DictionaryArray.from_arrays(ranking.items[listed].astype(np.int32), item_ids),
            "score": ranking.scores[listed].astype(np.float32),
        }
    )
    pq.write_table(table, path, compression="zstd")


def write_explanations(path: Path, split: Split, sentences: Sequence[str]) -> None:
    """Write the sentences for the explanation test pairs beside the ids of the source and the reference."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    records = split.explanations
    if records is None:
        raise ValueError("this split has no explanations")
    rows = records.rows(TEST)
    table = pa.table(
        {
            "user": pa.array([split.dataset.user_ids[user] for user in records.users[rows]]),
            "item": pa.array([split.dataset.item_ids[item] for item in records.items[rows]]),
            "explanation": pa.array(list(sentences), pa.string()),
            "reference": pa.array([records.texts[row] for row in rows], pa.string()),
        }
    )
    pq.write_table(table, path, compression="zstd")
