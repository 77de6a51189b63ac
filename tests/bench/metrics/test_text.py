"""BLEU and ROUGE against the authors' own figures, nltk, rouge-score, sacrebleu, formulas by hand, and laws."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.metrics.text import (
    FAMILIES,
    METRICS,
    BleuCounts,
    bleu,
    bleu_counts,
    bleu_difference,
    bleu_interval,
    bleu_spread,
    rouge,
    text_scores,
)

WORDS = ["the", "tone", "of", "this", "pedal", "is", "very", "warm", "and", "clear", "price", "great"]
sentences = st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join)
pairs = st.lists(st.tuples(sentences, sentences), min_size=1, max_size=6)


def golden(shared):
    return json.loads((shared / "golden" / "text_metrics.json").read_text())


def random_pairs(n: int, seed: int = 0, copy: float = 0.5):
    """References and hypotheses of 1 to 16 words; of each hypothesis word `copy` are the reference's."""
    rng = np.random.default_rng(seed)
    references = [rng.choice(WORDS, rng.integers(1, 17)).tolist() for _ in range(n)]
    hypotheses = [
        [word if rng.random() < copy else str(rng.choice(WORDS)) for word in row][: rng.integers(1, 17)]
        for row in references
    ]
    return [" ".join(row) for row in references], [" ".join(row) for row in hypotheses]


def test_the_authors_own_figures(shared):
    file = golden(shared)
    references, hypotheses = file["references"], file["hypotheses"]
    found = text_scores(references, hypotheses)["published"]
    assert found.corpus["BLEU-4"] == pytest.approx(file["bleu4"], abs=1e-9)
    assert bleu(bleu_counts(references, hypotheses), "published", 1) == pytest.approx(file["bleu1"], abs=1e-9)
    for name, theirs in (("ROUGE-1", "rouge_1"), ("ROUGE-2", "rouge_2"), ("ROUGE-L", "rouge_l")):
        assert found.corpus[name] == pytest.approx(file["rouge"][f"{theirs}/f_score"], abs=1e-9)
        for ours, pair in zip(found.per_pair[name], file["per_pair"], strict=False):
            assert ours == pytest.approx(pair[f"{theirs}/f_score"], abs=1e-9)


def test_both_families_agree_on_bleu_where_every_hypothesis_has_four_words(shared):
    file = golden(shared)
    long = [p for p in zip(file["references"], file["hypotheses"], strict=True) if len(p[1].split()) >= 4]
    counts = bleu_counts(*map(list, zip(*long, strict=True)))
    for family in FAMILIES:
        assert bleu(counts, family) == pytest.approx(file["bleu4_hypotheses_of_4_or_more"], abs=1e-9)


def test_standard_is_what_nltk_and_rouge_score_say(shared):
    from nltk.translate.bleu_score import corpus_bleu
    from rouge_score.rouge_scorer import RougeScorer

    file = golden(shared)
    references, hypotheses = file["references"], file["hypotheses"]
    found = text_scores(references, hypotheses)["standard"]
    theirs = corpus_bleu([[line.split()] for line in references], [line.split() for line in hypotheses])
    assert found.corpus["BLEU-4"] == pytest.approx(100 * float(theirs), abs=1e-10)
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    for row, pair in enumerate(zip(references, hypotheses, strict=True)):
        scores = scorer.score(*pair)
        for name in ("ROUGE-1", "ROUGE-2", "ROUGE-L"):
            measure = scores[name.replace("ROUGE-", "rouge")].fmeasure
            assert found.per_pair[name][row] == pytest.approx(100 * measure, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_sacrebleu_is_the_second_oracle(seed):
    from sacrebleu.metrics.bleu import BLEU

    references, hypotheses = random_pairs(60, seed)
    for order in (1, 2, 4):
        oracle = BLEU(tokenize="none", smooth_method="none", effective_order=False, max_ngram_order=order)
        theirs = oracle.corpus_score(hypotheses, [references]).score
        assert bleu(bleu_counts(references, hypotheses), "published", order) == pytest.approx(theirs, abs=1e-9)


def test_published_rouge_by_hand():
    reference, hypothesis = "the tone the warm tone", "warm tone tone"
    found = rouge([reference], [hypothesis], "published")
    p, r = 2 / 2, 2 / 3  # {warm, tone} of {the, tone, warm}
    assert found["ROUGE-1"][0] == pytest.approx(100 * 2 * p * r / (p + r), abs=1e-5)
    p, r = 1 / 2, 1 / 4  # {warm tone} of {the tone, tone the, the warm, warm tone}
    assert found["ROUGE-2"][0] == pytest.approx(100 * 2 * p * r / (p + r), abs=1e-5)
    p, r = 2 / 3, 2 / 5  # "warm tone"
    beta = p / r
    assert found["ROUGE-L"][0] == pytest.approx(100 * (1 + beta**2) * p * r / (r + beta**2 * p), abs=1e-8)


def test_families_differ_where_they_should():
    references = ["The tone, the tone is warm."]
    hypotheses = ["the tone is is warm"]
    published, standard = (rouge(references, hypotheses, family)["ROUGE-1"][0] for family in FAMILIES)
    assert published == pytest.approx(100 * 2 * (3 / 4) * (3 / 6) / (3 / 4 + 3 / 6), abs=1e-5)  # case and marks stay
    assert standard == pytest.approx(100 * 2 * (4 / 5) * (4 / 6) / (4 / 5 + 4 / 6), abs=1e-9)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "unigram", "lcs"),
    [
        ("great tone", "", 0, 0),
        ("", "great tone", 0, 0),
        ("", "", 0, 0),
        ("  ", " ", 0, 0),
        ("tone", "tone", 100, 100),
        ("tone", "tone tone tone", 50, 50),
        ("tone", "price", 0, 0),
        ("schöner klang 😀", "schöner klang 😀", 100, 100),
        ("音 色", "音 色", 0, 0),  # rouge-score keeps only a to z and digits
    ],
)
def test_odd_pairs_have_stated_values(reference, hypothesis, unigram, lcs):
    found = text_scores([reference], [hypothesis])
    assert found["standard"].per_pair["ROUGE-1"][0] == pytest.approx(unigram, abs=1e-6)
    assert found["standard"].per_pair["ROUGE-L"][0] == pytest.approx(lcs, abs=1e-6)
    assert all(np.isfinite(list(scores.corpus.values())).all() for scores in found.values())
    assert found["published"].corpus["BLEU-4"] == found["standard"].corpus["BLEU-4"] == 0.0


def test_published_treats_two_blanks_as_an_empty_word():
    found = rouge(["good  tone"], ["good tone"], "published")["ROUGE-1"][0]
    assert found == pytest.approx(100 * 2 * 1 * (2 / 3) / (1 + 2 / 3), abs=1e-5)
    assert rouge(["good  tone"], ["good tone"], "standard")["ROUGE-1"][0] == pytest.approx(100)


def test_repeated_words_are_clipped_in_bleu_and_counted_once_in_published_rouge():
    counts = bleu_counts(["the tone is warm"], ["the the the the"])
    assert counts.matches.tolist() == [[1, 0, 0, 0]] and counts.totals.tolist() == [[4, 3, 2, 1]]
    assert rouge(["the tone"], ["the the the the"], "published")["ROUGE-1"][0] == pytest.approx(200 / 3, abs=1e-5)


def test_short_hypotheses_weigh_in_standard_only():
    references, hypotheses = ["the tone is very warm", "great price"], ["the tone is very warm", "great price"]
    counts = bleu_counts(references, hypotheses)
    assert bleu(counts, "published") == pytest.approx(100)
    assert 0 < bleu(counts, "standard") < 90  # two 3- and 4-grams that cannot match


@pytest.mark.parametrize("function", [text_scores, bleu_counts, lambda a, b: rouge(a, b, "published")])
def test_what_does_not_fit_is_refused(function):
    with pytest.raises(ValueError, match="2 references but 1 hypotheses"):
        function(["a", "b"], ["a"])
    with pytest.raises(ValueError, match="no pairs"):
        function([], [])
    counts = bleu_counts(["a"], ["a"])
    for order in (0, 5):
        with pytest.raises(ValueError, match=f"got {order}"):
            bleu(counts, "standard", order)


@given(pairs)
def test_counts_are_those_of_counters(rows):
    references, hypotheses = zip(*rows, strict=True)
    counts = bleu_counts(references, hypotheses)
    for row, pair in enumerate(rows):
        wanted, made = (line.split() for line in pair)
        assert counts.hypothesis_length[row] == len(made) and counts.reference_length[row] == len(wanted)
        for n in range(1, 5):
            a, b = (Counter(tuple(t[i : i + n]) for i in range(len(t) - n + 1)) for t in (wanted, made))
            assert counts.matches[row, n - 1] == (a & b).total() and counts.totals[row, n - 1] == b.total()


@given(pairs)
def test_bounds_and_self_comparison(rows):
    references, hypotheses = zip(*rows, strict=True)
    for scores in text_scores(references, hypotheses).values():
        assert tuple(scores.corpus) == METRICS
        assert all(-1e-9 <= value <= 100 + 1e-9 for value in scores.corpus.values())
        for name, column in scores.per_pair.items():
            assert column.shape == (len(rows),) and scores.corpus[name] == pytest.approx(column.mean())
    for scores in text_scores(references, references).values():
        filled = np.array([bool(line) for line in references])
        np.testing.assert_allclose(scores.per_pair["ROUGE-1"], 100.0 * filled, atol=1e-5)
        np.testing.assert_allclose(scores.per_pair["ROUGE-L"], 100.0 * filled, atol=1e-5)


@given(pairs)
def test_no_warning_ever(rows):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text_scores(*zip(*rows, strict=True))


def part_of(counts: BleuCounts, rows) -> BleuCounts:
    return BleuCounts(*(getattr(counts, field.name)[rows] for field in fields(counts)))


def test_the_interval_is_the_spread_over_new_draws_of_pairs():
    everything = bleu_counts(*random_pairs(6000, copy=0.8))
    few = part_of(everything, np.arange(300))
    low, high = bleu_interval(few, "published", np.random.default_rng(1))
    assert low < bleu(few, "published") < high
    draws = np.random.default_rng(2).permutation(6000).reshape(20, 300)
    spread = np.std([bleu(part_of(everything, rows), "published") for rows in draws])
    assert (high - low) / (2 * 1.96) == pytest.approx(spread, rel=0.5)
    assert bleu_interval(few, "published", np.random.default_rng(1)) == (low, high)
    error, *ends = bleu_spread(few, "published", np.random.default_rng(1))
    assert ends == [low, high] and error == pytest.approx(spread, rel=0.5)


def test_the_paired_difference_sees_what_is_there_and_nothing_else():
    references, good = random_pairs(300, copy=0.8)
    _, bad = random_pairs(300, copy=0.3)
    better, worse = bleu_counts(references, good), bleu_counts(references, bad)
    gain, p = bleu_difference(better, worse, "standard", np.random.default_rng(0), resamples=400)
    assert gain == pytest.approx(bleu(better, "standard") - bleu(worse, "standard")) and p == pytest.approx(2 / 401)
    loss, same_p = bleu_difference(worse, better, "standard", np.random.default_rng(0), resamples=400)
    assert loss == -gain and same_p == p
    assert bleu_difference(better, better, "standard", np.random.default_rng(0), resamples=50) == (0.0, 1.0)
    with pytest.raises(ValueError, match="got 300 and 10"):
        bleu_difference(better, part_of(worse, np.arange(10)), "standard", np.random.default_rng(0))
