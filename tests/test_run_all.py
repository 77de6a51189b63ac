"""The whole path, as a user types it."""

from __future__ import annotations

import csv

import run_all

RULES = "popularity,item-knn,sequential-rules,id-order"


def rows(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_rules_on_the_demo(tmp_path, capsys):
    command = ["--dataset", "demo", "--preset", "smoke", "--models", RULES, "--out", str(tmp_path)]
    assert run_all.main(command) == 0
    said = capsys.readouterr()
    assert "Table 2." in said.out and "Sequential rules" in said.out
    folder = tmp_path / "demo" / "smoke"
    assert {path.name for path in folder.glob("table*")} == {f"table{n}.{k}" for n in "123" for k in ("csv", "tex")}
    figures = rows(folder / "metrics.csv")
    assert {row["model"] for row in figures} == set(RULES.split(","))
    assert {row["protocol"] for row in figures if row["model"] == "popularity"} == {"published", "sound"}
    assert {row["n"] for row in figures} == {"500"}
    run_all.main(command)
    assert "run 1" not in capsys.readouterr().err
