"""The split on paper: complete, in the source's ids, without test answers, and fit for --score."""

from __future__ import annotations

import csv

import pytest

from bench.data.catalog import load_dataset
from bench.data.demo import make_demo
from bench.splits import make_split
from run_all import main


def read(path):
    with path.open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["user", "item"]
    return rows[1:]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    assert main(["--export", str(folder / "csv"), "--dataset", "demo", "--out", str(folder / "out")]) == 0
    return folder


def test_every_interaction_but_the_test_items_is_there(exported):
    data = make_demo()
    trained, held = read(exported / "csv/demo/train.csv"), dict(read(exported / "csv/demo/valid.csv"))
    for number, user in enumerate(data.user_ids):
        items = [data.item_ids[i] for i in data.sequences[number]]
        assert [item for name, item in trained if name == user] == items[:-2]
        assert held[user] == items[-2]


def test_the_candidates_are_those_of_the_split(exported):
    split = make_split(load_dataset("demo"))
    rows = read(exported / "csv/demo/candidates-test.csv")
    ids = split.dataset.item_ids
    expected = [ids[i] for row in split.candidates["test"] for i in row if i >= 0]
    assert [item for _, item in rows] == expected


def test_an_outside_ranking_of_the_candidates_can_be_scored(exported, capsys):
    rows, place = read(exported / "csv/demo/candidates-test.csv"), {}
    with (exported / "mine.csv").open("w") as stream:
        stream.write("user,rank,item\n")
        for user, item in rows:
            place[user] = place.get(user, 0) + 1
            if place[user] <= 20:
                stream.write(f"{user},{place[user]},{item}\n")
    words = [
        "--score",
        str(exported / "mine.csv"),
        "--dataset",
        "demo",
        "--task",
        "topn",
        "--out",
        str(exported / "out"),
    ]
    assert main(words) == 0
    # A random order of 100 candidates finds the one of the user among the first ten in about a tenth of the cases.
    line = next(line for line in capsys.readouterr().out.splitlines() if "HR@10" in line)
    assert 0.05 < float(line.split()[1]) < 0.15


def test_export_and_score_exclude_each_other(capsys):
    assert main(["--export", "x", "--score", "y", "--dataset", "demo"]) == 2
    assert "exclude each other" in capsys.readouterr().err
