"""Predictions from outside, judged by the same code: a CSV or Parquet file with columns user, rank and item."""

from __future__ import annotations

import csv
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import UserError
from bench.protocols import Protocol
from bench.ragged import BoolArray, FloatArray, IntArray
from bench.splits import Split
from bench.tasks import LIST_LENGTH, Queries, Ranking, TaskName, judge, make_queries

COLUMNS = ("user", "rank", "item")
_RANK = "^[1-9][0-9]{0,8}$"
_FORM = "the form is: user,rank,item with the source's ids and ranks from 1"


@dataclass(frozen=True)
class Estimate:
    """mean over users, its standard error, and the 95% interval (normal approximation)."""

    mean: float
    error: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """What a predictions file is worth.

    evaluated:   users that are judged. listed: those of them with a list; the others count 0.
    unevaluated: users of the file that are too short to be judged, left out.
    beyond:      rows at places after the last one that counts.
    """

    file: str
    dataset: str
    task: TaskName
    protocol: str
    evaluated: int
    listed: int
    unevaluated: int
    beyond: int
    metrics: dict[str, Estimate]


@dataclass(frozen=True)
class _Rows:
    """The file as numbers. users, ranks, items: (rows,). first: the line or row number of rows[0]; unit: which."""

    path: Path
    users: IntArray
    ranks: IntArray
    items: IntArray
    unit: str
    first: int

    def place(self, row: int, field: str) -> str:
        return f"{self.path}: {self.unit} {self.first + row}, field {field}"


def judge_file(path: Path, split: Split, task: TaskName, protocol: Protocol) -> Verdict:
    """Judge a predictions file on the split's test items.

    protocol: whether history items and repeated items may stand in a list.
    Raises UserError, with line and field, at an unknown user or item, a rank that is no whole number from 1 or occurs
    twice, a repeated item, an item of the history, or one outside the candidates.
    """
    queries = make_queries(split, task, "test", keep_history=protocol.keep_history)
    rows = _read(path, split)
    _no_repeats(rows, split, rows.ranks, "rank", "rank")
    if not protocol.per_occurrence:
        _no_repeats(rows, split, rows.items, "item", "item")
    row_of = np.full(split.dataset.n_users, -1, np.int64)
    row_of[split.users] = np.arange(len(split.users))
    judged = row_of[rows.users]
    _allowed(rows, split, queries, judged)
    ranking = _ranking(rows, judged, queries)
    values = judge(ranking, queries, split.truth("test"), per_occurrence=protocol.per_occurrence)
    return Verdict(
        file=str(path),
        dataset=split.dataset.name,
        task=task,
        protocol=protocol.name,
        evaluated=len(queries),
        listed=len(np.unique(judged[judged >= 0])),
        unevaluated=len(np.unique(rows.users[judged < 0])),
        beyond=int(((rows.ranks > LIST_LENGTH) & (judged >= 0)).sum()),
        metrics={name: estimate(column) for name, column in values.items() if name != "rank"},
    )


def estimate(values: FloatArray) -> Estimate:
    """Mean, standard error (n - 1 in the denominator) and 95% interval of (n,) per-user values."""
    mean = float(values.mean())
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
    return Estimate(mean, error, mean - 1.96 * error, mean + 1.96 * error)


def _read(path: Path, split: Split) -> _Rows:
    table, unit, first = read_columns(path, COLUMNS, _FORM)
    place = f"{path}: {unit}"
    ranks = _ranks(table.column("rank"), place, first)
    indices = {}
    for field, ids in (("user", split.dataset.user_ids), ("item", split.dataset.item_ids)):
        indices[field] = indices_of(table.column(field), ids, field, place, first)
    return _Rows(path, indices["user"], ranks, indices["item"], unit, first)


def read_columns(path: Path, columns: Sequence[str], form: str, *, lines: bool = True) -> tuple[Any, str, int]:
    """Columns of a CSV or Parquet file as an Arrow table, how its rows are called, and the number of the first.

    columns: must be there once each; others may. form: what is said of the file where it is wrong.
    lines:   rows of a CSV file are lines; else fields may hold line breaks, and rows are counted.
    Raises UserError where the file cannot be read, lacks a column or has no rows.
    """
    import pyarrow as pa

    try:
        with path.open("rb") as stream:
            parquet = stream.read(4) == b"PAR1"
        table = _read_parquet(path, columns, form) if parquet else _read_csv(path, columns, form, lines)
    except OSError as error:
        raise UserError(error.strerror or str(error), str(path), "check the file") from error
    except (pa.ArrowException, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot be read ({error})", str(path), form) from error
    if table.num_rows == 0:
        raise UserError("holds no predictions", str(path), form)
    return (table, "line", 2) if lines and not parquet else (table, "row", 1)


def _read_parquet(path: Path, columns: Sequence[str], form: str) -> Any:
    import pyarrow.parquet as pq

    _need_columns(pq.read_schema(path).names, path, columns, form)
    return pq.read_table(path, columns=list(columns))


def _read_csv(path: Path, columns: Sequence[str], form: str, lines: bool) -> Any:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    with path.open(encoding="utf-8-sig", newline="") as stream:
        _need_columns(next(csv.reader(stream), []), path, columns, form)
    return arrow_csv.read_csv(
        path,
        parse_options=arrow_csv.ParseOptions(ignore_empty_lines=False, newlines_in_values=not lines),
        convert_options=arrow_csv.ConvertOptions(
            include_columns=list(columns),
            column_types=dict.fromkeys(columns, pa.string()),
            strings_can_be_null=False,
        ),
    )


def _need_columns(names: list[str], path: Path, columns: Sequence[str], form: str) -> None:
    for column in columns:
        if names.count(column) != 1:
            what = f"column '{column}' is missing" if column not in names else f"column '{column}' is there twice"
            raise UserError(what, f"{path}: line 1", f"it has {', '.join(names) or 'none'}; {form}")


def _ranks(column: Any, place: str, first: int) -> IntArray:
    import pyarrow as pa

    # A number with a fraction shows as "1.0" and is refused like any other text.
    texts = column.cast(pa.string())
    good = np.asarray(_compute().fill_null(_compute().match_substring_regex(texts, _RANK), False))
    if not good.all():
        row = int(np.argmin(good))
        what = f"'{texts[row]}' is not a rank"
        raise UserError(what, f"{place} {first + row}, field rank", "ranks are whole numbers from 1")
    return np.asarray(texts.cast(pa.int64()))


def _compute() -> Any:
    """pyarrow.compute, whose functions are made at run time and unknown to type checkers."""
    return importlib.import_module("pyarrow.compute")


def indices_of(column: Any, ids: tuple[str, ...], field: str, place: str, first: int) -> IntArray:
    """(rows,) the index of each id of a column; UserError, naming the row, at one that is unknown.

    place: the file, and how its rows are called. first: the number of the first row.
    """
    import pyarrow as pa

    column = column.cast(pa.string())
    places = _compute().index_in(column, value_set=pa.array(ids, pa.string()))
    found = np.asarray(_compute().fill_null(places, -1)).astype(np.int64)
    if (found < 0).any():
        row = int(np.argmax(found < 0))
        what = f"unknown {field} '{column[row]}'"
        raise UserError(what, f"{place} {first + row}, field {field}", "give the ids of the source")
    return found


def _no_repeats(rows: _Rows, split: Split, values: IntArray, what: str, field: str) -> None:
    """UserError where a user has a value twice, naming the first line that repeats one."""
    keys = rows.users * (int(values.max()) + 1) + values
    order = np.argsort(keys, kind="stable")
    again = order[1:][keys[order][1:] == keys[order][:-1]]
    if len(again):
        row = int(again.min())
        earlier = int(np.argmax(keys == keys[row])) + rows.first
        shown = split.dataset.item_ids[values[row]] if field == "item" else values[row]
        user = split.dataset.user_ids[rows.users[row]]
        text = f"user '{user}' has {what} '{shown}' twice, before in {rows.unit} {earlier}"
        raise UserError(text, rows.place(row, field), "list each once")


def _allowed(rows: _Rows, split: Split, queries: Queries, judged: IntArray) -> None:
    """UserError at the first item that the task does not allow its user."""
    n_items = queries.n_items
    keys = judged * n_items + rows.items
    if queries.candidates is not None:
        lists = np.where(queries.candidates >= 0, queries.candidates, n_items * len(queries))
        allowed = np.isin(keys, np.arange(len(queries))[:, None] * n_items + lists)
        what, fix = "is none of the user's candidates", "rank the candidates of split.npz in the results folder"
    elif not queries.keep_history:
        histories = queries.histories
        allowed = ~np.isin(keys, histories.row_of.astype(np.int64) * n_items + histories.values)
        what, fix = "is in the user's history", "leave history items out, or give --protocol published"
    else:
        return
    bad: BoolArray = ~allowed & (judged >= 0)
    if bad.any():
        row = int(np.argmax(bad))
        item, user = split.dataset.item_ids[rows.items[row]], split.dataset.user_ids[rows.users[row]]
        raise UserError(f"item '{item}' of user '{user}' {what}", rows.place(row, "item"), fix)


def _ranking(rows: _Rows, judged: IntArray, queries: Queries) -> Ranking:
    """The lists as the referee takes them: place = rank, -1 where a rank is left out."""
    counts = (judged >= 0) & (rows.ranks <= queries.k)
    at = (judged[counts], rows.ranks[counts] - 1)
    items = np.full((len(queries), queries.k), -1, np.int32)
    items[at] = rows.items[counts]
    scores = np.full(items.shape, -np.inf, np.float32)
    scores[at] = -rows.ranks[counts]
    return Ranking(items, scores)
