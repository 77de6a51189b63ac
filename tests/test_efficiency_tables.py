"""Tables 5 and 6 and Figure 4 as a user asks for them, with a stand-in for POD."""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from pathlib import Path

import pytest

import run_all
from bench.models import Registry
from bench.runs.identity import canonical
from bench.runs.machine import alone

sys.path.insert(0, str(Path(__file__).resolve().parent / "bench" / "runs"))
from fakes import POD, WORDY


@pytest.fixture
def podium(shop, tmp_path, monkeypatch, capsys):
    """Runs a command on the shop with POD's stand-ins alone; returns exit code, stdout, stderr."""
    monkeypatch.setattr("bench.models.discover", lambda: Registry({info.name: info for info in (POD, WORDY)}, {}))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # the machine's lock lies there, for new processes too
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def command(*words):
        begin = ["--dataset", str(shop), "--preset", "smoke", "--out", str(tmp_path / "out"), "--threads", "1"]
        code = run_all.main([*begin, *words])
        return code, *capsys.readouterr()

    return command


def rows(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def cells(path, **wanted):
    """metric -> value of the rows that agree with what is wanted."""
    found = [row for row in rows(path) if all(row[name] == value for name, value in wanted.items())]
    return {row["metric"]: float(row["value"]) for row in found if row["value"]}


def test_training_strategies_by_hand(podium, tmp_path):
    code, out, err = podium("--tables", "5")
    folder = tmp_path / "out" / "shop" / "smoke"
    assert code == 0, err
    assert "3 timed runs, 1 at a time" in err and err.count("done: pod on shop") == 3
    mixed, packed = (cells(folder / "table5.csv", model=name) for name in ("sample-mixed", "packed"))
    # Three epochs of 8 s, of which half a second was validation: 300 samples in 24 - 1.5 s of training.
    assert mixed["Total, s"] == 24 and mixed["Epochs"] == 3 and mixed["Epoch, s"] == 8.0
    assert mixed["Published, s"] == 16.8 and packed["Published, s"] == packed["Epoch, s"] == 1.0
    assert mixed["Samples/s"] == pytest.approx(300 / 22.5, abs=0.05)
    assert packed["Tokens/s"] == pytest.approx(3000 / 1.5) and packed["Padding, %"] == 25.0
    assert (packed["Best loss"], packed["Best at, s"]) == (1.0, 2.0) and packed["Memory, MiB"] > 10
    assert "A sample costs 3.00 times as much sample-mixed as task-alternated" in out
    assert "which all reach: sample-mixed 16 s, task-alternated 6 s, packed 2 s" in out
    assert "differ by 0.0000: so much, or less" in out
    assert "74 / 19 is 3.9" in out and "load average before" in out
    for kind in ("png", "pdf", "tex"):
        assert (folder / f"table5.{kind}").stat().st_size > 1000
    record = json.loads(next((folder / "runs").glob("pod-*/record.json")).read_text())
    assert record["identity"]["timed"] is True and "load_average" in record["conditions"]["after"]
    again = podium("--tables", "5")
    assert again[0] == 0 and "timed runs" not in again[2], "nothing is run twice"


def test_a_timed_run_refuses_company(podium, tmp_path):
    with alone():
        code, out, err = podium("--tables", "5")
    assert code == 1 and "needs the machine for itself" in err and "needs the machine for itself" in out
    assert not list((tmp_path / "out" / "shop" / "smoke" / "runs").glob("pod-*"))


def test_inference_two_ways(podium, tmp_path):
    code, out, err = podium("--tables", "6", "--protocol", "published")
    folder = tmp_path / "out" / "shop" / "smoke"
    assert code == 0, err
    assert "POD, slowly" in out and "Encoded once: saved (%)" in out and "Users with the same list" in out
    assert "sequential 1,446 s with words, 1,337 s without (-7.5 %)" in out
    times = rows(folder / "inference_times.csv")
    assert len(times) == 2 * 2 * 2 and {row["repeats"] for row in times} == {"3"}
    assert {row["encoded_tokens"] for row in times if row["way"] == "plain"} == {"20.0"}
    assert all(float(row["seconds_per_user"]) > 0 for row in times)
    assert len(list((folder / "timings").glob("*.json"))) == 2
    runs = [json.loads(path.read_text()) for path in (folder / "runs").glob("*/record.json")]
    assert sum("fitted_by" in run for run in runs) == 1, "one fit, asked twice"
    code, out, _ = podium("--tables", "6", "--protocol", "published", "--report-only")
    assert code == 0 and "not timed yet" not in out


def test_under_sound_the_released_way_is_timed_and_not_judged(podium, tmp_path):
    code, out, _ = podium("--tables", "6", "--protocol", "sound")
    assert code == 0 and "searches freely whatever the protocol" in out and "same list both ways" not in out
    table = [row for row in rows(tmp_path / "out" / "shop" / "smoke" / "table6.csv") if row["title"] == "POD, slowly"]
    assert [bool(row["value"]) for row in table] == [False, False, True] * 2


def test_without_weights_the_times_are_missing_and_say_so(podium, tmp_path):
    assert podium("--tables", "6", "--protocol", "sound", "--models", "pod")[0] == 0
    folder = tmp_path / "out" / "shop" / "smoke"
    for path in (*folder.glob("timings/*.json"), *folder.glob("runs/*/weights.safetensors")):
        path.unlink()
    code, out, err = podium("--tables", "6", "--protocol", "sound", "--models", "pod")
    assert code == 1 and "its weights are not here" in err and "not timed yet" in out
    page = (folder / "report.html").read_text()
    missing = page[page.index("What is missing") :]
    assert "Times of Table 6, POD slowly, POD fast (sound): not timed yet" in missing, missing[:600]


def test_prompt_vectors(podium, tmp_path):
    code, out, err = podium("--tables", "2,fig4", "--prompt-vectors", "10,1,3")
    folder = tmp_path / "out" / "shop" / "smoke"
    assert code == 0, err
    # Figure 4 runs under sound alone; K = 3 is the protocol's own, whose run is that of Table 2.
    assert len(list((folder / "runs").glob("pod-*"))) == 2 + 2
    assert "Figure 4 in numbers. The number of prompt vectors K: shop" in out
    assert {row["protocol"] for row in rows(folder / "fig4.csv")} == {"sound"}
    code, out, err = podium("--tables", "fig4", "--protocol", "published", "--prompt-vectors", "10,1,3")
    assert code == 0, err
    assert {row["protocol"] for row in rows(folder / "fig4.csv")} == {"published"}
    assert len(list((folder / "runs").glob("pod-*"))) == 6
    # What is there is shown.
    code, out, err = podium("--tables", "fig4", "--prompt-vectors", "10,1,3", "--report-only")
    assert code == 0, err
    named = [(row["protocol"], row["model"]) for row in rows(folder / "fig4.csv")]
    expected = [(protocol, f"K={k}") for protocol in ("published", "sound") for k in (1, 3, 10)]
    assert list(dict.fromkeys(named)) == expected
    assert {(row["variant"], row["way"]) for row in rows(folder / "fig4_times.csv")} == {
        (k, "ours") for k in ("1", "3", "10")
    }
    for stem in ("fig4_sound", "fig4_published_scaled"):
        assert (folder / f"{stem}.png").stat().st_size > 5000 and (folder / f"{stem}.pdf").exists()


def test_a_setting_of_one_tables_runs(podium, tmp_path):
    changed = "fig4:pod.backbone=scratch:some"
    code, out, err = podium("--tables", "2,fig4", "--protocol", "sound", "--prompt-vectors", "1,3", "--set", changed)
    folder = tmp_path / "out" / "shop" / "smoke"
    assert code == 0, err
    assert len(list((folder / "runs").glob("pod-*"))) == 3  # K = 3 of the figure is not Table 2's run any more
    second, figure = out.split("Figure 4 in numbers.")
    assert (
        "Settings changed" not in second and "Settings changed from the preset's: pod.backbone=scratch:some." in figure
    )
    assert "--set fig4:pod.backbone=scratch:some" in (folder / "report.html").read_text()


def test_settings_of_the_inference_tables_runs_are_not_those_of_other_tables(podium, tmp_path):
    words = ("--tables", "2,6", "--protocol", "sound", "--models", "pod,pod-discrete")
    code, out, err = podium(*words, "--set", "6:pod.backbone=scratch:some")
    assert code == 0, err
    runs = (tmp_path / "out" / "shop" / "smoke" / "runs").glob("*/record.json")
    found = [json.loads(path.read_text())["identity"] for path in runs]
    # The words are asked of the same fits, so what is changed of those is changed of both.
    expected = [("pod", "scratch:16x1"), ("pod", "scratch:some"), ("pod-discrete", "scratch:some")]
    assert sorted((each["model"], each["settings"]["backbone"]) for each in found) == expected
    second, sixth = out.split("Table 6.")
    assert "Settings changed" not in second and "pod.backbone=scratch:some" in sixth


@pytest.mark.parametrize(
    ("tables", "changed", "told"),
    [
        ("2", "6:pod.backbone=x", "--set 6:…: table 6 is not asked for; add 6 to --tables"),
        ("2,6", "6:pod.backbones=x", "--set 6:pod.backbones: unknown setting 'backbones'; did you mean 'backbone'?"),
        ("2,6", "6:pot.backbone=x", "unknown model 'pot'; did you mean 'pod'?"),
        ("fig4", "fig4:pod-discrete.backbone=x", "table fig4 has no runs of 'pod-discrete'; it has those of pod"),
    ],
)
def test_settings_for_runs_that_a_table_does_not_have(podium, tables, changed, told):
    code, _, err = podium("--tables", tables, "--set", changed)
    assert code == 2 and told in err and err.count("\n") == 1


@pytest.mark.parametrize("text", ["", "x", "-1", "1,,x"])
def test_numbers_that_are_none(podium, text):
    code, _, err = podium("--tables", "fig4", "--prompt-vectors", text)
    assert code == 2 and "--prompt-vectors" in err and err.count("\n") == 1


def test_a_curve_from_before_times(podium, tmp_path):
    assert podium("--tables", "5")[0] == 0
    runs = tmp_path / "out" / "shop" / "smoke" / "runs"
    path = next(runs.glob("pod-*/curve.csv"))
    path.write_text("epoch,loss\n1.0,2.0\n")
    code, _, err = podium("--tables", "5", "--report-only")
    assert code == 2 and "curve.csv" in err


@pytest.mark.parametrize("text", ["", "much", "-1", "0", "nan"])
def test_amounts_of_memory_that_are_none(podium, text):
    code, _, err = podium("--tables", "5", "--memory", text)
    assert code == 2 and "--memory" in err and err.count("\n") == 1


def test_a_memory_budget_is_named(podium, tmp_path):
    code, out, _ = podium("--tables", "5", "--memory", "0.5")
    assert code == 0 and "Memory budget 0.5 GiB: sample-mixed in at most 1 parts a step" in out


def test_times_of_different_machines_are_marked(podium, tmp_path):
    assert podium("--tables", "5")[0] == 0
    folder = tmp_path / "out" / "shop" / "smoke"
    assert "machine" not in "".join(row["note"] for row in rows(folder / "table5.csv"))
    for path in folder.glob("runs/*/record.json"):
        content = json.loads(path.read_text())
        if content["identity"]["settings"]["strategy"] == "packed":
            content["environment"] |= {"processor": "Another", "cores": "64"}
            del content["checksum"]
            content["checksum"] = hashlib.sha256(canonical(content)).hexdigest()
            path.write_text(json.dumps(content))
    code, out, err = podium("--tables", "5", "--report-only")
    assert code == 0, err
    notes = {row["model"]: row["note"] for row in rows(folder / "table5.csv") if row["metric"] == "Epoch, s"}
    assert "timed on cpu (Another, 64 cores), threads: 1, other rows on another machine" in notes["packed"]
    assert "other rows on another machine" in notes["sample-mixed"] and "Another" not in notes["sample-mixed"]
    assert "times do not compare" in out


def test_of_several_seeds_one_is_timed_and_shown(podium, tmp_path):
    """Times of other seeds stand nowhere, so that they are not taken, nor missed where weights are gone."""
    words = ("--tables", "6", "--protocol", "sound", "--models", "pod", "--seeds", "0,1")
    code, out, err = podium(*words)
    folder = tmp_path / "out" / "shop" / "smoke"
    assert code == 0 and err.count("timing the inference of") == 1
    (times,) = folder.glob("timings/*.json")
    assert "-s0-" in times.name and "seed: 0;" in out
    for path in folder.glob("runs/pod-s1-*/weights.safetensors"):
        path.unlink()
    assert podium(*words)[0] == 0, "seed 0 has times"
    times.unlink()
    for path in folder.glob("runs/pod-s0-*/weights.safetensors"):
        path.unlink()
    code, _, err = podium(*words)
    assert code == 1 and err.count("its weights are not here") == 1
