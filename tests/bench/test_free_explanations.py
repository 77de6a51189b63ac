"""The two baselines that learn nothing: counts by hand, draws from where they should be and evenly."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy import stats

from bench.explanations import Explanations
from bench.free_explanations import most_frequent_sentence, random_sentences_of_items

EXPLANATIONS = Explanations(
    np.arange(7, dtype=np.int32),
    np.array([0, 0, 0, 1, 2, 2, 3], np.int32),
    ("b", "a", "c", "a", "b", "d", "e"),
    ("",) * 7,
    np.zeros(7, np.int8),
)
ALL = np.arange(7)


def test_the_most_frequent_sentence_and_its_ties():
    assert most_frequent_sentence(EXPLANATIONS, ALL) == "a"  # as frequent as b, first in the alphabet
    assert most_frequent_sentence(EXPLANATIONS, np.array([0, 4, 3])) == "b"
    assert most_frequent_sentence(EXPLANATIONS, np.array([6, 5])) == "d"


def test_random_sentences_are_of_the_item_and_of_the_rows_given():
    items = np.tile([0, 1, 2, 3], 3000)
    rows = np.array([5, 0, 2, 3, 6])  # in no order; row 1 and row 4 are left out
    drawn = random_sentences_of_items(EXPLANATIONS, rows, items, np.random.default_rng(0))
    counts = {item: Counter(text for i, text in zip(items, drawn, strict=True) if i == item) for item in range(4)}
    assert set(counts[0]) == {"b", "c"} and stats.binomtest(counts[0]["b"], 3000, 0.5).pvalue > 0.001
    assert counts[1] == {"a": 3000} and counts[2] == {"d": 3000} and counts[3] == {"e": 3000}


def test_an_item_without_rows_gets_a_sentence_of_any():
    drawn = random_sentences_of_items(EXPLANATIONS, np.array([0, 2, 3]), np.full(3000, 9), np.random.default_rng(0))
    assert stats.chisquare(list(Counter(drawn).values())).pvalue > 0.001 and set(drawn) == {"a", "b", "c"}


def test_the_same_generator_the_same_draws():
    items = np.tile([0, 2], 50)
    first, second = (random_sentences_of_items(EXPLANATIONS, ALL, items, np.random.default_rng(3)) for _ in range(2))
    assert first == second
    assert random_sentences_of_items(EXPLANATIONS, ALL, np.empty(0, int), np.random.default_rng(3)) == []


def test_nothing_to_draw_from_is_refused():
    none = np.empty(0, dtype=np.int64)
    with pytest.raises(ValueError, match="no training records"):
        most_frequent_sentence(EXPLANATIONS, none)
    with pytest.raises(ValueError, match="no training records"):
        random_sentences_of_items(EXPLANATIONS, none, np.array([0]), np.random.default_rng(0))
