"""Tables as CSV, LaTeX and text, and metrics.csv."""

from __future__ import annotations

import csv
import errno
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from made_up import Bench, LlmSettings, card, info, tied

from bench.data.dataset import DataNote
from bench.protocols import PROTOCOLS
from bench.report.build import build_table
from bench.report.files import (
    METRIC_COLUMNS,
    TABLE_COLUMNS,
    protocols_served,
    table_rows,
    write_metrics,
    write_table,
    write_text,
)
from bench.report.latex import latex_table
from bench.report.specs import TABLES
from bench.report.text import text_table
from bench.runs.record import Unwritable

ROOT = Path(__file__).resolve().parents[3]
OUR_COMMANDS = (
    "begin end centering footnotesize scriptsize setlength tabcolsep caption toprule midrule bottomrule cmidrule "
    "multicolumn textit textbf underline textsuperscript smallskip textwidth pm textbackslash textasciicircum "
    "textasciitilde i usepackage documentclass ifdefined else fi section def PodiumEnd providecommand pagestyle "
    "textbar setcounter dots tiny"
)
HOSTILE = '"quoted" \\input{x} %$_{&#^~ \u202etxt.exe \x00 ünï 数'


def read(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def bench(paper_models):
    results = {"caser": 0.01, "sasrec": {0: 0.04, 1: 0.05}, "hgn": HOSTILE, "pod": 0.0625, "popularity": 0.03}
    return Bench(paper_models, results, seeds=(0, 1))


@pytest.fixture
def hostile():
    models = [info("pod", HOSTILE), info("=cmd", "=cmd|' /C calc'!A0"), info("sasrec", "\\end{document}")]
    data = card("beauty", HOSTILE, (DataNote(HOSTILE, 3),))
    return Bench(models, {"pod": 0.1, "=cmd": HOSTILE, "sasrec": 0.2}, dataset=data)


def test_table_csv_is_tidy(bench, tmp_path):
    paths = write_table(build_table(TABLES["2"], bench.plan), tmp_path)
    assert [path.name for path in paths] == ["table2.csv", "table2.tex"]
    rows = read(paths[0])
    assert tuple(rows[0]) == TABLE_COLUMNS and len(rows) == 2 * 4 * (9 + 1 + 7)
    found = {(row["protocol"], row["model"], row["metric"]): row for row in rows}
    cell = found["sound", "sasrec", "HR@5"]
    expected = {"value": "0.0450", "std": "0.0071", "n_seeds": "2", "n_users": "22360", "paper": "0.0387", "note": ""}
    assert {name: cell[name] for name in expected} == expected
    missing = found["sound", "hgn", "HR@5"]
    assert missing["value"] == "" and missing["note"].startswith("failed: ")
    assert found["published", "", "NDCG@10"]["title"] == "Improvement (%)"
    assert found["published", "", "NDCG@10"]["value"] == "38.89" and found["published", "", "HR@5"]["paper"] == "6.76"


def test_table_1_csv(bench, tmp_path):
    rows = read(write_table(build_table(TABLES["1"], bench.plan), tmp_path, "-random-ids")[0])
    assert [(row["metric"], row["value"], row["paper"]) for row in rows] == [
        ("users", "22363", "22363"),
        ("items", "12101", "12101"),
        ("interactions", "198502", "198502"),
        ("density", "0.0733", "0.0734"),
        ("evaluated", "22360", ""),
    ]
    assert (tmp_path / "table1-random-ids.tex").exists()


def test_hostile_names_are_inert_in_csv(hostile):
    rows = list(table_rows(build_table(TABLES["2"], hostile.plan)))
    texts = {text for row in rows for text in row.values()}
    assert any(text.startswith("'=cmd|") for text in texts)
    assert not any(text.startswith(("=", "+", "@")) for text in texts)
    assert not any(mark in text for text in texts for mark in ("\u202e", "\x00", "\n"))


def test_metrics_in_full_precision_once_a_protocol(bench, tmp_path):
    write_metrics(bench.records, bench.registry, bench.card, tmp_path / "metrics.csv")
    rows = read(tmp_path / "metrics.csv")
    assert tuple(rows[0]) == METRIC_COLUMNS
    # 5 metrics, 2 tasks, 2 protocols for each record; popularity has one, the others two seeds.
    assert len(rows) == 5 * 2 * 2 * len(bench.records) == 5 * 2 * 2 * 7
    pod = [row for row in rows if row["model"] == "pod" and row["seed"] == "1" and row["protocol"] == "published"]
    assert {float(row["value"]) for row in pod} == {0.0625} and {row["n"] for row in pod} == {"22360"}
    assert {row["variant"] for row in rows} == {""} and {row["preset"] for row in rows} == {"laptop"}


def test_metrics_tell_variants_and_leave_out_what_is_outdated(tmp_path):
    model = info("pod", "POD", "llm", LlmSettings)
    changed = Bench([model], {"pod": 0.1}, overrides={"pod": {"backbone": "=t5"}})
    usual = Bench([model], {"pod": 0.2})
    old = Bench([replace(model, version=7)], {"pod": 0.3})
    other = Bench([model], {"pod": 0.4}, dataset=replace(card(), fingerprint="other"))
    records = [record for bench in (changed, usual, old, other) for record in bench.records]
    write_metrics(records, usual.registry, usual.card, tmp_path / "metrics.csv")
    found = {(row["variant"], row["value"]) for row in read(tmp_path / "metrics.csv")}
    assert found == {("backbone==t5", "0.1"), ("", "0.2")}


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, ["published", "sound"]),
        ({"item_numbering": "train"}, ["sound"]),
        ({"item_numbering": "appearance", "keep_history": True}, ["published"]),
        ({"item_numbering": "random"}, ["published+random-ids", "sound+random-ids"]),
        ({"item_numbering": "train", "keep_history": True}, ["published+train-ids"]),
        ({"no_such": 1}, []),
    ],
)
def test_protocols_that_a_run_serves(settings, names):
    assert [protocol.name for protocol in protocols_served(settings)] == names
    assert set(PROTOCOLS) == {"published", "sound"}


def test_latex_by_structure(bench):
    text = latex_table(build_table(TABLES["2"], bench.plan))
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 2 + 2 * (1 + 9 + 1 + 7)
    assert {line.count("&") for line in rows if "multicolumn" not in line} == {8}
    assert r"SASREC & \underline{0.0450}{\tiny$\pm$0.0071} & 0.0387" in text
    assert r"POD & \textbf{0.0625}" in text and r"\textbf{0.0537}" in text
    assert r"\textit{Protocol: published}" in text and text.isascii()
    assert text.count(r"\begin{") - text.count(r"\end{") == 0
    assert r"\setcounter{table}{1}" in text


def test_latex_of_hostile_names_by_structure(hostile):
    text = latex_table(build_table(TABLES["2"], hostile.plan))
    assert r"\input" not in text and text.isascii()
    assert text.count(r"\end{document}") == 1 and r"\textbackslash{}end\{document\}" in text
    commands = set(re.findall(r"\\([a-zA-Z]+)", text))
    assert commands <= set(OUR_COMMANDS.split())


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(bench, hostile, tmp_path):
    write_table(build_table(TABLES["1"], bench.plan), tmp_path)
    write_table(build_table(TABLES["2"], bench.plan), tmp_path)
    write_table(build_table(TABLES["3"], hostile.plan), tmp_path)
    inputs = "".join(rf"\input{{table{number}.tex}}" for number in "123")
    whole = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{inputs}after\end{{document}}"
    (tmp_path / "paper.tex").write_text(whole)
    (tmp_path / "x.tex").write_text(r"\errmessage{a hostile name was obeyed}")
    for name in ("table1", "table2", "table3", "paper"):
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", f"{name}.tex"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:]
        assert (tmp_path / f"{name}.pdf").stat().st_size > 1000


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_the_widest_table_fits_the_page(tmp_path):
    names = [name for name in TABLES["3"].models if name not in ("p5", "pod")]
    models = [info(name, name.title()) for name in names if not name.endswith("independent")]
    scratch = tied("scratch:mini")
    models += [
        info(f"{name}-independent", f"{name.upper()} (a token an item)", "llm", scratch) for name in ("p5", "pod")
    ]
    wide = Bench(models, {name: {0: 0.1, 1: 0.2} for name in names}, seeds=(0, 1))
    write_table(build_table(TABLES["3"], wide.plan), tmp_path)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table3.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "Overfull" not in done.stdout


def test_text_is_aligned(bench):
    text = text_table(build_table(TABLES["2"], bench.plan))
    lines = text.splitlines()
    assert lines[0] == "Table 2. Performance comparison on sequential recommendation: Beauty"
    assert lines[1] == "[published]"
    body = [line for line in lines[2:20] if not line.startswith("  -")]
    # The first column of the paper's figures ends at the same place in every line.
    assert body[0].index("paper") + 5 == body[6].index("0.0387") + 6 and "SASREC" in body[6]
    assert "0.0625 ±0.0000*" in text and "0.0450 ±0.0071+" in text
    assert "(1) " in text and "  Device" not in text


def test_text_of_hostile_names_holds_no_control_marks(hostile):
    text = text_table(build_table(TABLES["2"], hostile.plan))
    assert "\u202e" not in text and "\x00" not in text and "[U+202E]txt.exe" in text


def test_a_full_disk_keeps_the_old_table(tmp_path, monkeypatch):
    path = tmp_path / "a" / "t.csv"
    write_text(path, "old")

    def refuse(self, *args, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.write_text", refuse)
        with pytest.raises(Unwritable, match="free some space"):
            write_text(path, "new")
    assert path.read_text() == "old" and [entry.name for entry in path.parent.iterdir()] == ["t.csv"]


def test_reports_need_neither_torch_nor_pandas_nor_models():
    code = (
        "import sys, bench.cli, bench.report.build, bench.report.files;"
        "print([m for m in ('torch', 'pandas', 'pyarrow', 'recbole', 'scipy', 'tqdm') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
