"""Distinct n-grams, unique sentences and features by hand, by brute force and by their laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.util import ngrams

from bench.metrics.diversity import (
    distinct,
    diversity_scores,
    feature_coverage,
    feature_match,
    unique_sentences,
    words_of_sentence,
)

TEXTS = ["The tone is warm.", "the tone is warm", "great build quality, great price!", ""]
FEATURES = ["tone", "price", "build quality", ""]
texts = st.lists(st.lists(st.sampled_from("abcd"), max_size=6).map(" ".join), max_size=6)


def test_words_lose_outer_marks_and_case_but_keep_inner_ones():
    assert words_of_sentence('Well-made, "USB-C" - it\'s (very) good!') == (
        *("well-made", "usb-c", "it's"),
        *("very", "good"),
    )
    assert words_of_sentence(" ... ") == ()


def test_by_hand():
    assert distinct(TEXTS, 1) == 8 / 13
    assert distinct(TEXTS, 2) == 7 / 10
    assert unique_sentences(TEXTS) == 3 / 4
    np.testing.assert_array_equal(feature_match(TEXTS, FEATURES), [1, 0, 1, np.nan])
    assert feature_coverage(TEXTS, FEATURES) == 1
    assert feature_coverage(TEXTS, ["tone", "quality build", "strings", "Price", "price"]) == 2 / 4


def test_one_sentence_for_everybody_is_exposed():
    scores = diversity_scores(["the tone is great"] * 50, ["tone", "price"] * 25, ["tone", "price", "size", "cable"])
    assert scores == {
        "distinct-1": 4 / 200,
        "distinct-2": 3 / 150,
        "unique sentences": 1 / 50,
        "feature match": 0.5,
        "feature coverage": 0.25,
    }


def test_a_feature_is_named_by_whole_words_in_a_row():
    found = feature_match(
        ["the prices are fine", "quality of build", "the build quality."], ["price", *FEATURES[2:3] * 2]
    )
    assert found.tolist() == [0, 0, 1]


def test_nothing_to_count():
    assert distinct([], 1) == distinct(["", "!"], 1) == distinct(["one"], 2) == unique_sentences([]) == 0
    assert feature_coverage(["a"], []) == feature_coverage([], ["", "!"]) == 0
    scores = diversity_scores(["a b"], [""])
    assert math.isnan(scores["feature match"]) and scores["distinct-1"] == 1


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="got 0"):
        distinct(["a"], 0)
    with pytest.raises(ValueError, match="1 texts but 2 features"):
        feature_match(["a"], ["a", "b"])


@given(texts, st.integers(1, 3))
def test_distinct_agrees_with_nltk(rows, n):
    grams = [gram for row in rows for gram in ngrams(row.split(), n)]
    assert distinct(rows, n) == (len(set(grams)) / len(grams) if grams else 0)


@given(texts, st.lists(st.sampled_from(["a", "b c", "d d d", "a b"]), min_size=1, max_size=5))
def test_coverage_is_a_search_through_every_text(rows, features):
    named = {feature for feature in features if any(f" {feature} " in f" {row} " for row in rows)}
    assert feature_coverage(rows, features) == len(named) / len(set(features))
    for row in rows:
        expected = [f" {feature} " in f" {row} " for feature in features]
        assert feature_match([row] * len(features), features).tolist() == expected


@given(texts)
def test_repeating_a_corpus_never_makes_it_more_diverse(rows):
    for measure in (unique_sentences, lambda some: distinct(some, 1), lambda some: distinct(some, 2)):
        assert measure(rows * 2) == pytest.approx(measure(rows) / 2)
