"""The paper's printed figures: cell by cell against the transcription, and its improvements recomputed."""

from __future__ import annotations

import csv

import pytest

from bench.report.published import OURS, improvement, paper_has, paper_title, paper_value
from bench.report.specs import TABLES
from bench.report.table import PERCENT_DIGITS, fixed

NAMES = {
    "Caser": "caser",
    "HGN": "hgn",
    "GRU4Rec": "gru4rec",
    "BERT4Rec": "bert4rec",
    "FDSA": "fdsa",
    "SASRec": "sasrec",
    "S3-Rec": "s3rec",
    "MF": "mf",
    "MLP": "mlp",
    "P5": "p5",
    "POD": "pod",
    "Att2Seq": "att2seq",
    "NRT": "nrt",
    "PETER": "peter",
}
# As printed under Tables 2 to 4, in the order of the columns.
IMPROVEMENTS = {
    ("2", "sports"): "82.35 134.32 49.61 105.39",
    ("2", "beauty"): "6.76 6.76 4.40 5.23",
    ("2", "toys"): "6.64 5.64 4.65 3.92",
    ("3", "sports"): "57.85 37.24 43.57 7.56 35.49",
    ("3", "beauty"): "45.18 22.99 29.04 3.77 23.60",
    ("3", "toys"): "25.72 8.40 13.50 0.24 9.07",
    ("4", "sports"): "40.79 8.70 53.85 12.78",
    ("4", "beauty"): "-7.89 2.71 -26.51 -0.75",
    ("4", "toys"): "16.07 -13.89 4.89 -11.18",
}


def rows(shared, name):
    with (shared / "paper" / name).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize(
    ("number", "file", "cells"),
    [("2", "table2_sequential.csv", 108), ("3", "table3_topn.csv", 60), ("4", "table4_explanation.csv", 48)],
)
def test_every_cell(shared, number, file, cells):
    transcribed = rows(shared, file)
    assert len(transcribed) == cells
    for row in transcribed:
        value = paper_value(number, row["dataset"], NAMES[row["model"]], row["metric"])
        assert value is not None and f"{value:.4f}" == row["value"], row
    spec = TABLES[number]
    held = [
        paper_value(number, d, m, k) for d in ("sports", "beauty", "toys") for m in spec.paper for k in spec.metrics
    ]
    assert len(held) == cells and None not in held
    assert {NAMES[row["model"]] for row in transcribed} == set(spec.paper)
    assert all(paper_title(name) == title for title, name in NAMES.items())


def test_the_sizes(shared):
    for row in rows(shared, "table1_datasets.csv"):
        sizes = [paper_value("1", row["dataset"], "dataset", name) for name in ("users", "items", "interactions")]
        assert sizes == [int(row["users"]), int(row["items"]), int(row["reviews"])]
        assert f"{paper_value('1', row['dataset'], 'dataset', 'density'):.4f}" == row["density_percent"]


def test_what_the_paper_does_not_print():
    assert paper_value("2", "musical", "caser", "HR@5") is None and not paper_has("2", "musical")
    assert paper_value("2", "beauty", "popularity", "HR@5") is None and paper_has("2", "beauty")
    assert paper_value("2", "beauty", "caser", "HR@1") is None
    assert paper_value("99", "beauty", "caser", "HR@5") is None
    assert paper_title("popularity") is None


@pytest.mark.parametrize(("number", "dataset"), IMPROVEMENTS)
def test_the_printed_improvements_follow_from_the_figures(number, dataset):
    spec = TABLES[number]
    found = []
    for metric in spec.metrics:
        values = {name: paper_value(number, dataset, name, metric) for name in spec.paper}
        found.append(fixed(improvement(values.pop(OURS), list(values.values())), PERCENT_DIGITS))
    assert " ".join(found) == IMPROVEMENTS[number, dataset]


def test_improvement_by_hand():
    assert improvement(0.3, [0.1, 0.2]) == pytest.approx(50.0)
    assert improvement(0.1, [0.2]) == pytest.approx(-50.0)
    assert improvement(None, [0.2]) is None and improvement(0.1, []) is None and improvement(0.1, [0.0]) is None
