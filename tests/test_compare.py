"""What moved between two results folders, as a user asks for it."""

from __future__ import annotations

import re

import numpy as np
import pytest

import run_all
from bench.metrics.significance import sign_flip
from bench.report.moved import compare_folders, comparison_text
from bench.runs.record import read_records

KNN = ("--models", "item-knn,popularity", "--tables", "2,3")


@pytest.fixture
def podium(tmp_path, capsys):
    """Runs a command; returns exit code, stdout, stderr."""

    def command(*words, out="one"):
        code = run_all.main([*words, "--out", str(tmp_path / out)])
        return code, *capsys.readouterr()

    return command


@pytest.fixture
def folders(podium, tmp_path):
    """The demo with item-knn as it is, and with one neighbour; the second has a further model."""
    demo = ("--dataset", "demo", "--preset", "smoke")
    assert podium(*demo, *KNN)[0] == 0
    more = ("--models", "item-knn,popularity,sequential-rules", "--tables", "2,3", "--set", "item-knn.neighbours=1")
    assert podium(*demo, *more, out="two")[0] == 0
    return tmp_path / "one", tmp_path / "two"


def test_what_moved_is_tested_user_by_user(folders, podium):
    code, out, _ = podium("--compare", *map(str, folders))
    assert code == 0 and "told apart:" in out
    found = compare_folders(*folders)
    assert comparison_text(found) == out
    popularity = [figure for figure in found.moved if "popularity" in figure.run]
    assert popularity and all(figure.difference == 0 and figure.p == 1.0 for figure in popularity)
    moved = {(figure.task, figure.metric): figure for figure in found.moved if "item-knn" in figure.run}
    figure = moved["sequential", "NDCG@10"]
    one, two = (
        next(r for r in read_records(folder / "demo" / "smoke" / "runs") if r.model == "item-knn") for folder in folders
    )
    differences = two.per_user("sequential")["NDCG@10"].astype(float) - one.per_user("sequential")["NDCG@10"]
    assert figure.difference == pytest.approx(differences.mean()) and figure.low <= figure.difference <= figure.high
    alone = sign_flip(differences[:, None], np.random.default_rng(3))[0]
    assert alone <= figure.p + 0.01, "corrected for all figures"
    (changes,) = [found.changed[run] for run in found.changed if "item-knn" in run]
    assert changes == ["neighbours 1000 -> 1"]
    assert "only in" in out and "sequential-rules" in out.split("only in")[1]


def test_a_folder_against_itself(folders, podium):
    code, out, _ = podium("--compare", str(folders[0]), str(folders[0] / "demo"))
    assert code == 0 and re.search(
        r"(\d+) figures in both: 0 moved and are told apart, 0 moved and are not, \1 are", out
    )
    assert "only in" not in out and "other conditions" not in out


def test_folders_that_cannot_be_compared(folders, podium, tmp_path):
    code, out, err = podium("--compare", str(folders[0]), str(tmp_path / "none"))
    assert code == 2 and out == "" and "no such folder" in err and err.count("\n") == 1
    (tmp_path / "empty").mkdir()
    assert "no finished runs" in podium("--compare", str(tmp_path / "empty"), str(folders[0]))[2]
    assert podium("--compare", str(folders[0]))[0] == 2


def test_runs_of_other_data_are_refused(podium, tmp_path):
    for name, lines in (("a", "1 1 2 3\n2 2 3 4\n"), ("b", "1 1 2 3\n2 2 4 3\n")):
        (tmp_path / name / "shop").mkdir(parents=True)
        (tmp_path / name / "shop" / "sequential.txt").write_text(lines)
        words = (
            "--dataset",
            str(tmp_path / name / "shop"),
            "--preset",
            "smoke",
            "--models",
            "popularity",
            "--tables",
            "2",
        )
        assert podium(*words, out=f"out-{name}")[0] == 0
    code, _, err = podium("--compare", str(tmp_path / "out-a"), str(tmp_path / "out-b"))
    assert code == 2 and "of other data" in err and err.count("\n") == 1
