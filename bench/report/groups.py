"""Whose test item its number gives away, kept in a file so that reports need no data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from bench.errors import UserError
from bench.ragged import BoolArray, IntArray
from bench.runs.record import whole_or_nothing
from bench.splits import Numbering, Split, item_numbers

FILE = "leak_groups.parquet"
_SPLIT = b"split"
NUMBERINGS: tuple[Numbering, ...] = get_args(Numbering)


@dataclass(frozen=True, eq=False)
class Groups:
    """The evaluated users of a split in two groups, once an item numbering.

    users: (n,) user indices, ascending.
    next:  numbering -> (n,) whether the user's test item has the number after the highest of the history.
    """

    users: IntArray
    next: Mapping[Numbering, BoolArray]

    @classmethod
    def of(cls, split: Split) -> Groups:
        """The groups of a split, under every numbering."""
        return cls(split.users, {numbering: follows_highest(split, numbering) for numbering in NUMBERINGS})


def follows_highest(split: Split, numbering: Numbering) -> BoolArray:
    """(n,) whether the test item of each evaluated user has the highest number of the history + 1.

    The history is what the user had seen before the test item, the validation item included.
    """
    numbers = item_numbers(split, numbering)
    histories = split.histories("test")
    highest = np.zeros(len(histories), numbers.dtype)
    np.maximum.at(highest, histories.row_of, numbers[histories.values])
    return numbers[split.truth("test")] == highest + 1


def write_groups(split: Split, path: Path) -> None:
    """Write the groups aside and rename them into place: a column "user", and one of truth values a numbering."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    groups = Groups.of(split)
    columns = {"user": groups.users.astype(np.int32), **groups.next}
    table = pa.table(columns).replace_schema_metadata({_SPLIT: split.fingerprint.encode()})
    aside = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    with whole_or_nothing(aside):
        encoding = {"user": "DELTA_BINARY_PACKED"}
        pq.write_table(table, aside, compression="zstd", use_dictionary=False, column_encoding=encoding)
        aside.replace(path)


def read_groups(path: Path, split_fingerprint: str) -> Groups | None:
    """The groups in a file, None where there is none.

    Raises UserError where it is damaged or of another split.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.exists():
        return None
    fix = "remove it and run without --report-only"
    try:
        table = pq.read_table(path)
        written = (table.schema.metadata or {}).get(_SPLIT, b"").decode()
        found: dict[Numbering, BoolArray] = {
            numbering: table.column(numbering).to_numpy().astype(bool) for numbering in NUMBERINGS
        }
        groups = Groups(table.column("user").to_numpy(), found)
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise UserError(f"not a readable file of user groups ({error})", str(path), fix) from error
    if written != split_fingerprint:
        prints = f"fingerprint {written or 'missing'}, now {split_fingerprint}"
        raise UserError(f"these user groups are of another split ({prints})", str(path), fix)
    return groups
