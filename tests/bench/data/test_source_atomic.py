"""RecBole's atomic files: ml-100k recounted with pandas, hand-made files, round trips, every mistake named."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data.atomic import inter_file, read_atomic_folder, recbole_example
from bench.errors import UserError

HEADER = "user_id:token\titem_id:token\trating:float\ttimestamp:float"


def write(folder, *rows, header=HEADER, name="x.inter", item=None):
    (folder / name).write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    if item is not None:
        (folder / "x.item").write_text("\n".join(item) + "\n", encoding="utf-8")
    return folder


def mistake(folder) -> str:
    with pytest.raises(UserError) as caught:
        read_atomic_folder(folder, "x")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def items_of(dataset):
    return [[dataset.item_ids[i] for i in dataset.sequences[user]] for user in range(dataset.n_users)]


@pytest.mark.skipif(importlib.util.find_spec("recbole") is None, reason="RecBole is not installed")
def test_ml_100k_as_pandas_counts_it():
    folder = recbole_example("ml-100k")
    dataset = read_atomic_folder(folder, "ml-100k")
    frame = pd.read_csv(folder / "ml-100k.inter", sep="\t", dtype={"user_id:token": str, "item_id:token": str})
    frame.columns = ["user", "item", "rating", "time"]
    assert (dataset.n_users, dataset.n_items, dataset.n_interactions) == (943, 1682, 100000)
    assert list(dataset.user_ids) == list(frame.user.unique())
    ordered = frame.sort_values("time", kind="stable").groupby("user")
    expected, stars = ordered.item.agg(list), ordered.rating.agg(list)
    assert items_of(dataset) == [expected[user] for user in dataset.user_ids]
    assert dataset.ratings is not None and dataset.attributes is not None
    assert dataset.ratings.tolist() == [s for user in dataset.user_ids for s in stars[user]]
    films = pd.read_csv(folder / "ml-100k.item", sep="\t", dtype=str, quoting=3).set_index("item_id:token")
    genres = sorted({genre for row in films["class:token_seq"] for genre in row.split()})
    for place, item in enumerate(dataset.item_ids):
        assert [genres[a - 1] for a in dataset.attributes[place]] == films.loc[item, "class:token_seq"].split()


@pytest.mark.skipif(importlib.util.find_spec("recbole") is None, reason="RecBole is not installed")
def test_the_example_is_found_without_importing_recbole():
    code = (
        "import sys; from bench.data.atomic import recbole_example as r; r('ml-100k'); print('recbole' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root())
    assert done.stdout.strip() == "False"
    with pytest.raises(UserError, match="does not ship"):
        recbole_example("ml-7")


def root() -> Path:
    return Path(__file__).resolve().parents[3]


def test_without_recbole_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"not installed.*podium-bench\[neural\]"):
        recbole_example("ml-100k")


def test_small_files_by_hand(tmp_path):
    write(
        tmp_path,
        '7\t"a\t1\t30',
        "b\tz\t2.5\t10",
        "",
        "7\tz\t3\t20",
        '7\t"a\t4\t10.5',
        "7\tq\t5\t20",
        item=[
            "item_id:token\tname:token_seq\tgenre:token_seq",
            "z\tZet\tnoir  drama",
            "q\tKu\t",
            "n\tNo\tabc",
            '"a\tA\tdrama',
        ],
    )
    dataset = read_atomic_folder(tmp_path, "hand")
    assert dataset.user_ids == ("7", "b")
    assert items_of(dataset) == [['"a', "z", "q"], ["z"]]
    assert dataset.ratings is not None and dataset.ratings.tolist() == [4, 3, 5, 2.5]
    assert dataset.attributes is not None
    assert [dataset.attributes[i].tolist() for i in range(3)] == [[1], [2, 1], []]
    assert [note.count for note in dataset.notes] == [1, 1]


def test_without_time_the_file_order_counts_and_other_columns_are_ignored(tmp_path):
    write(
        tmp_path,
        "x y\tu\t3",
        "z\tu\t2",
        header="words:token_seq\tuser_id:token\titem_id:token",
        item=["item_id:token", "3"],
    )
    dataset = read_atomic_folder(tmp_path, "plain")
    assert items_of(dataset) == [["3", "2"]]
    assert dataset.ratings is None and dataset.attributes is None


token = st.text(
    st.characters(codec="utf-8", exclude_characters="\t\r\n", exclude_categories=("Cc",)), min_size=1, max_size=3
)


@given(st.lists(st.tuples(token, token, st.integers(1, 5), st.integers(0, 4)), min_size=1, max_size=12))
def test_round_trip(rows):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.inter"
        path.write_bytes(("\r\n".join([HEADER, *("\t".join(map(str, row)) for row in rows)])).encode())
        dataset = read_atomic_folder(path.parent, "trip")
    assert list(dataset.user_ids) == list(dict.fromkeys(row[0] for row in rows))
    for user, name in enumerate(dataset.user_ids):
        own = sorted((row for row in rows if row[0] == name), key=lambda row: row[3])
        assert items_of(dataset)[user] == list(dict.fromkeys(row[1] for row in own))


GOOD = "u\ti\t1\t1"


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("u\tj\t1", "x.inter:4: 3 fields, not 4"),
        ("u\tj\t1\t2\t3", "x.inter:4: 5 fields, not 4"),
        ("u\tj\tfine\t2", "x.inter:4 field 3 (rating): 'fine' is not a number"),
        ("u\tj\t1\tnan", "x.inter:4 field 4 (timestamp): 'nan' is not a number"),
        ("u\tj\t1\t", "x.inter:4 field 4 (timestamp): is empty"),
        ("\tj\t1\t2", "x.inter:4 field 1 (user_id): is empty"),
        ("u\t\t1\t2", "x.inter:4 field 2 (item_id): is empty"),
    ],
)
def test_a_bad_row_is_named(tmp_path, row, what):
    assert what in mistake(write(tmp_path, GOOD, "", row, GOOD))


@pytest.mark.parametrize(
    ("header", "what"),
    [
        ("user_id\titem_id:token", "x.inter:1 field 1: 'user_id' is not a new name:type"),
        ("user_id:token\tuser_id:token", "x.inter:1 field 2"),
        ("user_id:token\tthing:token", "no column item_id:token"),
        ("user_id:token\titem_id:token\ttimestamp:token", "x.inter:1: column timestamp is of type token"),
        ("", "x.inter:1 field 1"),
    ],
)
def test_a_bad_header_is_named(tmp_path, header, what):
    assert what in mistake(write(tmp_path, header=header))


@pytest.mark.parametrize(
    ("item", "what"),
    [
        (["item_id:token\tclass:token_seq", "i\ta b", "i\tc"], "x.item:3: item 'i' is there twice"),
        (["item_id:token\tclass:token_seq", "i"], "x.item:2: 1 fields, not 2"),
        (["id:token\tclass:token_seq", "i\ta"], "x.item:1: has no column item_id:token"),
    ],
)
def test_a_bad_item_file_is_named(tmp_path, item, what):
    assert what in mistake(write(tmp_path, GOOD, item=item))


def test_bytes_that_are_no_text(tmp_path):
    path = write(tmp_path) / "x.inter"
    path.write_bytes(HEADER.encode() + b"\nu\t\xff\t1\t1\n")
    assert "x.inter" in mistake(tmp_path) and "UTF-8" in mistake(tmp_path)


def test_which_inter_file(tmp_path):
    assert "no .inter file" in mistake(tmp_path)
    write(tmp_path, name="a.inter")
    assert inter_file(tmp_path).name == "a.inter"
    write(tmp_path, name="b.inter")
    assert "several .inter files (a.inter, b.inter)" in mistake(tmp_path)
    write(tmp_path, name=f"{tmp_path.name}.inter")
    assert inter_file(tmp_path).stem == tmp_path.name
    assert "cannot be read" in mistake(tmp_path / "none")
    assert "no interactions" in mistake(tmp_path)
