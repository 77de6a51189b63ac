"""Predictions from outside: the numbers by hand, and every mistake with its line."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes import tiny_split

from bench.errors import UserError
from bench.protocols import PROTOCOLS
from bench.ragged import Ragged
from bench.runs.outside import estimate, judge_file

SOUND, PUBLISHED = PROTOCOLS["sound"], PROTOCOLS["published"]
# Test items: u0 i3, u1 i4, u2 i4, u3 i7; u4 is too short to be evaluated.
GOOD = """user,rank,item
u0,1,i3
u0,2,i5
u1,2,i4
u1,1,i0
u3,11,i7
u3,1,i2
u4,1,i7
"""


@pytest.fixture(scope="module")
def split():
    return tiny_split()


def judged(path, text, split, task="sequential", protocol=SOUND):
    path = path / "p.csv"
    path.write_text(text, encoding="utf-8")
    return judge_file(path, split, task, protocol)


def mistake(path, text, split, task="sequential", protocol=SOUND):
    with pytest.raises(UserError) as caught:
        judged(path, text, split, task, protocol)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(path), "DIR")


def test_numbers_by_hand(tmp_path, split):
    verdict = judged(tmp_path, GOOD, split)
    assert (verdict.evaluated, verdict.listed, verdict.unevaluated, verdict.beyond) == (4, 3, 1, 0)
    means = {name: found.mean for name, found in verdict.metrics.items()}
    second = 1 / np.log2(3)
    assert means == pytest.approx(
        {"HR@1": 1 / 4, "HR@5": 2 / 4, "HR@10": 2 / 4, "NDCG@5": (1 + second) / 4, "NDCG@10": (1 + second) / 4}
    )
    # Per user 1, 1, 0, 0: the standard deviation is sqrt(1/3), over sqrt(4).
    found = verdict.metrics["HR@5"]
    assert found.error == pytest.approx(np.sqrt(1 / 3) / 2)
    assert (found.low, found.high) == pytest.approx((0.5 - 1.96 * found.error, 0.5 + 1.96 * found.error))


def test_one_user_has_no_error():
    assert np.isnan(estimate(np.array([1.0])).error) and estimate(np.array([1.0])).mean == 1.0


def test_other_columns_quotes_order_and_marks_do_not_matter(tmp_path, split):
    lines = [line.split(",") for line in GOOD.split()]
    text = "\ufeff" + "".join(f'"{item}",x,{rank},"{user}"\r\n' for user, rank, item in lines)
    assert judged(tmp_path, text, split).metrics == judged(tmp_path, GOOD, split).metrics


@pytest.mark.parametrize("kind", ["text", "dictionary", "small"])
def test_parquet(tmp_path, split, kind):
    lines = [line.split(",") for line in GOOD.split()[1:]]
    users, ranks, items = (pa.array(column) for column in zip(*lines, strict=True))
    if kind == "dictionary":
        users, items = users.dictionary_encode(), items.dictionary_encode()
    if kind != "text":
        ranks = ranks.cast(pa.int16() if kind == "small" else pa.int64())
    path = tmp_path / "p.anything"
    pq.write_table(pa.table({"score": ranks, "item": items, "rank": ranks, "user": users}), path)
    assert judge_file(path, split, "sequential", SOUND).metrics == judged(tmp_path, GOOD, split).metrics


def test_numbers_as_ids_in_parquet(tmp_path):
    from dataclasses import replace

    from fakes import tiny_dataset

    from bench.splits import make_split

    ids = replace(tiny_dataset(), user_ids=("1", "2", "3", "4", "5"), item_ids=tuple(map(str, range(8))))
    path = tmp_path / "p.parquet"
    pq.write_table(pa.table({"user": [1, 2], "rank": [1, 1], "item": [3, 0]}), path)
    assert judge_file(path, make_split(ids), "sequential", SOUND).metrics["HR@1"].mean == 0.25


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("u1,2,i4", "u9,2,i4", "DIR/p.csv: line 4, field user: unknown user 'u9'"),
        ("u1,2,i4", "u1,2,i9", "DIR/p.csv: line 4, field item: unknown item 'i9'"),
        ("u1,2,i4", "u1,2,", "line 4, field item: unknown item ''"),
        ("u1,2,i4", "u1,0,i4", "line 4, field rank: '0' is not a rank; ranks are whole numbers from 1"),
        ("u1,2,i4", "u1,-1,i4", "line 4, field rank: '-1'"),
        ("u1,2,i4", "u1,1.0,i4", "line 4, field rank: '1.0'"),
        ("u1,2,i4", "u1,,i4", "line 4, field rank: ''"),
        ("u1,2,i4", "u1,x,i4", "line 4, field rank: 'x'"),
        ("u1,2,i4", "u1,99999999999999999999,i4", "line 4, field rank: '99999999999999999999'"),
        ("u1,2,i4", "u1,1,i4", "line 5, field rank: user 'u1' has rank '1' twice, before in line 4"),
        ("u3,1,i2", "u3,1,i7", "line 7, field item: user 'u3' has item 'i7' twice, before in line 6"),
        ("u1,2,i4", "u1,2,i3", "line 4, field item: item 'i3' of user 'u1' is in the user's history"),
        ("user,rank", "user,place", "line 1: column 'rank' is missing; it has user, place, item"),
        ("user,rank", "user,rank,rank", "line 1: column 'rank' is there twice"),
        ("u1,2,i4", "u1,2", "cannot be read"),
        ("u1,2,i4", "", "line 4, field rank: ''"),
    ],
)
def test_mistakes(tmp_path, split, old, new, message):
    assert old in GOOD
    assert message in mistake(tmp_path, GOOD.replace(old, new, 1), split)


def test_empty_files(tmp_path, split):
    assert "column 'user' is missing; it has none" in mistake(tmp_path, "", split)
    assert "holds no predictions" in mistake(tmp_path, "user,rank,item\n", split)


def test_bytes_that_are_no_text(tmp_path, split):
    path = tmp_path / "p.csv"
    path.write_bytes(b"user,rank,item\n\xff\xfe,1,i3\n")
    with pytest.raises(UserError, match=r"cannot be read|unknown user"):
        judge_file(path, split, "sequential", SOUND)
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match="cannot be read"):
        judge_file(path, split, "sequential", SOUND)
    with pytest.raises(UserError, match="No such file"):
        judge_file(tmp_path / "none", split, "sequential", SOUND)


def test_published_lists_may_hold_history_and_repeats(tmp_path, split):
    text = "user,rank,item\nu0,1,i0\nu0,2,i3\nu0,3,i3\n"
    verdict = judged(tmp_path, text, split, protocol=PUBLISHED)
    assert verdict.metrics["HR@5"].mean == pytest.approx(2 / 4), "each occurrence counts"
    assert "is in the user's history" in mistake(tmp_path, text.replace("u0,3,i3\n", ""), split)
    assert "has item 'i3' twice" in mistake(tmp_path, text.replace("u0,1,i0\n", ""), split)


def test_candidates(tmp_path):
    negatives = Ragged.from_rows([[4, 5], [0, 5], [0, 1], [2, 3], []])
    split = tiny_split(negatives=negatives)
    verdict = judged(tmp_path, "user,rank,item\nu0,1,i4\nu0,2,i3\n", split, "topn")
    assert verdict.metrics["NDCG@5"].mean == pytest.approx(1 / np.log2(3) / 4) and verdict.task == "topn"
    message = mistake(tmp_path, "user,rank,item\nu0,1,i4\nu3,1,i4\n", split, "topn")
    assert "line 3, field item: item 'i4' of user 'u3' is none of the user's candidates" in message
    assert judged(tmp_path, "user,rank,item\nu4,1,i4\n", split, "topn").unevaluated == 1


def test_places_beyond_the_list_are_counted_not_used(tmp_path, split):
    verdict = judged(tmp_path, "user,rank,item\nu0,21,i3\nu0,500,i4\n", split)
    assert verdict.beyond == 2 and verdict.listed == 1 and verdict.metrics["HR@10"].mean == 0.0
