"""The two baselines that learn nothing: counts by hand, draws from where they should be and evenly."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from contract import training_of
from scipy import stats

from baselines.sentences import FrequentSentence, RandomSentence
from bench.models import Context, NoSettings, Pairs, discover
from bench.protocols import PROTOCOLS

TEXTS = ("b", "a", "c", "a", "b", "d", "e")
ITEMS = np.array([0, 0, 0, 1, 2, 2, 3], np.int32)


def fitted(kind, rows=range(7), seed=0):
    """A model fitted on these rows of the pairs above."""
    from dataclasses import replace

    chosen = list(rows)
    pairs = Pairs(np.arange(7, dtype=np.int32)[chosen], ITEMS[chosen], tuple(TEXTS[row] for row in chosen))
    training = replace(training_of(discover().get("frequent-sentence")), explanations=(pairs, pairs))
    model = kind(NoSettings())
    model.fit(training, Context(seed))
    return model


def asked(items):
    """Pairs of user 0, 1, 2, … and these items."""
    return Pairs(np.arange(len(items), dtype=np.int32), np.asarray(items, dtype=np.int32))


def test_the_most_frequent_sentence_and_its_ties():
    assert fitted(FrequentSentence).explain(asked([0, 9])) == ["a", "a"]  # as frequent as b, first in the alphabet
    assert fitted(FrequentSentence, [0, 4, 3]).explain(asked([1])) == ["b"]
    assert fitted(FrequentSentence).explain(asked([])) == []


def test_random_sentences_are_of_the_item_and_of_training_alone():
    items = np.tile([0, 1, 2, 3], 3000)
    drawn = fitted(RandomSentence, [5, 0, 2, 3, 6]).explain(asked(items))  # in no order; rows 1 and 4 are left out
    counts = {item: Counter(text for i, text in zip(items, drawn, strict=True) if i == item) for item in range(4)}
    assert set(counts[0]) == {"b", "c"} and stats.binomtest(counts[0]["b"], 3000, 0.5).pvalue > 0.001
    assert counts[1] == {"a": 3000} and counts[2] == {"d": 3000} and counts[3] == {"e": 3000}


def test_an_item_without_a_sentence_gets_one_of_any():
    drawn = fitted(RandomSentence, [0, 2, 3]).explain(asked(np.full(3000, 9)))
    assert stats.chisquare(list(Counter(drawn).values())).pvalue > 0.001 and set(drawn) == {"a", "b", "c"}


def test_a_pair_decides_its_sentence_and_the_seed_all_of_them():
    whole = asked(np.tile([0, 2], 200))
    first = fitted(RandomSentence).explain(whole)
    order = np.random.default_rng(1).permutation(len(whole))
    shuffled = fitted(RandomSentence).explain(Pairs(whole.users[order], whole.items[order]))
    assert shuffled == [first[row] for row in order]
    other = fitted(RandomSentence, seed=1).explain(whole)
    assert 120 < sum(a != b for a, b in zip(first, other, strict=True)) < 280  # of 400, half by chance


@pytest.mark.parametrize("kind", [FrequentSentence, RandomSentence])
def test_nothing_to_learn_from_is_refused(kind):
    with pytest.raises(ValueError, match="no explanations to learn from"):
        fitted(kind, [])


def test_they_are_registered_as_rules_that_each_protocol_trains_anew():
    for name, deterministic in (("frequent-sentence", True), ("random-sentence", False)):
        info = discover().get(name)
        assert (info.family, info.tasks, info.deterministic) == ("rule", ("explanation",), deterministic)
        subsets = [protocol.subset(info.protocol_settings) for protocol in PROTOCOLS.values()]
        assert subsets == [{"held_out_pairs": True}, {"held_out_pairs": False}]
