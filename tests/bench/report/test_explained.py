"""Table 4 and what stands beside it, from real runs of free models on records small enough to check by hand."""

from __future__ import annotations

import csv
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from explained_world import WORD_CUTTER, explained_split

from bench.cutting import WORDS, Cutter, cut_words
from bench.explanation_judge import VARIETY
from bench.metrics.text import METRICS, bleu_difference
from bench.models import ModelInfo, NoSettings, Registry, discover
from bench.progress import Progress
from bench.protocols import PROTOCOLS, with_numbering
from bench.report.build import build_table, rows_of
from bench.report.explained import (
    INTERVAL_COLUMNS,
    SAMPLE,
    STATISTICS,
    build_variety,
    interval_rows,
    record_text,
    write_intervals,
    write_record_files,
)
from bench.report.explanation_notes import monotony_notes
from bench.report.files import table_rows, write_metrics, write_table
from bench.report.latex import latex_table
from bench.report.specs import TABLES
from bench.report.text import text_table
from bench.runs.execute import execute
from bench.runs.judged import judge_runs, judged_runs
from bench.runs.plan import DatasetCard, attach, make_plan
from bench.runs.predictions import EXPLANATIONS
from bench.runs.record import read_records

SPEC = TABLES["4"]
SAYS = ("a very good hard case", "it works", "the tone is warm")
BOTH = list(PROTOCOLS.values())


class Parrot:
    """Says what it was taught, but for the seed's row."""

    def __init__(self, settings):
        del settings

    def fit(self, training, context):
        self._seed = context.seed

    def explain(self, pairs):
        return [text if row != self._seed else "" for row, text in enumerate(SAYS[: len(pairs)])]


POD = ModelInfo("pod", "POD", "rule", ("explanation",), "test_explained:Parrot", NoSettings)
BESIDE = replace(POD, name="p5", title="P5")
RULES = {name: discover().get(name) for name in ("frequent-sentence", "random-sentence")}
REGISTRY = Registry({"pod": POD, "p5": BESIDE, **RULES}, {})


def plan_of(split, folder, seeds=(0,), asked=None, cutter=WORD_CUTTER, judged=True, registry=REGISTRY, protocols=BOTH):
    """A plan whose runs are all done, and judged."""
    names = [*SPEC.models, *(asked or ())]
    plan = make_plan(DatasetCard.of(split), "smoke", names, registry, list(protocols), list(seeds), asked=asked)
    for job in attach(plan, read_records(folder)).jobs():
        execute(job, split, folder, device="cpu", threads=1, progress=Progress())
    if judged:
        judge_runs(judged_runs(read_records(folder)), split, lambda may: cutter)
    return attach(plan, judged_runs(read_records(folder)), (), names)


@pytest.fixture(scope="module")
def split():
    return explained_split()


@pytest.fixture
def plan(split, tmp_path):
    return plan_of(split, tmp_path, seeds=(0, 1))


def rows(table, panel=0):
    return {row.model or "improvement": row for row in table.panels[panel].rows}


def test_each_protocol_shows_its_family_and_spread_over_seeds(plan):
    table = build_table(SPEC, plan)
    assert table.columns == METRICS and [panel.protocol for panel in table.panels] == ["published", "sound"]
    for panel, family in enumerate(("published", "standard")):
        found = [e.record.metrics["explanation"] for e in plan.of("pod", BOTH[panel])]
        for cell, metric in zip(rows(table, panel)["pod"].cells, METRICS, strict=True):
            values = [figures[f"{metric} {family}"] for figures in found]
            assert cell.value == pytest.approx(np.mean(values)) and (cell.n_seeds, cell.n_users) == (2, 3)
    # Seed 0 says nothing of the first pair, seed 1 nothing of the second: F1 of 2/3 words of 3, and of 4 of 6.
    one = 100 * np.mean([0, 2 * (2 / 3) * (2 / 2) / (2 / 3 + 1), 0.8])
    two = 100 * np.mean([1, 0, 0.8])
    cells = rows(table, 1)["pod"].cells
    assert cells[1].value == pytest.approx((one + two) / 2) and cells[1].std == pytest.approx(abs(two - one) / 2**0.5)


def test_rows_are_the_papers_then_the_free_ones(plan, split, tmp_path):
    assert [name for name, _ in rows_of(SPEC, plan)] == [*SPEC.paper, "frequent-sentence", "random-sentence"]
    found = rows(build_table(SPEC, plan))
    assert found["peter"].cells[0].value is None and found["random-sentence"].kind == "added"
    footnotes = build_table(SPEC, plan).footnotes
    assert [footnotes[number - 1] for number in found["peter"].notes] == ["this version has no such model"]


def test_p5_has_a_row_where_it_is_asked_for_by_name(split, tmp_path):
    asked = plan_of(split, tmp_path, asked=("p5",))
    assert rows_of(SPEC, asked)[-1] == ("p5", "added") and rows(build_table(SPEC, asked))["p5"].cells[0].value > 0
    everything = make_plan(DatasetCard.of(split), "smoke", ["pod", "p5"], REGISTRY, BOTH, [0])
    assert "p5" not in dict(rows_of(SPEC, everything)), "the paper's Table 4 has no such row"


def test_the_conditions_stand_under_the_table(plan):
    text = " ".join(build_table(SPEC, plan).notes)
    for words in (
        "3 pairs of user and item are explained",
        "Protocol published: figures as the released code computes them",
        "; trained on the held-out pairs",
        "Protocol sound: figures of nltk (corpus BLEU) and rouge-score (F1); not trained on the held-out pairs",
        "Sentences and references of every model are cut at 20 words of a test.",
        "Seeds: 0, 1; mean ± standard deviation",
    ):
        assert words in text
    renumbered = [with_numbering(protocol, "random") for protocol in BOTH]
    assert [protocol.text_metrics for protocol in renumbered] == ["published", "standard"]


def test_verdicts_that_were_cut_in_two_ways_are_told_apart(split, tmp_path):
    notes = " ".join(build_table(SPEC, plan_of(split, tmp_path, cutter=Cutter(WORDS, cut_words))).notes)
    assert f"cut at {WORDS}." in notes
    for path in tmp_path.glob("pod-*/per_pair.parquet"):
        path.unlink()
    judge_runs([r for r in judged_runs(read_records(tmp_path)) if r.model == "pod"], split, lambda may: WORD_CUTTER)
    notes = " ".join(build_table(SPEC, plan_of(split, tmp_path, judged=False)).notes)
    assert "are not cut alike, so figures do not compare: at 20 words of a test: POD; at 20 words, as" in notes


def test_why_figures_are_missing(split, tmp_path):
    unjudged = plan_of(split, tmp_path, judged=False)
    assert "its sentences are not judged by this version yet: run without --report-only" in text_of(unjudged)
    for path in tmp_path.glob(f"*/{EXPLANATIONS}"):
        path.unlink()
    assert "run it again with --force" in text_of(plan_of(split, tmp_path, judged=False))
    bare = replace(split, explanations=None, no_explanations="shop: has no review texts")
    ranks = replace(POD, tasks=("sequential", "explanation"))
    card = DatasetCard.of(bare)
    none = make_plan(card, "smoke", SPEC.models, Registry({"pod": ranks, **RULES}, {}), BOTH, [0])
    table, why = build_table(SPEC, none), "as this dataset has no explanations (shop: has no review texts)"
    notes = {name: [table.footnotes[n - 1] for n in row.notes] for name, row in rows(table).items()}
    assert notes["pod"] == [f"explains nothing, {why}"]
    assert notes["frequent-sentence"][0].startswith("needs explanations, which this dataset does not have (shop: has")
    assert [job.info.name for job in none.jobs()] == ["pod"] * 1, "it can rank all the same"
    known = replace(card, explanations_fingerprint="f")
    stuck = make_plan(known, "smoke", SPEC.models, Registry({"pod": ranks, **RULES}, {}), BOTH, [0])
    assert stuck.jobs() == [], "results here are of runs that had explanations"


def text_of(plan):
    return text_table(build_table(SPEC, plan))


def test_the_papers_figures_and_its_improvement_stand_beside(tmp_path):
    table = build_table(SPEC, plan_of(explained_split("beauty"), tmp_path))
    found = rows(table, 1)
    assert [cell.paper for cell in found["peter"].cells] == [1.1541, 14.8497, 2.1413, 11.4143]
    assert [round(cell.paper, 2) for cell in found["improvement"].cells] == [-7.89, 2.71, -26.51, -0.75]
    assert found["random-sentence"].cells[0].paper is None


def test_variety(plan, tmp_path):
    table = build_variety(SPEC, plan)
    assert table.columns == VARIETY and not table.has_paper
    cells = dict(zip(VARIETY, rows(table)["frequent-sentence"].cells, strict=True))
    assert cells["unique sentences"].value == pytest.approx(1 / 3) and cells["distinct-1"].value == pytest.approx(
        4 / 12
    )
    assert cells["feature match"].value == 0.5
    paths = write_table(table, tmp_path, "-random-ids")
    assert [path.name for path in paths] == ["variety-random-ids.csv", "variety-random-ids.tex"]
    assert "Variety table. How varied" in text_table(table) and "Best in bold" not in latex_table(table)
    assert "Best in bold" in latex_table(build_table(SPEC, plan))
    assert {row["table"] for row in table_rows(table)} == {"variety"}


def test_intervals_and_paired_differences(plan):
    found = list(interval_rows(SPEC, plan))
    assert tuple(found[0]) == INTERVAL_COLUMNS
    # Two seeds of POD and of the random sentence, one run of the frequent one, each under two protocols.
    assert len(found) == 2 * (2 + 1 + 2) * 4
    cells = {(row["protocol"], row["model"], row["seed"], row["metric"]): row for row in found}
    table = build_table(SPEC, plan)
    assert float(cells["sound", "frequent-sentence", "0", "ROUGE-1"]["value"]) == pytest.approx(
        rows(table, 1)["frequent-sentence"].cells[1].value, rel=1e-5
    )
    assert cells["sound", "pod", "1", "ROUGE-1"]["p_value"] == ""
    # POD's seed 0 against the frequent sentence "the tone is warm", of three words, three words and the truth's four.
    row = cells["sound", "frequent-sentence", "0", "ROUGE-1"]
    records = {e.info.name: e.record for e in plan.entries if e.protocol == BOTH[1] and e.seed == 0}
    column = {name: record.judged.per_pair["ROUGE-1 standard"] for name, record in records.items()}
    difference = column["pod"] - column["frequent-sentence"]
    t = difference.mean() / (difference.std(ddof=1) / np.sqrt(3))
    assert float(row["pod_minus_model"]) == pytest.approx(difference.mean(), rel=1e-5)
    # Student's distribution with two degrees of freedom has a formula.
    assert float(row["p_value"]) == pytest.approx(1 - abs(t) / np.sqrt(2 + t**2), rel=1e-5)
    counts = {name: record.judged.counts for name, record in records.items()}
    expected = bleu_difference(counts["pod"], counts["random-sentence"], "standard", np.random.default_rng(4))
    row = cells["sound", "random-sentence", "0", "BLEU-4"]
    assert (float(row["pod_minus_model"]), float(row["p_value"])) == pytest.approx(expected, rel=1e-5)


def test_intervals_on_disk_only_where_there_are_runs(plan, split, tmp_path):
    path = tmp_path / "deep" / "intervals.csv"
    empty = make_plan(DatasetCard.of(split), "smoke", SPEC.models, REGISTRY, BOTH, [0])
    assert write_intervals(SPEC, empty, path) == [] and not path.exists()
    assert write_intervals(SPEC, plan, path) == [path]
    assert write_intervals(SPEC, empty, path) == [path] and len(path.read_text().splitlines()) == 1


def test_both_families_are_in_the_metrics_under_clear_names(plan, tmp_path):
    records = [e.record for e in plan.entries if e.record]
    write_metrics({r.key: r for r in records}.values(), REGISTRY, plan.card, tmp_path / "metrics.csv")
    with (tmp_path / "metrics.csv").open(newline="") as stream:
        found = list(csv.DictReader(stream))
    names = {f"{metric} {family}" for metric in METRICS for family in ("published", "standard")}
    assert {row["metric"] for row in found} == {*names, *VARIETY} and {row["task"] for row in found} == {"explanation"}
    assert {row["n"] for row in found} == {"3"}


def test_statistics_and_sample_of_the_records(split, tmp_path):
    assert record_text(tmp_path, "tiny") == ""
    paths = write_record_files(split, tmp_path)
    assert [path.name for path in paths] == [STATISTICS, SAMPLE]
    with paths[0].open(newline="") as stream:
        facts = {row["statistic"]: row["value"] for row in csv.DictReader(stream)}
    assert facts["records"] == "8" and facts["test records"] == "3" and facts["features"] == "4"
    assert facts["fingerprint"] == split.explanations.fingerprint and facts["origin"].startswith("sentences of reviews")
    assert facts["reviews without text, not explained"] == "2" and facts["words a record, mean"] == "4.125"
    with paths[1].open(newline="") as stream:
        sample = list(csv.DictReader(stream))
    assert len(sample) == 8 and sample[1] == {
        "split": "test",
        "user": "u0",
        "item": "i1",
        "feature": "case",
        "explanation": "a very good hard case",
    }
    text = record_text(tmp_path, "tiny")
    assert "Explanation records of tiny" in text and "  test  case: a very good hard case" in text


def test_record_files_follow_the_records_and_are_otherwise_left(split, tmp_path):
    paths = write_record_files(split, tmp_path)
    paths[1].write_text("kept")
    assert write_record_files(split, tmp_path) == paths and paths[1].read_text() == "kept"
    texts = ("=SUM(A1)", *split.explanations.texts[1:])
    other = replace(split, explanations=replace(split.explanations, texts=texts))
    write_record_files(other, tmp_path)
    assert ",'=SUM(A1)" in paths[1].read_text(), "no spreadsheet takes a sentence for a formula"
    assert write_record_files(replace(split, explanations=None), tmp_path / "none") == []


def test_a_model_that_says_few_sentences_is_named():
    def entry(title, family, share, seed=0):
        judged = SimpleNamespace(figures={"unique sentences": share, "n": 532.0})
        info = SimpleNamespace(title=title, family=family, name=title.lower())
        return SimpleNamespace(record=SimpleNamespace(judged=judged), info=info, protocol=PROTOCOLS["sound"], seed=seed)

    silent = SimpleNamespace(record=None)
    entries = [entry("POD", "llm", 1 / 532), entry("PETER", "explanation", 0.4), entry("Rule", "rule", 1 / 532), silent]
    shown = ("pod", "peter", "rule")
    (told,) = monotony_notes(
        SimpleNamespace(entries=[*entries, entry("POD", "llm", 5 / 532, 1), entry("P5", "llm", 0.0)]), shown
    )
    assert told == (
        "POD says few sentences: 1 to 532 pairs (sound, seed 0), 5 to 532 pairs (sound, seed 1); see the variety table."
    )
