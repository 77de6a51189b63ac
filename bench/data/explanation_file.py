"""The authors' explanation.json: three lists of records of user, item and explanation, and maybe a feature."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench.data.authors import MAPS, read_bytes
from bench.data.dataset import Dataset
from bench.errors import UserError

PARTS = ("train", "val", "test")
_FIX = "write each record as {user, item, explanation}"


class FileRecord(NamedTuple):
    """A record of the file. user, item: indices into the dataset. part: 0 train, 1 val, 2 test."""

    user: int
    item: int
    text: str
    feature: str
    part: int


def read_explanation_file(path: Path, dataset: Dataset) -> Iterator[FileRecord]:
    """The records in file order, training first.

    Users and items are numbers, looked up in datamaps.json beside the file where it is there, or the source's ids.
    Raises UserError, with list, record and field, where the file is no such JSON, a record lacks a field or has one of
    the wrong kind, or names a user or item that the dataset does not have.
    """
    content = _object(path)
    for name in PARTS:
        if not isinstance(content.get(name), list):
            raise UserError(f"has no list '{name}'", str(path), f"give the lists {', '.join(PARTS)}")
    maps = _object(path.with_name(MAPS)) if path.with_name(MAPS).exists() else {}
    users = _Ids("user", dataset.user_ids, maps.get("id2user"), dataset.name)
    items = _Ids("item", dataset.item_ids, maps.get("id2item"), dataset.name)
    for part, name in enumerate(PARTS):
        for place, record in enumerate(content[name]):
            where = f"{path} {name}[{place}]"
            if not isinstance(record, dict):
                raise UserError("is not an object", where, _FIX)
            text = _text(record, "explanation", where)
            feature = _text(record, "feature", where) if record.get("feature") else ""
            yield FileRecord(users.index(record, where), items.index(record, where), text, feature, part)


class _Ids:
    """Turns what a record calls a user or an item into its index."""

    def __init__(self, field: str, ids: tuple[str, ...], numbered: Any, dataset: str) -> None:
        self._field, self._dataset = field, dataset
        self._index = {name: index for index, name in enumerate(ids)}
        self._numbered: dict[str, Any] = numbered if isinstance(numbered, dict) else {}

    def index(self, record: dict[str, Any], where: str) -> int:
        given = record.get(self._field)
        where = f"{where} field {self._field}"
        if not isinstance(given, str | int) or isinstance(given, bool):
            what = "the field is missing" if self._field not in record else f"{given!r} is not an id"
            raise UserError(what, where, _FIX)
        found = self._index.get(str(self._numbered.get(str(given), given)))
        if found is None:
            what = f"{self._field} {given!r} is unknown to dataset {self._dataset}"
            raise UserError(what, where, f"use the {MAPS} and explanations that belong to the same data")
        return found


def _text(record: dict[str, Any], field: str, where: str) -> str:
    text = record.get(field)
    if not isinstance(text, str) or not text.strip():
        what = "the field is missing" if field not in record else "is not a sentence"
        raise UserError(what, f"{where} field {field}", _FIX)
    return " ".join(text.split())


def _object(path: Path) -> dict[str, Any]:
    import orjson

    try:
        content = orjson.loads(read_bytes(path))
    except orjson.JSONDecodeError as error:
        raise UserError(f"is not JSON ({error.msg})", f"{path}:{error.lineno}", "restore the file") from error
    if not isinstance(content, dict):
        raise UserError("is not a JSON object", str(path), "restore the file")
    return content
