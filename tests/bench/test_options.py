"""Words into options, and the actions that only show: list, doctor, help, version."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import run_all
from bench.errors import UserError
from bench.models import ModelInfo, Registry
from bench.options import make_parser, parse
from bench.report.specs import table

ROOT = Path(__file__).resolve().parents[2]


def mistake(*words):
    with pytest.raises(UserError) as caught:
        parse(list(words))
    return str(caught.value)


def test_list_is_complete_and_loads_no_heavy_library():
    command = [sys.executable, "run_all.py", "--list"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert "with a row only if --models names them: p5, p5-independent, pod-independent" in done.stdout
    for words in ("beauty", "ml-100k", "PATH", "sasrec", "settings: neighbours=100", "probe;", "paper  ", "topn"):
        assert words in done.stdout
    code = (
        "import sys, io, run_all; sys.stdout = io.StringIO(); run_all.main(['--list']);"
        "heavy = ('torch', 'pandas', 'pyarrow', 'recbole', 'transformers');"
        "sys.stderr.write(str([m for m in heavy if m in sys.modules]))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert loaded.stderr == "[]"


def test_list_and_doctor_name_what_is_missing(tmp_path, monkeypatch, capsys):
    lacking = ModelInfo(
        "lacking", "Lacking", "fake", ("topn",), "x:y", requires=("no_such_package",), needs=("ratings",)
    )
    registry = Registry({"lacking": lacking}, {"broken.module": "ImportError: \x1b[31mno"})
    monkeypatch.setattr("bench.models.discover", lambda: registry)
    assert run_all.main(["--list"]) == 0
    said = capsys.readouterr().out
    assert "MISSING package no_such_package" in said and "needs item ratings" in said
    assert "cannot be loaded: broken.module (ImportError: [U+001B][31mno)" in said
    assert "not in this version: MF, MLP, P5, POD" in said
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "dataset.json").write_text("{")
    assert run_all.main(["--doctor", "--out", str(tmp_path), "--data-dir", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    for words in ("python  ", "lacking           needs no_such_package", "GiB free", "not a readable dataset card"):
        assert words in said
    assert run_all.main(["--doctor", "--out", str(tmp_path / "none")]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--dataset: which data set?"),
        (["--dataset", ","], "--dataset: is empty"),
        (["--dataset", "demo", "--preset", "labtop"], "--preset: unknown choice 'labtop'; did you mean 'laptop'?"),
        (["--dataset", "demo", "--protocol", "zzz"], "choose from published, sound, both"),
        (["--dataset", "demo", "--tables", "7"], "--tables: unknown table '7'; there are tables 1, 2, 3"),
        (["--dataset", "demo", "--seeds", "0,x"], "--seeds: 'x' is not a whole number from 0"),
        (["--dataset", "demo", "--seeds", "-1"], "seeds"),
        (["--dataset", "demo", "--seeds", ","], "--seeds: is empty"),
        (["--dataset", "demo", "--seeds", "0,1,1"], "--seeds: seed 1 is given more than once"),
        (["--dataset", "demo", "--seeds", "1,01"], "--seeds: seed 1 is given more than once"),
        (["--dataset", "demo", "--jobs", "0"], "--jobs: '0' is not a whole number from 1"),
        (["--dataset", "demo", "--threads", "²"], "--threads: '²'"),
        (["--dataset", "demo", "--item-numbering", "radnom"], "did you mean 'random'"),
        (["--dataset", "demo", "--set", "mf=3"], "--set: 'mf=3' has another form; give model.setting=value"),
        (["--dataset", "demo", "--task", "topm"], "--task: unknown choice 'topm'; did you mean 'topn'"),
        (["--dataset", "demo", "--device", "tpu"], "--device: unknown choice 'tpu'"),
        (["--datasets", "demo"], "unrecognized arguments: --datasets demo; did you mean --dataset?"),
        (["--dataset", "demo", "extra"], "unrecognized arguments: extra; see --help"),
        (["--dataset"], "expected one argument"),
        (["--dataset", "demo", "--models", ""], "--models: is empty"),
        (["--dataset", "demo", "--report-only", "--dry-run"], "--report-only and --dry-run exclude each other"),
    ],
)
def test_wrong_usage_is_one_line(words, message, capsys):
    assert message in mistake(*words)
    assert run_all.main(words) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and said.err.startswith("podium: ")


def test_an_absent_cuda_device(monkeypatch):
    monkeypatch.setattr("bench.options.cuda_available", lambda: False)
    assert "no CUDA device" in mistake("--dataset", "demo", "--device", "cuda")
    options = parse(["--dataset", "demo"])
    assert (options.preset, options.device) == ("laptop", "cpu") and "no CUDA device is found" in options.remarks[0]
    monkeypatch.setattr("bench.options.cuda_available", lambda: True)
    options = parse(["--dataset", "demo"])
    assert (options.preset, options.device) == ("paper", "cuda") and "preset paper" in options.remarks[0]
    assert parse(["--dataset", "demo", "--preset", "smoke", "--device", "cpu"]).remarks == ()


def test_options_as_typed():
    options = parse(
        [
            "--dataset",
            "a,b",
            "--seeds",
            "2,1",
            "--tables",
            "3,1",
            "--set",
            "m.x=1=2",
            "--set",
            "m.y=",
            "--models",
            "q,p",
            "--jobs",
            "3",
        ]
    )
    assert options.datasets == ("a", "b") and options.seeds == (2, 1) and options.models == ("q", "p")
    assert [spec.number for spec in options.tables] == ["3", "1"] and options.jobs == 3
    assert options.overrides == {"m": {"x": "1=2", "y": ""}} and options.threads >= 1
    assert [protocol.name for protocol in options.protocols] == ["published", "sound"]
    random = parse(["--dataset", "a", "--item-numbering", "random", "--protocol", "sound"])
    assert [protocol.name for protocol in random.protocols] == ["sound+random-ids"]
    assert [protocol.name for protocol in parse(["--dataset", "a", "--score", "f"]).protocols] == ["sound"]
    scored = parse(["--dataset", "a", "--score", "f", "--task", "explanation"])
    assert scored.task == "explanation" and scored.action == "score"
    assert all(action.help for action in make_parser()._actions)


def test_settings_of_one_tables_own_runs():
    words = ["--set", "pod.backbone=scratch:mini", "--set", "fig4:pod.epochs=6", "--set", "leak:id-order.x=a:b"]
    options = parse(["--dataset", "a", "--tables", "1,fig4,leak", *words])
    assert options.overrides == {"pod": {"backbone": "scratch:mini"}}
    assert options.table_overrides == {"fig4": {"pod": {"epochs": "6"}}, "leak": {"id-order": {"x": "a:b"}}}
    fig4 = options.overrides_of(table("fig4"))
    assert fig4 == {"pod": {"backbone": "scratch:mini", "epochs": "6"}}
    assert options.overrides_of(None) == options.overrides_of(table("5")) == options.overrides
    sixth = parse(["--dataset", "a", "--tables", "2,6,fig4", "--set", "6:pod.epochs=3"])
    assert [sixth.owns(spec) for spec in sixth.tables] == [False, True, True]
    assert [options.owns(table(number)) for number in ("6", "fig4")] == [False, True]
    with pytest.raises(UserError, match=r"--set 2:pod.epochs=6: table 2 shares its runs with others"):
        parse(["--dataset", "a", "--set", "2:pod.epochs=6"])
    with pytest.raises(UserError, match="unknown table 'fig5'; did you mean 'fig4'"):
        parse(["--dataset", "a", "--set", "fig5:pod.epochs=6"])


def test_help_and_version(capsys):
    for words, text in (("--help", "exit codes"), ("--version", "podium ")):
        with pytest.raises(SystemExit) as ended:
            run_all.main([words])
        assert ended.value.code == 0 and text in capsys.readouterr().out
