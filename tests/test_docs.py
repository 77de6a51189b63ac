"""What README and docs say against the command line and the committed results."""

from __future__ import annotations

import csv
import html
import re
import shlex
import shutil
from pathlib import Path

import pytest

import run_all
from bench.options import make_parser, parse

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "results/README.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\| \[([\w-]+/\w+)\]\([^)]*\) \| `python run_all\.py ([^`]*)`", PAGES[3].read_text(), re.M)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    targets = [target.split("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    missing = [target for target in targets if target and not (page.parent / target).exists()]
    assert not missing


def test_every_option_is_in_the_readme_and_no_other():
    known = {name for action in make_parser()._actions for name in action.option_strings if name.startswith("--")}
    told = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", README))
    assert told <= known
    assert known - told <= {"--help", "--version"}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_commands_are_ones_that_the_program_takes(page, monkeypatch):
    monkeypatch.setattr("bench.options._cores", lambda: 2)
    for line in re.findall(r"python run_all\.py ([^`\n#]*)", page.read_text(encoding="utf-8")):
        words = shlex.split(line.replace("…", "").replace("\\|", "|"))
        if words and not {"--list", "--doctor"} & set(words):
            parse(words)


def test_the_figures_on_the_first_page_are_the_committed_ones():
    """Every row of README's table, NDCG@10 under `sound` on Beauty, from metrics.csv."""
    table = README.split("## First results")[1].split("##")[0]
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| ") and "---" not in line]
    with (ROOT / "results/beauty/laptop/table2.csv").open(newline="") as stream:
        second = _figures(csv.DictReader(stream))
    with (ROOT / "results/beauty/laptop/table3.csv").open(newline="") as stream:
        third = _figures(csv.DictReader(stream))
    compared = 0
    for row in rows[1:]:
        for (title, told), known in zip((row[:2], row[2:4]), (second, third), strict=True):
            title, told = title.strip(), told.strip()
            if not title or title.startswith("*"):
                continue
            name = title.replace(", a token an item, from scratch", " (a token an item)").replace(", from scratch", "")
            assert told.split()[0] == f"{known[name]:.4f}".lstrip("0"), title
            compared += 1
    assert compared >= 20


def _figures(rows):
    wanted = (row for row in rows if (row["protocol"], row["metric"]) == ("sound", "NDCG@10"))
    return {row["title"]: float(row["value"]) for row in wanted if row["value"]}


def test_quoted_findings_are_sentences_of_committed_pages():
    page = ROOT / "docs" / "AUDIT.md"
    quoted = re.findall(r"^> (.+)$", page.read_text(encoding="utf-8"), re.M)
    pages = [html.unescape(path.read_text(encoding="utf-8")) for path in ROOT.glob("results/*/*/report.html")]
    assert quoted and not [sentence for sentence in quoted if not any(sentence in text for text in pages)]


def test_there_is_a_command_for_every_folder_of_results():
    assert {folder for folder, _ in COMMANDS} == {
        f"{path.parents[1].name}/{path.parent.name}" for path in (ROOT / "results").glob("*/*/runs")
    } - {"local"}


@pytest.mark.parametrize(("folder", "words"), COMMANDS)
def test_committed_tables_are_those_of_the_committed_records(folder, words, tmp_path, monkeypatch, capsys):
    """The command of results/README.md, from records alone, writes what is committed: every CSV and LaTeX file."""
    name, preset = folder.split("/")
    copy = tmp_path / name
    shutil.copytree(ROOT / "results" / name, copy, ignore=shutil.ignore_patterns("predictions-*", "weights.*"))
    for path in (copy / preset).glob("*.*"):
        if path.suffix in {".csv", ".tex"}:
            path.unlink()
    typed = [word for word in shlex.split(words) if word not in {"--offline"}]
    if "--data-dir" in typed:
        del typed[typed.index("--data-dir") : typed.index("--data-dir") + 2]
    code = run_all.main([*typed, "--report-only", "--out", str(tmp_path)])
    err = capsys.readouterr().err
    assert code in {0, 1}, err
    for path in sorted((ROOT / "results" / name / preset).glob("*.*")):
        if path.suffix in {".csv", ".tex"}:
            assert (copy / preset / path.name).read_bytes() == path.read_bytes(), path.name
