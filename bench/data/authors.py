"""The authors' folder format: `sequential.txt` with the users' items as numbers, and JSON files around it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.dataset import DataNote, Dataset
from bench.errors import UserError
from bench.ragged import IntArray, Ragged, offsets_of

SEQUENCES = "sequential.txt"
MAPS = "datamaps.json"
NEGATIVES = "negative.txt"
ATTRIBUTES = "item_attributes.json"
N_NEGATIVES = 99
SOURCE = "authors' folder (sequential.txt)"

_BLOCK = 1 << 24
_MAX_DIGITS = 18  # what always fits into int64
_BAD, _BLANK, _NEWLINE, _DIGIT = range(4)
_KINDS = np.full(256, _BAD, dtype=np.uint8)
_KINDS[[ord(" "), ord("\t")]] = _BLANK
_KINDS[ord("\n")] = _NEWLINE
_KINDS[ord("0") : ord("9") + 1] = _DIGIT


@dataclass(frozen=True, eq=False)
class NumberRows:
    """The lines of a file of whole numbers that hold any.

    path:    the file.
    values:  (total,) int64, all lines laid end to end.
    offsets: (n + 1,) row r is values[offsets[r]:offsets[r + 1]].
    lines:   (n,) the 1-based line of each row.
    empty:   how many lines were empty and skipped.
    """

    path: Path
    values: IntArray
    offsets: IntArray
    lines: IntArray
    empty: int

    @property
    def firsts(self) -> IntArray:
        """(n,) the first number of each line: the user."""
        return self.values[self.offsets[:-1]]

    def where(self, row: int, field: int = 0) -> str:
        """A row, and if given a 1-based field of it, as errors name them."""
        return f"{self.path}:{self.lines[row]}" + (f" field {field}" if field else "")


def read_authors_folder(folder: Path, name: str) -> Dataset:
    """Read sequential.txt and, where they are there, datamaps.json, item_attributes.json and negative.txt.

    A user's index is the rank of its line, an item's the rank of its number among those of sequential.txt.
    Of a repeated item of a user the earliest stays; empty lines are skipped; both are counted in the notes.
    Raises UserError, with file, line and field, on whatever does not fit together.
    Source: the folders of S3-Rec, P5 and POD.
    """
    rows = read_number_rows(folder / SEQUENCES)
    if not len(rows.lines):
        raise UserError("no interactions", str(rows.path), "check that the file is the right one and not empty")
    lengths = np.diff(rows.offsets)
    lone = np.flatnonzero(lengths < 2)
    if len(lone):
        user = rows.firsts[lone[0]]
        raise UserError(f"user {user} has no items", rows.where(lone[0], 2), "add them or remove the line")
    _no_repeated_users(rows)
    is_item = np.ones(len(rows.values), dtype=bool)
    is_item[rows.offsets[:-1]] = False
    numbers, items = np.unique(rows.values[is_item], return_inverse=True)
    users = np.repeat(np.arange(len(lengths)), lengths - 1)
    keep = np.zeros(len(items), dtype=bool)
    keep[np.unique(users * len(numbers) + items, return_index=True)[1]] = True
    sequences = Ragged(items[keep].astype(np.int32), offsets_of(np.bincount(users[keep], minlength=len(lengths))))
    user_ids, item_ids, catalogue = _read_ids(folder, rows, numbers)
    attributes, unused = _read_attributes(folder, numbers, catalogue)
    notes = [
        DataNote("empty lines skipped", rows.empty),
        DataNote("repeated user-item pairs dropped, the earliest kept", int(len(keep) - keep.sum())),
    ]
    if unused:
        notes.append(DataNote("items with attributes but no interactions left out", unused))
    return Dataset(
        name=name,
        source=SOURCE,
        user_ids=user_ids,
        item_ids=item_ids,
        sequences=sequences,
        attributes=attributes,
        negatives=_read_negatives(folder, rows.firsts, numbers, sequences),
        notes=tuple(notes),
    )


def read_bytes(path: Path) -> bytes:
    """The content of a file; UserError where it is missing or cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"cannot be read ({error.strerror})", str(path), "check the path and its permissions"
        ) from error


def read_number_rows(path: Path) -> NumberRows:
    """All lines of a file of whole numbers parted by blanks; UserError at the first field that is none."""
    data = read_bytes(path).removeprefix(b"\xef\xbb\xbf")
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    values: list[IntArray] = [np.empty(0, np.int64)]
    counts: list[IntArray] = [np.empty(0, np.int64)]
    start = 0
    while start < len(data):  # in blocks, so that the temporary masks stay small beside the file
        stop = data.find(b"\n", start + _BLOCK) + 1 or len(data)
        parsed = _parse_block(data[start:stop])
        if parsed is None:
            raise _first_bad_field(path, data)
        values.append(parsed[0])
        counts.append(parsed[1])
        start = stop
    per_line = np.concatenate(counts)
    filled = np.flatnonzero(per_line)
    empty = len(per_line) - len(filled)
    return NumberRows(path, np.concatenate(values), offsets_of(per_line[filled]), filled + 1, empty)


def _parse_block(block: bytes) -> tuple[IntArray, IntArray] | None:
    """The numbers of some whole lines and how many each line holds; None where a field is not a number."""
    if not block.endswith(b"\n"):
        block += b"\n"
    kinds = _KINDS[np.frombuffer(block, dtype=np.uint8)]
    if (kinds == _BAD).any():
        return None
    digit = kinds == _DIGIT
    starts = np.flatnonzero(digit[1:] & ~digit[:-1]) + 1
    if digit[0]:
        starts = np.concatenate([[0], starts])
    ends = np.flatnonzero(digit[:-1] & ~digit[1:]) + 1  # the block ends in a newline, so every number ends inside
    if len(starts) and (ends - starts).max() > _MAX_DIGITS:
        return None
    counts = np.diff(np.searchsorted(starts, np.flatnonzero(kinds == _NEWLINE)), prepend=0)
    if not len(starts):
        return np.empty(0, np.int64), counts
    return np.fromstring(block, dtype=np.int64, sep=" "), counts


def _first_bad_field(path: Path, data: bytes) -> UserError:
    for number, line in enumerate(io.BytesIO(data), 1):
        fields = [field for field in line.rstrip(b"\n").replace(b"\t", b" ").split(b" ") if field]
        for place, field in enumerate(fields, 1):
            if not field.isdigit() or len(field) > _MAX_DIGITS:
                shown = field[:40].decode("utf-8", "replace")
                fix = "write each line as: user item item …, in numbers"
                return UserError(f"{shown!r} is not a whole number", f"{path}:{number} field {place}", fix)
    return UserError("is not a file of whole numbers", str(path), "write each line as: user item item …")


def _no_repeated_users(rows: NumberRows) -> None:
    users = rows.firsts
    order = np.argsort(users, kind="stable")
    again = order[1:][users[order][1:] == users[order][:-1]]
    if len(again):
        row = int(again.min())
        first = int(np.flatnonzero(users == users[row])[0])
        what = f"user {users[row]} already has line {rows.lines[first]}"
        raise UserError(what, rows.where(row, 1), "give each user one line")


def _read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None where there is no such file."""
    if not path.exists():
        return None
    import orjson

    try:
        content = orjson.loads(read_bytes(path))
    except orjson.JSONDecodeError as error:
        raise UserError(f"is not JSON ({error.msg})", f"{path}:{error.lineno}", "restore the file") from error
    if not isinstance(content, dict):
        raise UserError("is not a JSON object", str(path), "restore the file")
    return content


def _read_ids(
    folder: Path, rows: NumberRows, numbers: IntArray
) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, Any]]:
    """Raw ids of users and items, and all of id2item; numbers stand for themselves where there is no map."""
    path = folder / MAPS
    maps = _read_json(path)
    if maps is None:
        return tuple(map(str, rows.firsts.tolist())), tuple(map(str, numbers.tolist())), {}
    for field in ("id2user", "id2item"):
        if not isinstance(maps.get(field), dict):
            raise UserError(
                f"has no object '{field}'", str(path), "restore it, or remove the file to use numbers as ids"
            )
    users, items = rows.firsts.tolist(), numbers.tolist()
    user_ids = [maps["id2user"].get(str(user)) for user in users]
    item_ids = [maps["id2item"].get(str(item)) for item in items]
    if None in user_ids:
        row = user_ids.index(None)
        raise UserError(f"user {users[row]} is missing from id2user of {path}", rows.where(row, 1), "add it there")
    if None in item_ids:
        item = items[item_ids.index(None)]
        raise UserError(f"item {item} is missing from id2item of {path}", _where_item(rows, item), "add it there")
    for field, ids, known in (("id2user", user_ids, users), ("id2item", item_ids, items)):
        _check_raw_ids(path, field, ids, known)
    return tuple(map(str, user_ids)), tuple(map(str, item_ids)), maps["id2item"]


def _where_item(rows: NumberRows, item: int) -> str:
    """Where an item number first stands; a user may bear the same number, so first fields do not count."""
    is_item = rows.values == item
    is_item[rows.offsets[:-1]] = False
    place = int(np.argmax(is_item))
    row = int(np.searchsorted(rows.offsets, place, side="right")) - 1
    return rows.where(row, place - int(rows.offsets[row]) + 1)


def _check_raw_ids(path: Path, field: str, ids: list[Any], numbers: list[int]) -> None:
    seen: dict[Any, int] = {}
    for raw, number in zip(ids, numbers, strict=True):
        if not isinstance(raw, str | int) or isinstance(raw, bool):
            raise UserError(f"{raw!r} is not an id", f"{path} {field}.{number}", "give a string")
        if seen.setdefault(str(raw), number) != number:
            what = f"{raw!r} is also the id of {seen[str(raw)]}"
            raise UserError(what, f"{path} {field}.{number}", "give each number an id of its own")


def _read_attributes(folder: Path, numbers: IntArray, catalogue: dict[str, Any]) -> tuple[Ragged | None, int]:
    """Row i: the attribute numbers of item i; and how many items of id2item have attributes but no interaction."""
    path = folder / ATTRIBUTES
    content = _read_json(path)
    if content is None:
        return None, 0
    place = {str(number): row for row, number in enumerate(numbers.tolist())}
    rows: list[list[int]] = [[] for _ in place]
    unused = 0
    for item, attributes in content.items():
        where = f"{path} item {item!r}"
        if not isinstance(attributes, list) or not all(type(a) is int and 1 <= a < 2**31 for a in attributes):
            raise UserError("attributes are not a list of numbers from 1", where, "write them as [1, 2, 3]")
        if item in place:
            rows[place[item]] = attributes
        elif item in catalogue:
            unused += 1
        else:
            raise UserError(f"attributes for an item unknown to {SEQUENCES}", where, "remove it")
    return Ragged.from_rows(rows), unused


def _find(known: IntArray, wanted: IntArray) -> IntArray:
    """For each wanted number its place in the sorted, distinct `known`; -1 where it is not there."""
    place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[place] == wanted, place, -1)


def _read_negatives(folder: Path, users: IntArray, numbers: IntArray, sequences: Ragged) -> Ragged | None:
    """Row u: the 99 item indices that the source fixed for user u; None where there is no negative.txt."""
    path = folder / NEGATIVES
    if not path.exists():
        return None
    rows = read_number_rows(path)
    lengths = np.diff(rows.offsets)
    odd = np.flatnonzero(lengths != N_NEGATIVES + 1)
    if len(odd):
        row = int(odd[0])
        what = f"{lengths[row] - 1} negatives for user {rows.firsts[row]}, not {N_NEGATIVES}"
        raise UserError(what, rows.where(row), f"give exactly {N_NEGATIVES}")
    _no_repeated_users(rows)
    order = np.argsort(users)
    found = _find(users[order], rows.firsts)
    if (found < 0).any():
        row = int(np.flatnonzero(found < 0)[0])
        raise UserError(f"user {rows.firsts[row]} is not in {SEQUENCES}", rows.where(row, 1), "remove the line")
    owner = order[found]
    if len(owner) < len(users):
        missing = users[np.setdiff1d(np.arange(len(users)), owner)[0]]
        raise UserError(f"no negatives for user {missing}", str(path), "add a line for every user, or remove the file")
    given = rows.values.reshape(-1, N_NEGATIVES + 1)[:, 1:]
    items = _find(numbers, given)
    _check_negatives(rows, given, items, owner, sequences, len(numbers))
    out = np.empty(items.shape, dtype=np.int32)
    out[owner] = items
    return Ragged(out.ravel(), offsets_of(np.full(len(users), N_NEGATIVES)))


def _check_negatives(
    rows: NumberRows, given: IntArray, items: IntArray, owner: IntArray, sequences: Ragged, n_items: int
) -> None:
    """UserError at the first negative that is no known item, repeated in its line or in its user's history."""
    if (items < 0).any():
        row, column = np.argwhere(items < 0)[0]
        what = f"item {given[row, column]} is not in {SEQUENCES}"
        raise UserError(what, rows.where(row, column + 2), "remove it from the negatives")
    order = np.argsort(items, axis=1, kind="stable")
    ordered = np.take_along_axis(items, order, axis=1)
    again = ordered[:, 1:] == ordered[:, :-1]
    if again.any():
        row = int(np.flatnonzero(again.any(axis=1))[0])
        column = int(order[row, 1:][again[row]].min())
        raise UserError(
            f"item {given[row, column]} is repeated", rows.where(row, column + 2), "give distinct negatives"
        )
    seen = np.sort(sequences.row_of.astype(np.int64) * n_items + sequences.values)
    bad = _find(seen, owner[:, None].astype(np.int64) * n_items + items) >= 0
    if bad.any():
        row, column = np.argwhere(bad)[0]
        positive = sequences[int(owner[row])][-1] == items[row, column]
        which = "is the test item of" if positive else "is in the history of"
        what = f"item {given[row, column]} {which} user {rows.firsts[row]}"
        raise UserError(what, rows.where(row, column + 2), "draw negatives from items the user never touched")
