"""Batches against sentences laid out by hand, and their lengths and company."""

from __future__ import annotations

import numpy as np
import pytest
from sentences_world import BY_HEART, pairs_of

torch = pytest.importorskip("torch", reason="torch is not installed")

from baselines._explaining.batches import Sentences, by_length, shuffled  # noqa: E402
from baselines._explaining.vocabulary import BOS, EOS, PAD, UNK, Vocabulary  # noqa: E402
from bench.models import Pairs  # noqa: E402


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary.of_texts(BY_HEART, 1000)


def sentences_of(vocabulary, most=20, rated=True):
    return Sentences.of_pairs(pairs_of(BY_HEART, rated=rated), vocabulary, most)


def test_a_batch_by_hand():
    vocabulary = Vocabulary.of_texts(["a b c"], 100)
    pairs = Pairs(np.array([3, 1]), np.array([0, 2]), ("b", "c a zebra b"), np.array([5, 2], np.float32))
    a, b, c = 4, 5, 6
    batch = Sentences.of_pairs(pairs, vocabulary, 3).batch(np.array([1, 0]), "cpu")
    assert len(batch) == 2 and batch.users.tolist() == [1, 3] and batch.items.tolist() == [2, 0]
    assert batch.ratings.tolist() == [2, 5]
    assert batch.inputs.tolist() == [[BOS, c, a], [BOS, b, PAD]]
    assert batch.targets.tolist() == [c, a, UNK, b, EOS]
    assert batch.places.tolist() == [0, 1, 2, 3, 4] and batch.rows.tolist() == [0, 0, 0, 1, 1]


def test_every_token_is_predicted_from_the_tokens_before_it(vocabulary):
    sentences = sentences_of(vocabulary)
    batch = sentences.batch(np.arange(len(sentences)), "cpu")
    width = batch.inputs.shape[1]
    assert width == sentences.words.lengths.max()
    for row, text in enumerate(BY_HEART):
        numbers = vocabulary.encode(text, 20)
        mine = batch.rows == row
        assert batch.targets[mine].tolist() == numbers
        assert (batch.places[mine] - row * width).tolist() == list(range(len(numbers)))
        padding = [PAD] * (width - len(numbers))
        assert batch.inputs[row].tolist() == [BOS, *numbers[:-1], *padding]


def test_units_are_tokens_words_and_pairs(vocabulary):
    sentences = sentences_of(vocabulary, most=5)
    kept = [vocabulary.encode(text, 5) for text in BY_HEART]
    assert sentences.units["text"] == sum(map(len, kept))
    assert sentences.units["context"] == sum(len(numbers) - (numbers[-1] == EOS) for numbers in kept)
    assert sentences.units["rating"] == len(sentences) == 8
    assert sentences.unknown == 0
    strange = Sentences.of_pairs(Pairs(np.arange(1), np.arange(1), ("the zebra",)), vocabulary, 5)
    assert strange.unknown == 0.5 and strange.ratings is None and strange.batch(np.arange(1), "cpu").ratings is None


@pytest.mark.parametrize(("n", "size"), [(1, 4), (4, 4), (101, 4), (64, 5)])
def test_an_epoch_holds_every_sentence_once(n, size):
    lengths = np.random.default_rng(0).integers(1, 20, n)
    for batches in (shuffled(lengths, size, np.random.default_rng(1)), by_length(lengths, size)):
        assert sorted(np.concatenate(batches).tolist()) == list(range(n))
        assert sorted(map(len, batches))[1:] == [size] * (len(batches) - 1)
    assert by_length(lengths[:0], size) == []


def test_batches_are_of_like_length_and_change_company():
    lengths = np.random.default_rng(0).integers(1, 21, 4000)
    laid = {}
    for name, batches in {
        "random": np.split(np.random.default_rng(2).permutation(4000), 125),
        "shuffled": shuffled(lengths, 32, np.random.default_rng(2)),
        "sorted": by_length(lengths, 32),
    }.items():
        laid[name] = sum(len(rows) * lengths[rows].max() for rows in batches) / lengths.sum()
    assert laid["sorted"] < 1.02 and laid["shuffled"] < 1.35 < 1.8 < laid["random"]
    first, second = (shuffled(lengths, 32, np.random.default_rng(seed)) for seed in (3, 4))
    company = {int(row): frozenset(rows.tolist()) for rows in first for row in rows}
    assert sum(company[int(rows[0])] == frozenset(rows.tolist()) for rows in second) == 0
    again = shuffled(lengths, 32, np.random.default_rng(3))
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    means = [lengths[rows].mean() for rows in first]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3, "short and long batches come in any order"
