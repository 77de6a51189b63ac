"""Amazon review files: JSON lines, plain or gzipped, in the fields of 2014, 2018 and 2023."""

from __future__ import annotations

import gzip
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np

from bench.data.dataset import DataNote, Dataset, dataset_from_events
from bench.errors import UserError

SOURCE = "Amazon reviews (JSON lines)"
_GZIP_MAGIC = b"\x1f\x8b"


class Review(NamedTuple):
    """One line of a review file.

    user, item: the source's ids.
    rating:     stars.
    time:       seconds since 1970.
    text:       the review; "" where the source has none.
    summary:    its title; "" where the source has none.
    line:       its 1-based line in the file.
    """

    user: str
    item: str
    rating: float
    time: float
    text: str
    summary: str
    line: int


class _Fields(NamedTuple):
    """How one flavour of the data calls things; several names mean the first that is there."""

    user: str
    item: tuple[str, ...]
    rating: str
    time: str
    text: str
    summary: str
    per_second: float


_FIELDS_2014 = _Fields("reviewerID", ("asin",), "overall", "unixReviewTime", "reviewText", "summary", 1.0)
_FIELDS_2023 = _Fields("user_id", ("parent_asin", "asin"), "rating", "timestamp", "text", "title", 1000.0)


def read_amazon_reviews(path: Path, name: str) -> Dataset:
    """Read a review file: a user's items by time, equal times in file order.

    Users are numbered by first appearance in the file, items by first appearance walking the users.
    A review without text stays: it yields an interaction but no explanation; the notes count it.
    Raises UserError as `iter_reviews` does, and where the file holds no review.
    Source: Amazon product data (McAuley lab), 2014, 2018 and 2023.
    """
    user_codes: dict[str, int] = {}
    item_codes: dict[str, int] = {}
    users, items, times, ratings = array("i"), array("i"), array("d"), array("f")
    textless = 0
    for review in iter_reviews(path):
        users.append(user_codes.setdefault(review.user, len(user_codes)))
        items.append(item_codes.setdefault(review.item, len(item_codes)))
        times.append(review.time)
        ratings.append(review.rating)
        textless += not review.text.strip()
    if not users:
        raise UserError("no reviews", str(path), "check that the file is the right one and not empty")
    return dataset_from_events(
        name,
        SOURCE,
        np.frombuffer(users, dtype=np.int32),
        np.frombuffer(items, dtype=np.int32),
        list(user_codes),
        list(item_codes),
        times=np.frombuffer(times, dtype=np.float64),
        ratings=np.frombuffer(ratings, dtype=np.float32),
        notes=(DataNote("reviews without text, kept as interactions, not explained", textless),),
    )


def iter_reviews(path: Path) -> Iterator[Review]:
    """The reviews of a file in file order, one at a time; blank lines are passed over.

    Raises UserError where the file cannot be read or ends early, and with line and field where a line is not a
    JSON object, lacks user, item, rating or time, or has a rating or time that is no number.
    """
    import orjson

    for number, line in _lines(path):
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            if not line.strip():
                continue
            raise UserError(f"is not JSON ({error.msg})", f"{path}:{number}", "download the file again") from error
        if not isinstance(record, dict):
            raise UserError("is not a JSON object", f"{path}:{number}", "give one review a line")
        yield _review(record, path, number)


def _review(record: dict[str, Any], path: Path, number: int) -> Review:
    fields = _FIELDS_2023 if "user_id" in record and "reviewerID" not in record else _FIELDS_2014
    item = next((name for name in fields.item if record.get(name)), fields.item[-1])
    user = record.get(fields.user)
    rating, time = record.get(fields.rating), record.get(fields.time)
    for name, value in ((fields.user, user), (item, record.get(item))):
        if not isinstance(value, str) or not value:
            raise _bad_field(record, name, path, number, "a string that is not empty")
    for name, value in ((fields.rating, rating), (fields.time, time)):
        if type(value) not in (int, float):
            raise _bad_field(record, name, path, number, "a number")
    text, summary = record.get(fields.text), record.get(fields.summary)
    for name, value in ((fields.text, text), (fields.summary, summary)):
        if value is not None and not isinstance(value, str):
            raise _bad_field(record, name, path, number, "a string")
    seconds = cast(float, time) / fields.per_second
    return Review(cast(str, user), record[item], cast(float, rating), seconds, text or "", summary or "", number)


def _bad_field(record: dict[str, Any], name: str, path: Path, number: int, wanted: str) -> UserError:
    where = f"{path}:{number} field {name}"
    if name not in record:
        return UserError("the field is missing", where, f"every review needs {name}")
    return UserError(f"{str(record[name])[:40]!r} is not {wanted}", where, "correct the line")


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(1-based number, line) of a file; what it begins with tells whether it is gzipped, not its name."""
    number = 0
    try:
        with _open(path) as stream:
            for line in stream:
                number += 1
                yield number, line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        what = f"file is truncated after line {number}"
        if not isinstance(error, EOFError):
            what = f"file is damaged after line {number} ({error})"
        raise UserError(what, str(path), "download it again") from error
    except OSError as error:
        what = f"cannot be read ({error.strerror})"
        raise UserError(what, str(path), "check the path and its permissions") from error


def _open(path: Path) -> BinaryIO:
    with path.open("rb") as stream:
        zipped = stream.read(2) == _GZIP_MAGIC
    return cast(BinaryIO, gzip.open(path, "rb")) if zipped else path.open("rb")
