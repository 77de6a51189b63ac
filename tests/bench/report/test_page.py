"""The page over real runs of rules on a shop with hostile names: complete, inert, the same bytes, honest on gaps."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

from bench import cli
from bench.metrics.significance import sign_flip
from bench.models import discover
from bench.options import parse
from bench.progress import Progress
from bench.report.build import build_table
from bench.report.comparisons import compare
from bench.report.files import table_rows, write_metrics
from bench.report.page import Contents, write_index, write_page
from bench.report.page.browse import MANY, drawn
from bench.report.page.kept import SHOWN
from bench.report.page.summary import best_and_next, ranking
from bench.report.page.write import page

EVIL = (
    "<script>alert(1)</script>",
    "a\u202eb",
    '"><img src=x onerror=alert(1)>',
    "=cmd()",
    "\\input{x}",
    "plain",
    "&amp;",
)
MODELS = "popularity,item-knn,sequential-rules"
LIMIT = 3 * 2**20


class Reader(HTMLParser):
    """Elements with their attributes, rows of cells, and all text."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.rows, self.text, self.inside = [], [], "", None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.inside = tag

    def handle_endtag(self, tag):
        if tag == self.inside:
            self.inside = None

    def handle_data(self, data):
        self.text += data
        if self.inside:
            self.rows[-1][-1] += data

    def named(self, name):
        return [attrs for tag, attrs in self.elements if tag == name]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    data = tmp_path_factory.mktemp("data") / "evil"
    data.mkdir()
    rng = np.random.default_rng(0)
    lines = ["user_id:token\titem_id:token\ttimestamp:float"]
    items = [*EVIL, *(f"item-{n}" for n in range(20))]
    for user in range(30):
        for time, item in enumerate(rng.choice(len(items), 6, replace=False)):
            lines.append(f"u<b>{user}\t{items[item]}\t{time}")
    (data / "evil.inter").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return data


def laid_out(folder, out, *more):
    words = ["--dataset", str(folder), "--preset", "smoke", "--models", MODELS, "--tables", "1,2,3", "--device", "cpu"]
    options = parse([*words, "--threads", "1", "--out", str(out), *more])
    (work,) = cli.lay_out(options, discover(), Progress())
    return options, work


def contents_of(options, work):
    tables = [build_table(spec, work.plan) for spec in options.tables]
    standings = [compare(spec, work.plan) for spec in options.tables if spec.task is not None]
    return Contents(work.plan, options.tables, tables, standings, work.folder, work.own, work.split)


@pytest.fixture(scope="module")
def ran(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    options, work = laid_out(folder, out)
    cli.run_plan(work, options, Progress())
    contents = contents_of(options, work)
    return contents, Reader(page(contents)), out


def test_names_from_data_are_inert(ran):
    _, read, _ = ran
    assert len(read.named("script")) == 1 and not read.named("img")
    assert not any(name.startswith("on") for _, attrs in read.elements for name in attrs)
    assert EVIL[0] in read.text and EVIL[2] in read.text and "u<b>" in read.text
    assert "\u202e" not in read.text and "a[U+202E]b" in read.text


def test_nothing_is_fetched(ran):
    _, read, _ = ran
    assert {tag for tag, attrs in read.elements if "src" in attrs} == set()
    links = [attrs["href"] for _, attrs in read.elements if "href" in attrs]
    assert all(link.startswith("#") or link == "../../index.html" for link in links)
    policy = next(attrs["content"] for attrs in read.named("meta") if attrs.get("http-equiv"))
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy


def test_anchors_are_there_once(ran):
    _, read, _ = ran
    ids = [attrs["id"] for _, attrs in read.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = {attrs["href"][1:] for _, attrs in read.elements if attrs.get("href", "").startswith("#")}
    assert targets <= set(ids)


def test_elements_close(ran):
    contents, _, _ = ran
    text = page(contents)
    for name in ("table", "tr", "td", "details", "section", "svg", "div", "ul"):
        assert len(re.findall(rf"<{name}[ >]", text)) == text.count(f"</{name}>"), name


def test_every_figure_of_the_tables_is_there(ran):
    contents, read, _ = ran
    shown = {cell.strip() for row in read.rows for cell in row}
    values = [row["value"] for table in contents.tables for row in table_rows(table) if row["value"]]
    assert values and {f"{float(v):,.0f}" if "." not in v else v for v in values} <= shown


def test_the_summary_answers_the_first_questions(ran):
    contents, read, _ = ran
    assert "3 runs of 3 models" in read.text
    assert "one seed, so no spread over seeds" in read.text
    assert "--models item-knn,popularity,sequential-rules" in contents.command
    assert "not run yet" in read.text and "does not have this data set" in read.text


def test_the_best_model_is_that_of_metrics_csv(ran):
    contents, _, out = ran
    write_metrics(contents.records, discover(), contents.plan.card, out / "metrics.csv")
    with (out / "metrics.csv").open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["protocol"] == "sound"]
    for standing, task in zip(contents.standings, ("sequential", "topn"), strict=True):
        found = {r["model"]: float(r["value"]) for r in rows if (r["task"], r["metric"]) == (task, "NDCG@10")}
        first = ranking(contents, standing, "NDCG@10")[0]
        assert first.value == pytest.approx(max(found.values()), abs=1e-6)


def test_best_and_next_is_the_sign_flip_test(ran):
    contents, _, _ = ran
    first, second = (each.model for each in ranking(contents, contents.standings[0], "NDCG@10")[:2])
    told = best_and_next(contents, contents.specs[1], "NDCG@10", first, second)
    scores = {r.model: r.per_user("sequential")["NDCG@10"].astype(np.float64) for r in contents.records}
    p = sign_flip((scores[first] - scores[second])[:, None], np.random.default_rng(1))[0]
    said = float(re.search(r"p = ([\d.e-]+),", told).group(1))
    assert said == pytest.approx(p, abs=0.02)
    assert ("not significant" in told) == (p >= 0.05)


def test_users_are_always_the_same():
    assert drawn(30) == drawn(30) == sorted(set(drawn(30))) and len(drawn(30)) == MANY
    assert drawn(3) == [0, 1, 2]


def test_a_users_truth_and_rank_are_those_of_the_split(ran):
    contents, _, _ = ran
    split = contents.split
    row = drawn(len(split.users))[0]
    truth = split.dataset.item_ids[int(split.truth("test")[row])]
    text = page(contents)
    part = text[text.index('id="users"') :]
    part = Reader(part[part.index("<details>") : part.index("</details>")])
    assert f"Held out{truth.replace(chr(0x202E), '[U+202E]')}" in part.text
    for record in contents.records:
        place = int(record.per_user("sequential")["rank"][row])
        shown = next(cells for cells in part.rows if cells[0] == contents.label(record))
        assert shown[1] == (str(place) if place else "–")
        listed = shown[2]
        assert (truth.replace(chr(0x202E), "[U+202E]") in [item.strip() for item in listed.split(",")]) == (
            0 < place <= 5
        )


def test_the_same_bytes_again(ran, tmp_path):
    contents, _, _ = ran
    first = write_page(contents).read_bytes()
    assert write_page(contents).read_bytes() == first
    assert len(first) < LIMIT
    assert write_page(contents, "-train-ids").name == "report-train-ids.html"


def test_records_alone_give_the_same_page(ran, folder, tmp_path):
    contents, _, out = ran
    shutil.copytree(out / "evil", tmp_path / "evil")
    assert page(contents_of(*laid_out(folder, tmp_path, "--report-only"))) == page(contents)


def test_a_copy_without_predictions_shows_what_was_kept(ran, folder, tmp_path):
    contents, _, out = ran
    write_page(contents)
    shutil.copytree(out / "evil", tmp_path / "evil")
    for path in tmp_path.rglob("predictions-*"):
        path.unlink()
    copied = contents_of(*laid_out(folder, tmp_path, "--report-only"))
    assert page(copied) == page(contents)
    write_page(copied)
    assert (tmp_path / "evil" / "smoke" / SHOWN).read_bytes() == (out / "evil" / "smoke" / SHOWN).read_bytes()


@pytest.mark.parametrize("kept", [None, "{", '{"split": "another", "runs": {"x": {"sequential": {"0": ["i"]}}}}', "[]"])
def test_a_copy_without_predictions_says_so(ran, folder, tmp_path, kept):
    _, _, out = ran
    shutil.copytree(out / "evil", tmp_path / "evil")
    (tmp_path / "evil" / "users.json").unlink()
    shown = tmp_path / "evil" / "smoke" / SHOWN
    shown.unlink(missing_ok=True)
    if kept is not None:
        shown.write_text(kept, encoding="utf-8")
    for path in tmp_path.rglob("predictions-*"):
        path.unlink()
    read = Reader(page(contents_of(*laid_out(folder, tmp_path, "--report-only"))))
    assert "has no predictions" in read.text and "this report was built from records alone" in read.text
    assert any(cells and cells[0].startswith("Popularity") for cells in read.rows)


def test_a_failed_run_shows_the_end_of_its_log_without_folders(ran, folder, tmp_path):
    _, _, out = ran
    shutil.copytree(out / "evil", tmp_path / "evil")
    options, work = laid_out(folder, tmp_path)
    entry = next(e for e in work.plan.entries if e.info.name == "popularity")
    shutil.rmtree(entry.record.path)
    try:
        raise ValueError("bad <b> in /home/someone/secret/file.txt")
    except ValueError as error:
        from bench.runs.failure import mark_failed

        mark_failed(entry.job, work.runs, error)
    cli.look_up(work, options)
    text = page(contents_of(options, work))
    part = Reader(text[text.index('id="runs"') : text.index('id="users"')])
    assert "Popularity: failed" in part.text and "bad <b> in …/file.txt" in part.text
    assert "/home/" not in part.text and str(tmp_path) not in part.text


def test_nothing_run_is_a_page_that_says_so(folder, tmp_path):
    read = Reader(page(contents_of(*laid_out(folder, tmp_path))))
    assert "nothing yet" in read.text and "nothing measured" in read.text
    assert "no run here has a learning curve" in read.text


def test_the_index_links_what_is_there(ran, tmp_path):
    contents, _, out = ran
    write_page(contents)
    (out / "broken").mkdir(exist_ok=True)
    (out / "broken" / "dataset.json").write_text("{", encoding="utf-8")
    read = Reader(write_index(out).read_text(encoding="utf-8"))
    links = [attrs["href"] for attrs in read.named("a") if attrs["href"].startswith("./")]
    assert links and all((out / link).exists() for link in links)
    assert "not a readable dataset card" in read.text
    shutil.rmtree(out / "broken")
    assert "No results are here yet" in write_index(tmp_path).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def browser():
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    return found


def test_a_browser_reads_and_sorts_it(browser, ran, tmp_path):
    contents, _, _ = ran
    text = write_page(contents).read_text(encoding="utf-8")
    copy = tmp_path / "report.html"
    copy.write_text(text, encoding="utf-8")
    quiet = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")
    root = ("--no-sandbox",) if hasattr(os, "geteuid") and os.geteuid() == 0 else ()
    command = [browser, "--headless", "--disable-gpu", *quiet, *root, f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        [*command, "--dump-dom", copy.as_uri()], capture_output=True, text=True, timeout=120, check=False
    )
    read = Reader(done.stdout)
    # The policy let our own script make the heads buttons, and no name of the data became an element.
    assert len(read.named("button")) > 10 and len(read.named("script")) == 1 and not read.named("img")
