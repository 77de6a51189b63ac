"""The split on paper: complete, in the source's ids, without test answers, and fit for --score."""

from __future__ import annotations

import csv
import json

import pytest

from bench.data.catalog import load_dataset
from bench.data.demo import demo_reviews, make_demo
from bench.explanations import TEST, TRAIN, VALID, make_explanations
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


def test_what_explains_may_learn_from_and_what_it_is_asked(exported):
    dataset = load_dataset("demo")
    records = make_explanations(demo_reviews(), dataset)
    split = make_split(dataset)
    held = set()
    for stage in ("valid", "test"):
        pairs = zip(split.users, split.truth(stage), strict=True)
        held |= {(dataset.user_ids[user], dataset.item_ids[item]) for user, item in pairs}
    pairs = [(dataset.user_ids[u], dataset.item_ids[i]) for u, i in zip(records.users, records.items, strict=True)]
    for name, part in (("train", TRAIN), ("valid", VALID)):
        with (exported / f"csv/demo/explanations-{name}.csv").open(newline="") as stream:
            found = [tuple(row.values()) for row in csv.DictReader(stream)]
        rows = [row for row in records.rows(part).tolist() if pairs[row] not in held]
        assert found == [(*pairs[row], records.features[row], records.texts[row]) for row in rows]
    asked = read(exported / "csv/demo/explanations-test.csv")
    assert [tuple(row) for row in asked] == [pairs[row] for row in records.rows(TEST)]


def test_outside_explanations_of_the_exported_pairs_can_be_scored(exported, capsys):
    with (exported / "said.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["user", "item", "explanation"])
        writer.writerows((*row, "the price is good") for row in read(exported / "csv/demo/explanations-test.csv"))
    words = ["--score", str(exported / "said.csv"), "--task", "explanation", "--protocol", "both", "--offline"]
    assert main([*words, "--dataset", "demo", "--out", str(exported / "out"), "--json", str(exported / "v.json")]) == 0
    said = capsys.readouterr().out
    assert "standard text metrics, percent" in said and "published text metrics, percent" in said
    assert "0 of them have no row" in said and "cut at 20 " in said
    verdicts = json.loads((exported / "v.json").read_text())
    assert [verdict["family"] for verdict in verdicts] == ["published", "standard"]
    assert all(verdict["metrics"]["ROUGE-1"]["mean"] > 5 for verdict in verdicts)
    share = verdicts[0]["shares"]["unique sentences"]
    assert share == 1 / verdicts[0]["evaluated"]
