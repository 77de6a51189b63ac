"""Verdicts beside records: made from a run's sentences at any time, whole, unaltered, and of this version's referee."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from explained_world import TEST_TEXTS, WORD_CUTTER, explained_split
from fakes import make_job, run, tiny_split

import bench.runs.judged as module
from bench.cutting import WORDS, Cutter, cut_words
from bench.errors import UserError
from bench.explanation_judge import judge_sentences
from bench.metrics.text import bleu
from bench.models import ModelInfo, NoSettings, discover
from bench.runs.judged import FILE, judge_runs, judged_runs, lacks_verdict, read_judged
from bench.runs.predictions import EXPLANATIONS
from bench.runs.record import read_record, read_records

FREQUENT = discover().get("frequent-sentence")
TOKENS = Cutter("20 tokens of a test", cut_words)


@pytest.fixture
def split():
    return explained_split()


@pytest.fixture
def record(split, tmp_path):
    """A run of the most frequent sentence, not judged yet."""
    return run(make_job(FREQUENT, split, protocol="published"), split, tmp_path)


def judge(tmp_path, split, cutter=WORD_CUTTER):
    """How many runs were judged, and the records as a report sees them."""
    asked = []
    number = judge_runs(judged_runs(read_records(tmp_path)), split, lambda may: asked.append(may) or cutter)
    return number, judged_runs(read_records(tmp_path)), asked


def test_a_run_that_only_explains_has_a_record_without_rankings(record):
    assert record.metrics == {} and set(record.content["files"]) == {EXPLANATIONS}
    assert set(record.content["timings"]) == {"fit", "explain"} and lacks_verdict(record)
    table = pq.read_table(record.path / EXPLANATIONS).to_pydict()
    assert table["explanation"] == ["the tone is warm"] * 3 and tuple(table["reference"]) == TEST_TEXTS
    assert (table["user"], table["item"]) == (["u0", "u1", "u2"], ["i1", "i3", "i2"])


def test_figures_are_those_of_the_judge_and_leave_the_record_alone(record, split, tmp_path):
    before = (record.path / "record.json").read_bytes()
    number, (found,), _ = judge(tmp_path, split)
    expected = judge_sentences(split.explanations, ["the tone is warm"] * 3, WORD_CUTTER)
    assert number == 1 and found.metrics == {"explanation": expected.figures} and not lacks_verdict(found)
    assert (record.path / "record.json").read_bytes() == before and read_record(record.path) is not None
    pairs = found.judged.per_pair
    assert pairs["user"].tolist() == [0, 1, 2] and pairs["item"].tolist() == [1, 3, 2]
    for name, column in expected.per_pair.items():
        assert pairs[name] == pytest.approx(column, rel=1e-6, nan_ok=True)
    for family in ("published", "standard"):
        assert bleu(found.judged.counts, family) == bleu(expected.counts, family)
    assert np.array_equal(found.judged.counts.totals, expected.counts.totals)


def test_what_is_judged_is_not_judged_again(record, split, tmp_path):
    assert judge(tmp_path, split)[0] == 1
    before = (record.path / FILE).read_bytes()
    number, _, asked = judge(tmp_path, split)
    assert number == 0 and asked == [] and (record.path / FILE).read_bytes() == before
    (record.path / FILE).unlink()
    assert judge(tmp_path, split)[0] == 1 and (record.path / FILE).read_bytes() == before, "same bytes every time"


def test_another_referee_judges_anew_without_a_run(record, split, tmp_path, monkeypatch):
    judge(tmp_path, split)
    monkeypatch.setattr(module, "EXPLANATION_REFEREE", 99)
    assert read_judged(record) is None, "its figures are no longer shown"
    number, (found,), asked = judge(tmp_path, split)
    assert number == 1 and asked == [True] and found.judged is not None
    (record.path / FILE).unlink()
    (record.path / EXPLANATIONS).unlink()
    assert judge(tmp_path, split)[0] == 0, "a copy without its sentences cannot be judged"


def test_verdicts_by_words_are_made_anew_once_there_are_tokens(record, split, tmp_path):
    words = Cutter(WORDS, cut_words)
    assert judge(tmp_path, split, words)[2] == [True], "a run without verdict may go to the network for the tokenizer"
    number, (found,), asked = judge(tmp_path, split, words)
    assert (number, asked, found.judged.cut) == (0, [False], WORDS)
    number, (found,), _ = judge(tmp_path, split, TOKENS)
    assert number == 1 and found.judged.cut == TOKENS.name
    assert judge(tmp_path, split, words)[0] == 0, "and stay"


def test_records_of_other_explanations_are_left_alone(record, split, tmp_path):
    texts = ("another sentence", *split.explanations.texts[1:])
    other = replace(split, explanations=replace(split.explanations, texts=texts))
    assert judge(tmp_path, other)[0] == 0 and judge(tmp_path, replace(split, explanations=None))[0] == 0
    assert judge(tmp_path, tiny_split())[0] == 0


def test_a_run_that_ranks_alone_needs_no_verdict(tmp_path):
    split = tiny_split()
    found = run(make_job(split=split), split, tmp_path)
    assert not lacks_verdict(found) and judged_runs([found]) == [found]


def test_sentences_of_other_pairs_are_refused(record, split, tmp_path):
    path = record.path / EXPLANATIONS
    table = pq.read_table(path)
    pq.write_table(table.take([1, 0, 2]), path)
    with pytest.raises(UserError, match="not of the test pairs"):
        judge_runs([record], split, lambda may: WORD_CUTTER)


def said(path):
    return json.loads(pq.read_schema(path).metadata[b"podium"])


@pytest.mark.parametrize("what", ["figure", "column", "bytes", "metadata"])
def test_a_verdict_edited_by_hand_is_named(record, split, tmp_path, what):
    judge(tmp_path, split)
    path = record.path / FILE
    table, content = pq.read_table(path), said(path)
    if what == "figure":
        content["figures"]["BLEU-4 published"] = 99.0
    elif what == "column":
        table = table.set_column(0, "user", table.column("item"))
    if what == "bytes":
        path.write_bytes(b"PAR1 nothing")
    else:
        metadata = {} if what == "metadata" else {b"podium": json.dumps(content).encode()}
        pq.write_table(table.replace_schema_metadata(metadata), path)
    with pytest.raises(UserError, match=r"altered by hand|not a readable verdict") as caught:
        read_judged(record)
    assert str(path) in str(caught.value) and "made anew" in str(caught.value)


def test_a_verdict_on_other_sentences_is_none(record, split, tmp_path):
    judge(tmp_path, split)
    rerun = replace(record, content={**record.content, "files": {EXPLANATIONS: "another checksum"}})
    assert read_judged(rerun) is None


def test_a_full_disk_leaves_no_verdict(record, split, tmp_path, monkeypatch):
    def refuse(table, path, **options):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", refuse)
        with pytest.raises(UserError, match="No space left"):
            judge_runs([record], split, lambda may: WORD_CUTTER)
    assert {path.name for path in record.path.iterdir()} == {"record.json", EXPLANATIONS}
    assert judge(tmp_path, split)[0] == 1


def test_explaining_models_that_lie_about_their_number_give_no_record(split, tmp_path):
    info = ModelInfo("mute", "Mute", "rule", ("explanation",), "test_judged:Mute", NoSettings)
    with pytest.raises(ValueError, match="1 sentences for 3 pairs"):
        run(make_job(info, split), split, tmp_path)


class Mute:
    """Answers one pair, whatever is asked."""

    def __init__(self, settings):
        del settings

    def fit(self, training, context):
        assert training.explanations is not None and context.seed == 0

    def explain(self, pairs):
        assert pairs.texts == (), "no model sees a reference"
        return ["once"]
