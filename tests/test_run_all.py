"""The whole path, as a user types it."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

import run_all
from bench.models import Registry, discover

ROOT = Path(__file__).resolve().parents[1]
FAKES = Path(__file__).resolve().parent / "bench" / "runs"
sys.path.insert(0, str(FAKES))
RULES = "popularity,item-knn,sequential-rules,id-order"


@pytest.fixture
def fakes(monkeypatch):
    """Our rules, and models that fail on demand."""
    import fakes as module

    found = discover()
    registry = Registry({**found.models, **module.REGISTRY.models}, {"broken.module": "ImportError: no such thing"})
    monkeypatch.setattr("bench.models.discover", lambda: registry)
    return module


@pytest.fixture
def podium(shop, tmp_path, capsys):
    """Runs a command on the shop; returns exit code, stdout, stderr."""

    def command(*words, dataset=shop, preset="smoke"):
        begin = ["--dataset", str(dataset), "--preset", preset, "--out", str(tmp_path / "out")]
        code = run_all.main([*begin, *words])
        return code, *capsys.readouterr()

    return command


def rows(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_rules_on_the_demo(tmp_path, capsys):
    command = ["--dataset", "demo", "--preset", "smoke", "--models", RULES, "--out", str(tmp_path)]
    assert run_all.main(command) == 0
    said = capsys.readouterr()
    assert "Table 2." in said.out and "Sequential rules" in said.out
    assert "run 1 of 5: popularity on demo" in said.err and said.out.rstrip().endswith("index.html")
    folder = tmp_path / "demo" / "smoke"
    assert {path.name for path in folder.glob("table*")} == {f"table{n}.{k}" for n in "123456" for k in ("csv", "tex")}
    figures = rows(folder / "metrics.csv")
    assert {row["model"] for row in figures} == set(RULES.split(","))
    assert {row["protocol"] for row in figures if row["model"] == "popularity"} == {"published", "sound"}
    assert {row["n"] for row in figures} == {"500"}
    before = files(tmp_path)
    assert run_all.main(command) == 0
    assert "run 1" not in capsys.readouterr().err and files(tmp_path) == before
    shutil.rmtree(folder / "runs" / "checkpoints", ignore_errors=True)
    (tmp_path / "demo" / "split.npz").unlink()
    assert run_all.main([*command, "--report-only"]) == 0
    after = files(tmp_path)
    assert {name for name in after if before[name] != after[name]} == set()


FREE = ("--tables", "4", "--models", "frequent-sentence,random-sentence", "--offline")


def test_explanations_on_the_demo(podium, tmp_path):
    code, out, err = podium(*FREE, dataset="demo")
    assert code == 0 and "run 4 of 4: random-sentence on demo" in err
    for words in (
        "Table 4.",
        "Variety table.",
        "Explanation records of demo",
        "Some of them, drawn at random",
        "cut at 20",
    ):
        assert words in out
    folder = tmp_path / "out" / "demo"
    assert {path.name for path in folder.glob("explanations*")} == {
        "explanations.npz",
        "explanations.csv",
        "explanations_sample.csv",
    }
    assert len(rows(folder / "explanations_sample.csv")) == 20
    cells = {(r["protocol"], r["model"], r["metric"]): r for r in rows(folder / "smoke" / "table4.csv")}
    figures = {
        (r["protocol"], r["model"], r["metric"]): float(r["value"]) for r in rows(folder / "smoke" / "metrics.csv")
    }
    for protocol, family in (("published", "published"), ("sound", "standard")):
        for model in ("frequent-sentence", "random-sentence"):
            exact = figures[protocol, model, f"ROUGE-L {family}"]
            assert cells[protocol, model, "ROUGE-L"]["value"] == f"{exact:.4f}" and exact > 0
    assert {r["model"] for r in rows(folder / "smoke" / "explanation_intervals.csv")} == {
        "frequent-sentence",
        "random-sentence",
    }
    before = files(tmp_path / "out")
    assert podium(*FREE, dataset="demo")[0] == 0 and files(tmp_path / "out") == before
    (folder / "explanations.npz").unlink()
    (folder / "split.npz").unlink()
    assert podium(*FREE, "--report-only", dataset="demo")[:2] == (0, out)


def test_runs_from_before_verdicts_are_judged_without_running_again(podium, tmp_path):
    code, out, _ = podium(*FREE, dataset="demo")
    verdicts = list((tmp_path / "out").rglob("per_pair.parquet"))
    assert code == 0 and len(verdicts) == 4
    before = files(tmp_path / "out")
    for path in verdicts:
        path.unlink()
    code, shown, _ = podium(*FREE, "--report-only", dataset="demo")
    assert code == 1 and "not judged by this version yet: run without --report-only" in shown
    code, shown, err = podium(*FREE, dataset="demo")
    assert code == 0 and shown == out and "run 1" not in err and files(tmp_path / "out") == before


def test_data_without_texts_say_why(podium, tmp_path, monkeypatch):
    registry = discover()
    picked = {name: registry.models[name] for name in ("popularity", "frequent-sentence", "random-sentence")}
    monkeypatch.setattr("bench.models.discover", lambda: Registry(picked, {}))
    code, out, err = podium("--tables", "4", "--offline")
    assert code == 0, "what the data does not have is no failure unless it was asked for by name"
    assert "no explanations: shop: has no review texts" in err and "Variety table" not in out
    why = "which this dataset does not have (shop: has no review texts)"
    notes = {r["model"]: r["note"] for r in rows(tmp_path / "out" / "shop" / "smoke" / "table4.csv")}
    assert why in notes["frequent-sentence"] and why in notes["random-sentence"]
    assert podium(*FREE)[0] == 1, "asked for by name"
    for words in (("--models", "popularity"), ("--models", "popularity", "--report-only")):
        assert why in podium(*words)[1], "known from the card where nobody looks"


def test_results_keep_what_they_know_of_explanations(podium, tmp_path):
    assert podium(*FREE, dataset="demo")[0] == 0
    assert podium("--models", "popularity", "--tables", "2,4", dataset="demo")[0] == 0
    found = {r["model"]: r["value"] for r in rows(tmp_path / "out" / "demo" / "smoke" / "table4.csv")}
    assert found["random-sentence"], "shown, although this command did not look for explanations"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--models", "popularty"], "--models: unknown model 'popularty'; did you mean 'popularity'?"),
        (["--models", "pod"], "--models: this version has no model 'pod'"),
        (["--set", "item-nn.shrink=1"], "unknown model 'item-nn'; did you mean 'item-knn'?"),
        (["--set", "item-knn.shrunk=1"], "unknown setting 'shrunk'; did you mean 'shrink'?"),
        (["--set", "item-knn.neighbours=many"], "'many' is not a whole number"),
    ],
)
def test_unknown_names_stop_before_anything_is_written(podium, tmp_path, words, message, monkeypatch):
    registry = discover()
    known = {name: info for name, info in registry.models.items() if name != "pod"}
    monkeypatch.setattr("bench.models.discover", lambda: Registry(known, {}))
    code, out, err = podium(*words)
    assert code == 2 and message in err.splitlines()[-1] and out == "" and not (tmp_path / "out").exists()


def test_more_prompt_vectors_than_positions_stop_before_anything_is_written(podium, tmp_path):
    """K beyond the input length of T5: one line that names the flag."""
    for words in (["--tables", "fig4", "--prompt-vectors", "3,999"], ["--tables", "1", "--set", "pod.prompts=513"]):
        code, out, err = podium(*words)
        assert code == 2 and "prompts (K) must lie in 0 to 512" in err and err.count("\n") == 1 and words[2] in err
        assert out == "" and not (tmp_path / "out").exists()


def test_bad_data_is_one_line(podium, tmp_path):
    assert podium(dataset="beuty")[::2] == (
        2,
        "reading beuty\npodium: unknown dataset 'beuty'; did you mean 'beauty'?\n",
    )
    code, _, err = podium(dataset=tmp_path / "none")
    assert code == 2 and "no such file or folder" in err and not (tmp_path / "out").exists()


def test_one_failure_costs_its_own_cells_only(podium, fakes, tmp_path):
    code, out, err = podium("--models", "stepper,ascending", "--set", "stepper.end=bug", "--tables", "2")
    assert code == 1 and "Traceback" not in out + err
    assert r"failed: ZeroDivisionError: a line and another \input{x}" in out
    assert "failed: stepper on shop, seed 0" in err and "broken.module is left out: ImportError" in err
    folder = tmp_path / "out" / "shop" / "smoke"
    log = next((folder / "runs" / "failed").glob("*.log"))
    assert "_go_wrong" in log.read_text() and log.name in err
    assert r"\input" not in (folder / "table2.tex").read_text()
    cells = {(row["model"], row["metric"]): row for row in rows(folder / "table2.csv")}
    assert cells["ascending", "HR@5"]["value"] and cells["stepper", "HR@5"]["note"].startswith("failed: Zero")
    again = podium("--models", "stepper,ascending", "--set", "stepper.end=bug", "--tables", "2", "--report-only")
    assert again[0] == 1 and "failed: ZeroDivisionError" in again[1] and "run 1" not in again[2]
    assert podium("--models", "stepper", "--set", "stepper.end=", "--tables", "2")[0] == 0
    assert (folder / "runs" / "failed").exists()


def test_a_partial_command_keeps_what_others_left(podium, fakes, tmp_path):
    assert podium("--models", "popularity,ascending")[0] == 0
    code, out, err = podium("--models", "item-knn")
    assert code == 0 and "run 1 of 1: item-knn" in err
    row = next(line for line in out.splitlines() if "Popularity" in line)
    assert "–" not in row, "a result that is there is shown, asked for or not"
    found = {row["model"] for row in rows(tmp_path / "out" / "shop" / "smoke" / "metrics.csv")}
    assert found == {"popularity", "ascending", "item-knn"}


def test_models_without_their_data_are_no_failure_unless_asked_for(podium, monkeypatch):
    registry = discover()
    picked = {name: registry.models[name] for name in ("popularity", "fdsa")}
    monkeypatch.setattr("bench.models.discover", lambda: Registry(picked, {}))
    monkeypatch.setattr("bench.models._installed", lambda package: True)
    code, out, _ = podium("--tables", "2")
    assert code == 0 and "needs item attributes, which this dataset does not have" in out
    assert podium("--tables", "2", "--models", "popularity,fdsa")[0] == 1
    monkeypatch.setattr("bench.models._installed", lambda package: False)
    assert podium("--tables", "3", "--models", "popularity")[0] == 0


def test_dry_run_shows_the_plan_and_writes_nothing(podium, fakes, tmp_path):
    words = ("--models", "stepper,ascending,numbered", "--tables", "2", "--seeds", "0,1")
    code, out, _ = podium(*words, "--dry-run")
    assert code == 0 and not (tmp_path / "out").exists()
    assert "missing     stepper           seed 1  published, sound" in out
    assert "in all: 5 missing; about" in out and "2 of unknown time" in out
    assert podium(*words, "--set", "stepper.end=interrupt")[0] == 130
    before = files(tmp_path / "out")
    out = podium(*words, "--set", "stepper.end=interrupt", "--dry-run")[1]
    assert "half done   stepper           seed 0" in out and "goes on from its checkpoint" in out
    assert podium(*words)[0] == 0
    out = podium(*words, "--dry-run")[1]
    assert "in all: 5 present; nothing is left to do" in out
    out = podium(*words, "--dry-run", "--force", "--jobs", "2")[1]
    assert "5 missing" in out and "unknown" not in out
    assert set(before) <= set(files(tmp_path / "out"))


def test_an_interrupt_says_that_the_same_command_goes_on(podium, fakes):
    code, out, err = podium("--models", "ascending,stepper", "--set", "stepper.end=interrupt", "--tables", "2")
    assert code == 130 and out == "" and err.splitlines()[-1].startswith("podium: interrupted; finished runs are kept")


def test_report_only_needs_neither_data_nor_models(podium, shop, tmp_path, monkeypatch):
    assert podium("--models", RULES)[0] == 0
    folder = tmp_path / "out" / "shop"
    before = files(folder / "smoke")
    shutil.rmtree(shop)
    (folder / "split.npz").unlink()
    assert podium("--models", RULES, "--report-only", dataset="shop")[0] == 0
    assert files(folder / "smoke") == before
    monkeypatch.setattr("bench.models.discover", lambda: Registry({}, {}))
    code, out, _ = podium("--report-only", dataset="shop")
    assert code == 0 and "Sequential rules" in out
    code, _, err = podium("--report-only", dataset="shpo")
    assert code == 2 and "no results of 'shpo'; there are: shop" in err
    code, _, err = podium("--report-only", dataset="shop", preset="laptop")
    assert code == 2 and "no runs under preset 'laptop'; there are runs of: smoke" in err
    assert not (folder / "laptop").exists()
    folder.rename(folder.with_name("renamed"))
    code, _, err = podium("--report-only", dataset="renamed")
    assert code == 2 and "this is the card of 'shop'" in err


def test_a_report_with_holes_is_not_all_that_was_asked_for(podium):
    assert podium("--models", "popularity", "--tables", "3")[0] == 0
    assert podium("--models", "popularity,item-knn", "--tables", "3", "--report-only")[0] == 1


def test_two_datasets_under_one_name(podium, shop, tmp_path):
    assert podium("--models", "popularity", "--tables", "2")[0] == 0
    before = files(tmp_path / "out")
    (shop / "sequential.txt").write_text("1 1 2 3\n2 3 2 1\n")
    code, out, err = podium("--models", "popularity", "--tables", "2")
    assert code == 2 and out == "" and files(tmp_path / "out") == before
    assert "results of other data are here under the name 'shop' (fingerprint " in err
    other = tmp_path / "other" / "shop"
    other.mkdir(parents=True)
    (other / "sequential.txt").write_text("1 1 2 3\n")
    assert podium("--models", "popularity", dataset=f"{shop},{other}")[0] == 2


def test_runs_of_other_data_in_one_folder_are_refused(podium, shop, tmp_path):
    words = ("--models", "popularity", "--tables", "2")
    other = tmp_path / "elsewhere" / "shop"
    other.mkdir(parents=True)
    (other / "sequential.txt").write_text("1 1 2 3 4\n2 4 3 2\n3 1 3 2\n")
    assert podium(*words, "--out", str(tmp_path / "second"), dataset=other)[0] == 0
    assert podium(*words)[0] == 0
    (stranger,) = (tmp_path / "second" / "shop" / "smoke" / "runs").glob("popularity-*")
    shutil.copytree(stranger, tmp_path / "out" / "shop" / "smoke" / "runs" / stranger.name)
    before = files(tmp_path / "out")
    for more in ((), ("--report-only",), ("--dry-run",)):
        code, out, err = podium(*words, *more)
        assert code == 2 and out == "" and files(tmp_path / "out") == before
        assert stranger.name in err and "a run of other data than the folder's (dataset fingerprint" in err


def test_a_record_edited_by_hand(podium, tmp_path):
    words = ("--models", "popularity,item-knn", "--tables", "2")
    assert podium(*words)[0] == 0
    folder = tmp_path / "out" / "shop" / "smoke"
    path = next((folder / "runs").glob("popularity-*")) / "record.json"
    path.write_text(path.read_text().replace('"n": 4', '"n": 5'))
    before = files(folder)
    for more in ((), ("--report-only",), ("--dry-run",)):
        code, out, err = podium(*words, *more)
        assert code == 2 and out == "" and files(folder) == before
        assert str(path) in err and "altered by hand" in err and "remove its folder" in err
    assert podium(*words, "--force")[0] == 0
    assert podium(*words)[0] == 0


def test_leftovers_of_killed_processes_are_swept(podium, tmp_path):
    import socket

    runs = tmp_path / "out" / "shop" / "smoke" / "runs"
    left = runs / f".tmp-{socket.gethostname()}-999999999-popularity-s0-x"
    left.mkdir(parents=True)
    (left / "record.json").write_text("half")
    (runs / "popularity-s0-unfinished").mkdir()
    assert podium("--models", "popularity", "--tables", "2")[0] == 0
    assert not left.exists()


def test_a_full_disk_is_one_line(podium, tmp_path, monkeypatch):
    import errno

    import pyarrow.parquet as pq

    def refuse(table, path, **options):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pq, "write_table", refuse)
    code, out, err = podium("--models", "popularity,item-knn", "--tables", "2")
    assert code == 2 and out == "" and "No space left on device; free some space" in err.splitlines()[-1]
    assert not list((tmp_path / "out" / "shop" / "smoke" / "runs").glob("*popularity*"))


def test_a_folder_that_cannot_be_written(podium, tmp_path):
    (tmp_path / "out").write_text("a file")
    code, _, err = podium("--models", "popularity")
    assert code == 2 and err.splitlines()[-1].startswith(f"podium: {tmp_path / 'out'}")


def test_jobs_give_the_same_figures(podium, tmp_path):
    words = ("--models", RULES, "--tables", "2,3")
    assert podium(*words)[0] == 0
    one = files(tmp_path / "out" / "shop" / "smoke")["metrics.csv"]
    shutil.rmtree(tmp_path / "out")
    code, _, err = podium(*words, "--jobs", "2", "--threads", "2")
    assert code == 0 and "5 runs, 2 at a time, threads for each: 1" in err
    assert files(tmp_path / "out" / "shop" / "smoke")["metrics.csv"] == one


def test_another_numbering_is_named_everywhere(podium, tmp_path):
    code, out, _ = podium("--models", "id-order", "--tables", "2", "--item-numbering", "random")
    assert code == 0 and "[published+random-ids]" in out and "items numbered at random" in out
    folder = tmp_path / "out" / "shop" / "smoke"
    assert (folder / "table2-random-ids.csv").exists() and not (folder / "table2.csv").exists()
    protocols = {row["protocol"] for row in rows(folder / "metrics.csv")}
    assert protocols == {"published+random-ids", "sound+random-ids"}


def test_changed_settings_are_named_everywhere(podium, tmp_path):
    words = ("--models", "item-knn", "--tables", "2")
    assert podium(*words)[0] == 0
    code, out, err = podium(*words, "--set", "item-knn.neighbours=1")
    assert code == 0 and "item-knn.neighbours=1" in out and "run 1 of 1" in err
    found = {row["variant"] for row in rows(tmp_path / "out" / "shop" / "smoke" / "metrics.csv")}
    assert found == {"", "neighbours=1"}


def test_score(podium, tmp_path):
    path, verdict = tmp_path / "p.csv", tmp_path / "deep" / "v.json"
    path.write_text("user,rank,item\n1,1,4\n2,1,8\n2,2,5\n5,1,3\n")
    code, out, err = podium("--score", str(path), "--json", str(verdict))
    assert code == 0 and "4 users are evaluated; 2 of them have no list and count 0" in out and err.count("\n") == 1
    assert "1 users of the file have too few interactions" in out
    # User 1 hits at 1, user 2 at 2: per user 1, 1, 0, 0 at 5.
    line = next(line.split() for line in out.splitlines() if line.strip().startswith("HR@5"))
    assert line[1:] == ["0.5000", "0.2887", "-0.0658", "..", "1.0658", "4"]
    found = json.loads(verdict.read_text())[0]
    assert found["metrics"]["HR@1"]["mean"] == 0.25 and found["protocol"] == "sound" and found["listed"] == 2
    path.write_text("user,rank,item\n1,1,1\n")
    code, out, err = podium("--score", str(path))
    assert (
        code == 2 and f"{path}: line 2, field item: item '1' of user '1' is in the user's history" in err and out == ""
    )
    assert podium("--score", str(path), "--protocol", "published")[0] == 0
    assert podium("--score", str(tmp_path / "none"))[0] == 2
    assert "exactly one data set" in podium("--score", str(path), dataset="demo,beauty")[2]
