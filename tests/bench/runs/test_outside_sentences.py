"""Explanations from outside: judged like our own, and every mistake with its row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from explained_world import WORD_CUTTER, explained_split
from fakes import make_job, run

from bench.errors import UserError
from bench.explanation_judge import judge_sentences
from bench.metrics.text import METRICS, bleu_interval
from bench.models import discover
from bench.protocols import PROTOCOLS
from bench.runs.outside_sentences import judge_sentence_file
from bench.runs.predictions import EXPLANATIONS
from bench.scoring import sentence_text, verdict_json

SOUND, PUBLISHED = PROTOCOLS["sound"], PROTOCOLS["published"]
# The test pairs: u0 i1, u1 i3, u2 i2.
GOOD = """explanation,user,item
"a good, hard case",u0,i1
the tone is warm,u2,i2
never asked,u0,i0
"""


@pytest.fixture(scope="module")
def split():
    return explained_split()


def judged(folder, text, split, protocol=SOUND):
    path = folder / "s.csv"
    path.write_text(text, encoding="utf-8")
    return judge_sentence_file(path, split, protocol, WORD_CUTTER)


@pytest.mark.parametrize("protocol", [SOUND, PUBLISHED])
def test_figures_are_the_referees(tmp_path, split, protocol):
    verdict = judged(tmp_path, GOOD, split, protocol)
    own = judge_sentences(split.explanations, ["a good, hard case", "", "the tone is warm"], WORD_CUTTER)
    assert verdict.family == {"sound": "standard", "published": "published"}[protocol.name]
    assert list(verdict.metrics) == list(METRICS)
    for metric, found in verdict.metrics.items():
        assert found.mean == pytest.approx(own.figures[f"{metric} {verdict.family}"], abs=1e-12)
    assert (verdict.evaluated, verdict.explained, verdict.others) == (3, 2, 1)
    assert verdict.shares["feature match"] == 1.0 and verdict.cut == WORD_CUTTER.name


def test_intervals(tmp_path, split):
    verdict = judged(tmp_path, GOOD, split)
    own = judge_sentences(split.explanations, ["a good, hard case", "", "the tone is warm"], WORD_CUTTER)
    values, found = own.per_pair["ROUGE-1 standard"], verdict.metrics["ROUGE-1"]
    assert found.error == pytest.approx(values.std(ddof=1) / np.sqrt(3))
    assert (found.low, found.high) == pytest.approx((found.mean - 1.96 * found.error, found.mean + 1.96 * found.error))
    interval = bleu_interval(own.counts, "standard", np.random.default_rng(4))
    assert (verdict.metrics["BLEU-4"].low, verdict.metrics["BLEU-4"].high) == interval


def test_our_own_predictions_are_in_the_form_that_is_read(tmp_path, split):
    record = run(make_job(discover().get("random-sentence"), split), split, tmp_path)
    path = record.path / EXPLANATIONS
    verdict = judge_sentence_file(path, split, SOUND, WORD_CUTTER)
    own = judge_sentences(split.explanations, pq.read_table(path)["explanation"].to_pylist(), WORD_CUTTER)
    assert (verdict.explained, verdict.others) == (3, 0)
    assert verdict.metrics["ROUGE-L"].mean == pytest.approx(own.figures["ROUGE-L standard"])


def test_sentences_may_be_empty_missing_or_have_several_lines(tmp_path, split):
    text = 'user,item,explanation\nu0,i1,"two\nlines"\nu1,i3,\n'
    assert judged(tmp_path, text, split).explained == 2
    path = tmp_path / "s.parquet"
    pq.write_table(pa.table({"user": ["u0"], "item": ["i1"], "explanation": pa.array([None], pa.string())}), path)
    assert judge_sentence_file(path, split, SOUND, WORD_CUTTER).metrics["ROUGE-1"].mean == 0.0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("u2,i2", "u9,i2", "s.csv: row 2, field user: unknown user 'u9'"),
        ("u2,i2", "u2,i9", "s.csv: row 2, field item: unknown item 'i9'"),
        ("u0,i0", "u2,i2", "row 3: user 'u2' and item 'i2' are there twice, before in row 2; explain each pair once"),
        ("explanation,", "sentence,", "line 1: column 'explanation' is missing; it has sentence, user, item"),
        ("explanation,user", "explanation,user,user", "column 'user' is there twice"),
        ("u2,i2", "u2", "cannot be read"),
    ],
)
def test_mistakes(tmp_path, split, old, new, message):
    assert GOOD.count(old) == 1
    with pytest.raises(UserError) as caught:
        judged(tmp_path, GOOD.replace(old, new), split)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_no_rows_and_no_records(tmp_path, split):
    with pytest.raises(UserError, match="holds no predictions; the form is: user,item,explanation"):
        judged(tmp_path, "user,item,explanation\n", split)
    bare = replace(split, explanations=None, no_explanations="the reviews: have no texts")
    with pytest.raises(UserError, match=r"dataset tiny: has no explanations \(the reviews: have no texts\)"):
        judged(tmp_path, GOOD, bare)


def test_the_verdict_in_words_and_as_json(tmp_path, split):
    verdict = judged(tmp_path, GOOD, split)
    text = sentence_text(verdict)
    for words in (
        "protocol sound",
        "standard text metrics, percent",
        "3 pairs are evaluated; 1 of them have no row and count as empty",
        "cut at 20 words of a test",
        "1 rows of pairs that are no test pairs, left out",
        "ROUGE-L",
        "feature coverage",
    ):
        assert words in text
    assert '"family": "standard"' in verdict_json([verdict]) and "NaN" not in verdict_json([verdict])
