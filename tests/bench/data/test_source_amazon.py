"""Amazon review files: recounted with pandas, the flavours by hand, round trips, damaged files."""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data.amazon import Review, iter_reviews, read_amazon_reviews
from bench.errors import UserError

MUSICAL = "data/musical/reviews_Musical_Instruments_5.json.gz"


def record(user="u", item="i", rating=5.0, time=100, **more):
    return {"reviewerID": user, "asin": item, "overall": rating, "unixReviewTime": time, "reviewText": "ok", **more}


def write(folder, *records, name="reviews.json"):
    lines = [r if isinstance(r, str) else json.dumps(r) for r in records]
    path = folder / name
    text = "\n".join(lines).encode()
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return path


def mistake(path) -> str:
    with pytest.raises(UserError) as caught:
        read_amazon_reviews(path, "x")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_musical_as_pandas_counts_it(shared):
    dataset = read_amazon_reviews(shared / MUSICAL, "musical")
    frame = pd.read_json(shared / MUSICAL, lines=True, convert_dates=False)
    assert (dataset.n_users, dataset.n_items, dataset.n_interactions) == (1429, 900, 10261)
    assert dataset.n_items == frame.asin.nunique()
    assert list(dataset.user_ids) == list(frame.reviewerID.unique())
    groups = frame.sort_values("unixReviewTime", kind="stable").groupby("reviewerID", sort=False)
    expected = groups.asin.agg(list)
    stars = groups.overall.agg(list)
    assert dataset.ratings is not None
    for user, name in enumerate(dataset.user_ids):
        assert [dataset.item_ids[i] for i in dataset.sequences[user]] == expected[name]
        begin, end = dataset.sequences.offsets[user : user + 2]
        assert dataset.ratings[begin:end].tolist() == stars[name]
    walk = [item for user in dataset.user_ids for item in expected[user]]
    assert list(dataset.item_ids) == list(dict.fromkeys(walk))
    assert [note.count for note in dataset.notes] == [int((frame.reviewText.str.strip() == "").sum()), 0]
    assert dataset.notes[0].count == 7


def test_musical_has_the_ties_that_the_file_order_must_break(shared):
    frame = pd.read_json(shared / MUSICAL, lines=True, convert_dates=False)
    tied = frame.duplicated(["reviewerID", "unixReviewTime"], keep=False)
    assert frame[tied].reviewerID.nunique() == 1237


def test_ties_keep_file_order_and_repeats_keep_the_earliest(tmp_path):
    path = write(
        tmp_path,
        record("b", "z", 1, 50),
        record("a", "x", 2, 70),
        record("b", "y", 3, 50),
        record("b", "x", 4, 10),
        record("a", "x", 5, 60),
        record("b", "z", 5, 99),
    )
    dataset = read_amazon_reviews(path, "ties")
    assert dataset.user_ids == ("b", "a")
    assert dataset.item_ids == ("x", "z", "y")
    assert [row.tolist() for row in (dataset.sequences[0], dataset.sequences[1])] == [[0, 1, 2], [0]]
    assert dataset.ratings is not None and dataset.ratings.tolist() == [4, 1, 3, 5]
    assert dataset.notes[1].count == 2


def test_flavours_of_2018_and_2023(tmp_path):
    old = record("u1", "i1", 4.0, 1500, verified=True, style={"Size:": "L"}, image=["x.jpg"], summary="s")
    del old["reviewText"]
    empty = record("u1", "i2", reviewText=" ") | {"summary": None}
    new = {
        "user_id": "u2",
        "asin": "v",
        "parent_asin": "p",
        "rating": 3,
        "timestamp": 1500250,
        "text": "t",
        "title": "T",
    }
    plain = {"user_id": "u2", "asin": "v", "rating": 1.0, "timestamp": 1000, "text": None, "title": ""}
    path = write(tmp_path, old, "", empty, new, plain, name="mixed.jsonl")
    assert list(iter_reviews(path)) == [
        Review("u1", "i1", 4.0, 1500.0, "", "s", 1),
        Review("u1", "i2", 5.0, 100.0, " ", "", 3),
        Review("u2", "p", 3, 1500.25, "t", "T", 4),
        Review("u2", "v", 1.0, 1.0, "", "", 5),
    ]
    dataset = read_amazon_reviews(path, "mixed")
    assert dataset.notes[0].count == 3 and dataset.n_interactions == 4


reviews = st.lists(
    st.tuples(
        st.text(min_size=1, max_size=3),
        st.text(min_size=1, max_size=3),
        st.integers(1, 5),
        st.integers(0, 5),
        st.text(),
    ),
    min_size=1,
    max_size=12,
)


@given(reviews, st.booleans())
def test_round_trip(rows, zipped):
    with tempfile.TemporaryDirectory() as folder:
        records = [record(u, i, s, t, reviewText=text) for u, i, s, t, text in rows]
        path = write(Path(folder), *records, name="r.json.gz" if zipped else "r.json")
        read = list(iter_reviews(path))
        dataset = read_amazon_reviews(path, "trip")
    assert [(r.user, r.item, r.rating, r.time, r.text) for r in read] == rows
    for user, name in enumerate(dataset.user_ids):
        own = sorted((row for row in rows if row[0] == name), key=lambda row: row[3])
        expected = list(dict.fromkeys(row[1] for row in own))
        assert [dataset.item_ids[i] for i in dataset.sequences[user]] == expected


def without(field):
    return {key: value for key, value in record().items() if key != field}


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{'reviewerID': 'a'}", "reviews.json:2: is not JSON"),
        ('{"reviewerID": "a"', "reviews.json:2: is not JSON"),
        ("[1]", "reviews.json:2: is not a JSON object"),
        (without("reviewerID"), "reviews.json:2 field reviewerID: the field is missing"),
        (without("asin"), "reviews.json:2 field asin: the field is missing"),
        (without("overall"), "reviews.json:2 field overall: the field is missing"),
        (without("unixReviewTime"), "reviews.json:2 field unixReviewTime: the field is missing"),
        (record(time="yesterday"), "reviews.json:2 field unixReviewTime: 'yesterday' is not a number"),
        (record(rating=None), "reviews.json:2 field overall: 'None' is not a number"),
        (record(rating=True), "reviews.json:2 field overall: 'True' is not a number"),
        (record(user=""), "reviews.json:2 field reviewerID: '' is not a string that is not empty"),
        (record(item=7), "reviews.json:2 field asin: '7' is not a string"),
        (record(reviewText=[1]), "reviews.json:2 field reviewText: '[1]' is not a string"),
        ({"user_id": "a", "asin": "b", "rating": 1}, "reviews.json:2 field timestamp: the field is missing"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, what):
    assert what in mistake(write(tmp_path, record(), line, record()))


def test_truncated_gzip_says_after_which_line(tmp_path):
    path = write(tmp_path, *(record(f"u{i}", f"i{i * 7919 % 1000}", time=i * i) for i in range(5000)), name="r.json.gz")
    path.write_bytes(path.read_bytes()[:-2000])
    message = mistake(path)
    lines = int(message.split("after line ")[1].split(";")[0])
    assert "r.json.gz: file is truncated after line" in message and "download it again" in message
    assert 0 < lines < 5000


def test_damaged_gzip(tmp_path):
    path = write(tmp_path, record(), name="r.json.gz")
    content = bytearray(path.read_bytes())
    content[-6] ^= 0xFF
    path.write_bytes(bytes(content))
    assert "file is damaged after line" in mistake(path)


def test_what_a_file_begins_with_counts_not_its_name(tmp_path):
    path = write(tmp_path, record(), name="r.json.gz")
    assert len(list(iter_reviews(path.rename(tmp_path / "r.json")))) == 1


def test_missing_unreadable_and_empty_files(tmp_path):
    assert "cannot be read" in mistake(tmp_path / "none.json")
    assert "cannot be read" in mistake(tmp_path)
    assert "no reviews" in mistake(write(tmp_path))
