"""The verdict on sentences: the authors' figures through the whole judge, its parts by hand, and odd sentences."""

from __future__ import annotations

import json

import numpy as np
import pytest
from explained_world import TEST_TEXTS, WORD_CUTTER, explanations

from bench.cutting import Cutter, find_cutter
from bench.explanation_judge import VARIETY, figure, judge_sentences
from bench.explanations import TEST, Explanations
from bench.metrics.text import FAMILIES, METRICS

AS_IS = Cutter("nothing", list)


def records_of(references, features=None):
    """Test records with these references."""
    numbers = np.arange(len(references), dtype=np.int32)
    parts = np.full(len(references), TEST, np.int8)
    return Explanations(numbers, numbers, tuple(references), tuple(features or [""] * len(references)), parts)


def test_the_authors_own_figures_come_out(shared):
    file = json.loads((shared / "golden" / "text_metrics.json").read_text())
    judged = judge_sentences(records_of(file["references"]), file["hypotheses"], AS_IS)
    expected = {"BLEU-4": file["bleu4"]}
    expected |= {f"ROUGE-{n}": file["rouge"][f"rouge_{n.lower()}/f_score"] for n in "12L"}
    for metric, value in expected.items():
        assert judged.figures[figure(metric, "published")] == pytest.approx(value, abs=1e-9)
    assert judged.figures["n"] == len(file["references"])


def test_the_mean_of_the_pairs_is_the_figure_and_every_figure_is_there():
    judged = judge_sentences(explanations(), ["a good case", "it works", "the tone is warm"], WORD_CUTTER)
    expected = [figure(metric, family) for family in FAMILIES for metric in METRICS]
    assert set(judged.figures) == {*expected, *VARIETY, "n"} and judged.cut == "20 words of a test"
    for name, column in judged.per_pair.items():
        assert judged.figures[name] == pytest.approx(np.nanmean(column)) and len(column) == 3
    # "a good case" of "a very good hard case": 3 of 3 words, 3 of 5.
    assert judged.per_pair["ROUGE-1 standard"][0] == pytest.approx(75.0)
    assert judged.per_pair["feature match"].tolist()[::2] == [1.0, 1.0] and np.isnan(
        judged.per_pair["feature match"][1]
    )


def test_variety_by_hand():
    figures = judge_sentences(explanations(), ["the tone sings"] * 3, WORD_CUTTER).figures
    assert figures["distinct-1"] == pytest.approx(3 / 9) and figures["distinct-2"] == pytest.approx(2 / 6)
    assert figures["unique sentences"] == pytest.approx(1 / 3) and figures["feature match"] == 0.5
    assert figures["feature coverage"] == pytest.approx(1 / 4), "of tone, case, strings and neck"
    assert figures["length ratio"] == pytest.approx(9 / sum(len(text.split()) for text in TEST_TEXTS))


def test_both_sides_are_cut():
    long = " ".join(["tone"] * 20)
    reference, sentence = f"{long} and more of it", f"{long} or less"
    judged = judge_sentences(records_of([reference]), [sentence], WORD_CUTTER)
    assert judged.figures["BLEU-4 published"] == pytest.approx(100.0)
    assert judged.counts.hypothesis_length.tolist() == judged.counts.reference_length.tolist() == [20]
    assert judge_sentences(records_of([reference]), [sentence], AS_IS).figures["BLEU-4 published"] < 100


def test_all_models_are_cut_alike_by_the_tokenizer(shared):
    cutter = find_cutter(shared / "data", offline=True)
    sentence = "this is a sturdy stand and it holds every guitar that i own " * 3
    first, second = (judge_sentences(records_of([sentence]), [sentence + more], cutter) for more in ("", "and more"))
    assert first.figures == second.figures and first.figures["ROUGE-L standard"] == pytest.approx(100.0)


def test_odd_sentences_have_stated_values():
    judged = judge_sentences(
        records_of(["good", "数学 ünï", "a a a a a", "x"]), ["", "数学 ünï", "a", "😀 \u202e"], AS_IS
    )
    assert judged.per_pair["ROUGE-1 published"].tolist() == pytest.approx([0, 100, 100, 0], abs=1e-5)
    assert judged.figures["BLEU-4 published"] == judged.figures["BLEU-4 standard"] == 0.0
    assert "feature match" not in judged.figures and "feature coverage" not in judged.figures
    silent = judge_sentences(explanations(), ["", "", ""], WORD_CUTTER).figures
    assert {silent[name] for name in VARIETY if name != "unique sentences"} == {0.0}
    assert silent["unique sentences"] == pytest.approx(1 / 3)


def test_a_wrong_number_of_sentences_is_refused():
    with pytest.raises(ValueError, match="2 sentences for 3 test records"):
        judge_sentences(explanations(), ["a", "b"], WORD_CUTTER)
    assert judge_sentences(explanations(), list(TEST_TEXTS), WORD_CUTTER).figures["ROUGE-2 standard"] == 100.0
