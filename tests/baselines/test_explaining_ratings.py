"""The ratings that come with explained pairs, against a walk through the dataset by hand; none of a test pair."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from contract import tiny

from bench.explanations import TEST, TRAIN, VALID, Explanations, train_rows
from bench.protocols import PROTOCOLS
from bench.runs.execute import explanation_pairs, training_data


def explained(split, strangers=()):
    """The split with a record for every third interaction, parts in turn, and for pairs that never met."""
    sequences = split.dataset.sequences
    known = {(int(user), int(item)) for user, item in zip(sequences.row_of, sequences.values, strict=True)}
    assert not known & set(strangers)
    pairs = np.array([*sorted(known)[::3], *strangers], np.int32)
    part = (np.arange(len(pairs)) % 3).astype(np.int8)
    texts = tuple(f"text {number}" for number in range(len(pairs)))
    return replace(split, explanations=Explanations(*pairs.T, texts, ("",) * len(pairs), part))


def ratings_by_hand(split):
    """(user, item) -> rating."""
    data, found = split.dataset, {}
    for user in range(data.n_users):
        begin, end = data.sequences.offsets[user : user + 2]
        found |= {(user, int(data.sequences.values[at])): float(data.ratings[at]) for at in range(begin, end)}
    return found


@pytest.mark.parametrize("protocol", ["published", "sound"])
def test_ratings_are_those_of_the_same_pairs(protocol):
    split = explained(tiny())
    training = training_data(split, ("explanation",), PROTOCOLS[protocol])
    rated = ratings_by_hand(split)
    kept = train_rows(split.explanations, split, sound=protocol == "sound")
    for pairs, rows in zip(training.explanations, (kept, split.explanations.rows(VALID)), strict=True):
        expected = [rated[int(user), int(item)] for user, item in zip(pairs.users, pairs.items, strict=True)]
        assert pairs.ratings.tolist() == expected and len(pairs.ratings) == len(pairs) == len(rows)
        assert pairs.texts == tuple(split.explanations.texts[row] for row in rows)
        assert pairs.ratings.dtype == np.float32 and len(set(expected)) == 5


def test_what_is_asked_for_comes_without_ratings():
    split = explained(tiny())
    pairs = explanation_pairs(split, split.explanations.rows(TEST), texts=False)
    assert len(pairs) and pairs.ratings is None and pairs.texts == ()


def test_a_dataset_without_ratings_or_without_some_of_them_has_none():
    split = explained(tiny())
    unrated = replace(split, dataset=replace(split.dataset, ratings=None))
    rows = split.explanations.rows(TRAIN)
    assert explanation_pairs(split, rows).ratings is not None
    assert explanation_pairs(unrated, rows).ratings is None
    # The last item of the catalogue was never touched: its pair sorts behind every known one of the last user.
    for stranger in ((0, 0), (63, 129)):
        strange = explained(tiny(), [stranger])
        assert explanation_pairs(strange, np.arange(len(strange.explanations))).ratings is None
        rest = np.arange(len(strange.explanations) - 1)
        assert explanation_pairs(strange, rest).ratings is not None
