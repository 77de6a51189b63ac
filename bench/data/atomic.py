"""RecBole's atomic files: `X.inter` and, for item attributes, `X.item`; tab-separated under a typed header."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.data.dataset import DataNote, Dataset, dataset_from_events, first_appearance
from bench.errors import UserError
from bench.ragged import FloatArray, IntArray, Ragged

SOURCE = "RecBole atomic files (.inter)"
ATTRIBUTE_COLUMNS = ("class", "categories", "category", "genres", "genre")

_USER, _ITEM, _RATING, _TIME = "user_id", "item_id", "rating", "timestamp"
_TYPES = ("token", "token_seq", "float", "float_seq")
_PERMISSIONS = "check the path and its permissions"


def read_atomic_folder(folder: Path, name: str, file: Path | None = None) -> Dataset:
    """Read user_id, item_id and, where they are there, rating and timestamp of the folder's `.inter` file.

    file: which `.inter` file; None: the one called like the folder, else the only one.
    Without a timestamp column the order of the
    file counts. Users are numbered by first appearance in the file, items by first appearance walking the users.
    Attributes come from the first token_seq column of `.item` called class, categories, category, genres or genre:
    its space-separated tokens, numbered from 1 in sorted order. Without such a file or column there are none.
    Raises UserError, with file, line and field, on what does not parse.
    Source: recbole.io, atomic files.
    """
    path = inter_file(folder) if file is None else file
    header = _header(path)
    for column in (_USER, _ITEM):
        if header.get(column) != "token":
            raise UserError(f"has no column {column}:token", f"{path}:1", "name the columns as RecBole does")
    for column in (_RATING, _TIME):
        if header.get(column, "float") != "float":
            raise UserError(f"column {column} is of type {header[column]}", f"{path}:1", f"write {column}:float")
    codes, numbers = _read_events(path, header)
    users, user_ids = codes[_USER]
    items, item_ids = codes[_ITEM]
    dataset = dataset_from_events(
        name, SOURCE, users, items, user_ids, item_ids, numbers.get(_TIME), numbers.get(_RATING)
    )
    item_path = path.with_suffix(".item")
    if not item_path.exists():
        return dataset
    attributes, unused = _read_attributes(item_path, dataset.item_ids)
    notes = dataset.notes
    if unused:
        notes = (*notes, DataNote("items with attributes but no interactions left out", unused))
    return Dataset(
        name=name,
        source=SOURCE,
        user_ids=dataset.user_ids,
        item_ids=dataset.item_ids,
        sequences=dataset.sequences,
        ratings=dataset.ratings,
        attributes=attributes,
        notes=notes,
    )


def inter_file(folder: Path) -> Path:
    """The `.inter` file of a folder: the one called like the folder, else the only one; UserError otherwise."""
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix == ".inter")
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", str(folder), _PERMISSIONS) from error
    named = [path for path in found if path.stem == folder.name]
    if len(named or found) == 1:
        return (named or found)[0]
    if not found:
        raise UserError("has no .inter file", str(folder), "give a folder of RecBole atomic files")
    listed = ", ".join(path.name for path in found)
    raise UserError(f"has several .inter files ({listed})", str(folder), "keep one, or name one like the folder")


def recbole_example(name: str) -> Path:
    """The folder of a data set that RecBole ships, found without importing RecBole.

    Raises UserError where RecBole is not installed or ships no such data set.
    """
    spec = importlib.util.find_spec("recbole")
    for root in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(root) / "dataset_example" / name
        if folder.is_dir():
            return folder
    if spec is None:
        fix = "install it with: pip install 'podium-bench[neural]', or give the files with --data-dir"
        raise UserError("comes with RecBole, which is not installed", f"dataset {name}", fix)
    fix = "give the files with --data-dir"
    raise UserError("the installed RecBole does not ship this data set", f"dataset {name}", fix)


def _header(path: Path) -> dict[str, str]:
    """Column name -> type, in file order."""
    try:
        with path.open("rb") as stream:
            line = stream.readline().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", str(path), _PERMISSIONS) from error
    except UnicodeDecodeError as error:
        raise UserError("is not UTF-8 text", f"{path}:1", "convert the file") from error
    columns: dict[str, str] = {}
    for place, field in enumerate(line.rstrip("\r\n").split("\t"), 1):
        column, _, kind = field.rpartition(":")
        if not column or kind not in _TYPES or column in columns:
            what = f"{field!r} is not a new name:type, type one of {', '.join(_TYPES)}"
            raise UserError(what, f"{path}:1 field {place}", "write the header as RecBole does")
        columns[column] = kind
    return columns


def _read_events(
    path: Path, header: dict[str, str]
) -> tuple[dict[str, tuple[IntArray, list[str]]], dict[str, FloatArray]]:
    """(codes, ids by first appearance) of users and items, and the numbers of rating and timestamp."""
    import pyarrow as pa
    import pyarrow.csv as pc

    tokens = pa.dictionary(pa.int32(), pa.string())
    wanted = [column for column in (_USER, _ITEM, _RATING, _TIME) if column in header]
    try:
        table = pc.read_csv(
            path,
            read_options=pc.ReadOptions(column_names=list(header), skip_rows=1),
            parse_options=pc.ParseOptions(delimiter="\t", quote_char=False),
            convert_options=pc.ConvertOptions(
                include_columns=wanted,
                column_types={column: tokens if column in (_USER, _ITEM) else pa.float64() for column in wanted},
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise _first_bad_row(path, header, wanted, str(error)) from error
    if table.num_rows == 0:
        raise UserError("no interactions", str(path), "check that the file is the right one and not empty")
    numbers = {column: table[column].to_numpy() for column in wanted[2:]}
    if any(table[column].null_count for column in wanted) or not all(np.isfinite(v).all() for v in numbers.values()):
        raise _first_bad_row(path, header, wanted, "a value is missing")
    codes: dict[str, tuple[IntArray, list[str]]] = {}
    for column in (_USER, _ITEM):
        joined = table[column].unify_dictionaries().combine_chunks()
        raw, ids = joined.indices.to_numpy(), joined.dictionary.to_pylist()
        rank = first_appearance(raw, len(ids))
        codes[column] = rank[raw].astype(np.int32), [ids[place] for place in np.argsort(rank)]
    return codes, numbers


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(1-based line, fields) of the filled lines under the header."""
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                text = line.rstrip(b"\r\n")
                if number > 1 and text:
                    yield number, text.decode("utf-8").split("\t")
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", str(path), _PERMISSIONS) from error
    except UnicodeDecodeError as error:
        raise UserError(f"is not UTF-8 text ({error.reason})", str(path), "convert the file") from error


def _first_bad_row(path: Path, header: dict[str, str], wanted: list[str], otherwise: str) -> UserError:
    """What is wrong in the first row that is; read line by line, since the fast parser does not name lines."""
    columns = list(header)
    for number, fields in _rows(path):
        if len(fields) != len(columns):
            return UserError(f"{len(fields)} fields, not {len(columns)}", f"{path}:{number}", "part them by tabs")
        for place, (column, value) in enumerate(zip(columns, fields, strict=True), 1):
            if column not in wanted:
                continue
            where = f"{path}:{number} field {place} ({column})"
            if not value:
                return UserError("is empty", where, "fill it in or remove the line")
            if header[column] == "float" and not _is_number(value):
                return UserError(f"{value[:40]!r} is not a number", where, "correct it or remove the line")
    return UserError(f"does not parse ({otherwise})", str(path), "check the file")


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _read_attributes(path: Path, item_ids: tuple[str, ...]) -> tuple[Ragged | None, int]:
    """Row i: the attribute numbers of item i; and how many items of the file are in no interaction."""
    header = _header(path)
    columns = list(header)
    if header.get(_ITEM) != "token":
        raise UserError(f"has no column {_ITEM}:token", f"{path}:1", "name the columns as RecBole does")
    named = [column for column in columns if header[column] == "token_seq" and column in ATTRIBUTE_COLUMNS]
    if not named:
        return None, 0
    item_at, tokens_at = columns.index(_ITEM), columns.index(named[0])
    tokens: dict[str, list[str]] = {}
    for number, fields in _rows(path):
        if len(fields) != len(columns):
            raise UserError(f"{len(fields)} fields, not {len(columns)}", f"{path}:{number}", "part them by tabs")
        item = fields[item_at]
        if item in tokens:
            raise UserError(f"item {item!r} is there twice", f"{path}:{number}", "give each item one line")
        tokens[item] = fields[tokens_at].split()
    known = set(item_ids)
    vocabulary = sorted({token for item, row in tokens.items() if item in known for token in row})
    codes = {token: number for number, token in enumerate(vocabulary, 1)}
    rows = [[codes[token] for token in tokens.get(item, [])] for item in item_ids]
    return Ragged.from_rows(rows), len(tokens.keys() - known)
