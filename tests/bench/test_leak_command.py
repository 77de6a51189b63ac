"""`--tables leak` as a user types it: what is planned, run, written, and shown without the data."""

from __future__ import annotations

import csv
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import run_all
from bench.models import Registry, discover

sys.path.insert(0, str(Path(__file__).resolve().parent / "runs"))
SHOP = [[1, 2, 3, 4], [2, 3, 4, 5], [3, 4, 5], [6, 1, 7, 2, 8], [1, 5], [3, 1, 2]]
NUMBERINGS = ("appearance", "train", "random")


@pytest.fixture
def podium(tmp_path, capsys, monkeypatch):
    """Runs a command on a tiny shop, with a model in POD's place that trains in no time; exit code, stdout, stderr."""
    import fakes

    folder = tmp_path / "data" / "shop"
    folder.mkdir(parents=True)
    lines = (" ".join(map(str, [user, *items])) for user, items in enumerate(SHOP, start=1))
    (folder / "sequential.txt").write_text("".join(f"{line}\n" for line in lines))
    monkeypatch.setattr("bench.settings.preset_table", dict)
    rules = {name: discover().models[name] for name in ("id-order", "popularity")}
    stepper = replace(fakes.STEPPER, tasks=("sequential",), protocol_settings=("item_numbering", "constrained"))
    models = {**rules, "pod-sequential": replace(stepper, name="pod-sequential"), "stepper": fakes.STEPPER}
    monkeypatch.setattr("bench.models.discover", lambda: Registry(models, {}))

    def command(*words, dataset=folder):
        begin = ["--dataset", str(dataset), "--preset", "smoke", "--out", str(tmp_path / "out")]
        return run_all.main([*begin, *words]), *capsys.readouterr()

    return command


def rows(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_six_runs_and_no_others(podium, tmp_path):
    code, out, _ = podium("--tables", "leak", "--dry-run")
    assert code == 0 and not (tmp_path / "out").exists()
    planned = [line.split() for line in out.splitlines() if line.startswith("  missing")]
    under = ["sound+appearance-ids", "sound", "sound+random-ids"]
    found = [(line[1], next(word for word in line if word.startswith("sound"))) for line in planned]
    assert found == [(model, name) for model in ("id-order", "pod-sequential") for name in under]
    code, out, err = podium("--tables", "leak")
    assert code == 0 and "run 6 of 6: pod-sequential on shop, random ids, seed 0" in err
    assert out.startswith("Leak table. What item numbers give away") and "Table 2" not in out
    folder = tmp_path / "out" / "shop"
    assert {path.name for path in (folder / "smoke").glob("*.*")} == {
        "metrics.csv",
        "leak.csv",
        "leak.tex",
        "report.html",
        "shown.json",
    }
    assert (folder / "leak_groups.parquet").exists()
    assert "in all: 6 present; nothing is left to do" in podium("--tables", "leak", "--dry-run")[1]


def test_figures_are_those_of_the_records(podium, tmp_path):
    """By hand: by appearance, users 1 to 4 end on an item that nobody had before, user 6 on an old one."""
    assert podium("--tables", "leak")[0] == 0
    folder = tmp_path / "out" / "shop" / "smoke"
    found = rows(folder / "leak.csv")
    sizes = {(row["numbering"], row["group"]): row["n_users"] for row in found}
    assert [sizes["appearance", group] for group in ("all", "next", "other")] == ["5", "4", "1"]
    probe = [row for row in found if row["model"] == "id-order" and row["group"] == "next" and row["value"]]
    assert {row["value"] for row in probe} == {"1.0000"}, "it lists that item first"
    whole = {(r["model"], r["numbering"], r["metric"]): float(r["value"]) for r in found if r["group"] == "all"}
    protocols = {"appearance": "sound+appearance-ids", "train": "sound", "random": "sound+random-ids"}
    metrics = {(r["model"], r["protocol"], r["metric"]): float(r["value"]) for r in rows(folder / "metrics.csv")}
    for numbering in NUMBERINGS:
        value = whole["pod-sequential", numbering, "NDCG@5"]
        assert value == pytest.approx(metrics["pod-sequential", protocols[numbering], "NDCG@5"], abs=6e-5)


def test_report_only_needs_neither_data_nor_models(podium, tmp_path, monkeypatch):
    assert podium("--tables", "1,leak", "--seeds", "0,1")[0] == 0
    before = files(tmp_path / "out" / "shop" / "smoke")
    shutil.rmtree(tmp_path / "data")
    (tmp_path / "out" / "shop" / "split.npz").unlink()
    words = ("--tables", "1,leak", "--seeds", "0,1", "--report-only")
    assert podium(*words, dataset="shop")[0] == 0
    assert files(tmp_path / "out" / "shop" / "smoke") == before
    monkeypatch.setattr("bench.models.discover", lambda: Registry({}, {}))
    code, out, _ = podium(*words, dataset="shop")
    assert code == 0 and "Stepper" in out and "[All other users]" in out
    path = tmp_path / "out" / "shop" / "leak_groups.parquet"
    path.rename(path.with_name("aside"))
    code, out, _ = podium(*words, dataset="shop")
    assert code == 0 and "[All users]" in out and "[All other users]" not in out and "run once with the data" in out
    path.write_bytes(b"damaged")
    code, _, err = podium(*words, dataset="shop")
    assert code == 2 and f"{path}: not a readable file of user groups" in err


def test_beside_other_tables_and_named_models(podium, tmp_path):
    """A model named for the leak table runs for it alone; one that no table knows runs under the protocols."""
    out = podium("--tables", "2,leak", "--models", "pod-sequential,id-order", "--dry-run")[1]
    lines = [line.split(maxsplit=2)[1:] for line in out.splitlines() if line.startswith("  missing")]
    assert sorted(name for name, _ in lines) == ["id-order"] * 3 + ["pod-sequential"] * 3
    assert any("published, sound+appearance-ids" in line for line in out.splitlines() if "id-order" in line)
    out = podium("--tables", "2", "--models", "pod-sequential", "--dry-run")[1]
    assert "in all: 2 missing" in out and "published" in out
    out = podium("--tables", "leak", "--models", "stepper,id-order", "--dry-run")[1]
    assert "in all: 4 missing" in out
    code, out, _ = podium("--tables", "2,leak", "--models", "pod-sequential,id-order,popularity")
    assert code == 0 and out.index("Table 2.") < out.index("Leak table.")
    assert "Stepper" not in out[: out.index("Leak table.")], (
        "it has no row in the paper's tables unless asked for there"
    )


def test_a_failure_costs_its_own_cells(podium, tmp_path):
    words = ("--tables", "leak", "--set", "pod-sequential.end=run")
    code, out, err = podium(*words)
    assert (
        code == 1 and "failed: the loss became nan" in out and "failed: pod-sequential on shop, appearance ids" in err
    )
    found = rows(tmp_path / "out" / "shop" / "smoke" / "leak.csv")
    assert {row["note"] for row in found if row["model"] == "pod-sequential"} == {"failed: the loss became nan"}
    assert all(row["value"] for row in found if row["model"] == "id-order" and row["group"] == "all")
    assert podium("--tables", "leak", "--models", "id-order")[0] == 0, "the rest was not asked for"
    assert "Settings changed from the preset's: pod-sequential.end=run." in podium(*words, "--report-only")[1]


def test_the_list_says_that_it_is_no_default(podium, tmp_path, capsys):
    assert run_all.main(["--list"]) == 0
    said = capsys.readouterr().out
    assert "not among those written by default: --tables leak; runs id-order, pod-sequential under item numbers" in said
    assert podium("--models", "popularity")[0] == 0
    assert not (tmp_path / "out" / "shop" / "smoke" / "leak.csv").exists()
    assert not (tmp_path / "out" / "shop" / "leak_groups.parquet").exists()
