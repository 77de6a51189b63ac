"""The explaining models as a whole: learnt by heart, decoded greedily, resumed, and what they tell of themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sentences_world import (
    BY_HEART,
    N_ITEMS,
    N_USERS,
    NAMES,
    RATED,
    fitted,
    learnt_by_heart,
    pairs_of,
    roughened,
    small,
    training_on,
    whole_batch,
)
from worlds import Interrupted, Interrupting

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")

from baselines._explaining.batches import Sentences, by_length  # noqa: E402
from baselines._explaining.vocabulary import BOS, EOS, PAD, SPECIAL, UNK  # noqa: E402
from bench.errors import RunFailed, UserError  # noqa: E402
from bench.models import Context, Pairs, discover  # noqa: E402
from bench.settings import resolve  # noqa: E402
from engine.checkpoint import load_state  # noqa: E402

every = pytest.mark.parametrize("name", NAMES)


def everybody():
    """All pairs of user and item."""
    number = np.arange(N_USERS * N_ITEMS)
    return Pairs(number // N_ITEMS, number % N_ITEMS)


@every
def test_eight_sentences_are_learnt_by_heart(name):
    model, train = learnt_by_heart(name), pairs_of(BY_HEART)
    sentences = Sentences.of_pairs(train, model.vocabulary, 20)
    with torch.no_grad():
        text = model.network.losses(whole_batch(model, train))["text"].item() / sentences.units["text"]
    assert text < 0.1
    assert model.explain(train) == list(BY_HEART)
    order = np.array([5, 2, 2, 7])
    assert model.explain(Pairs(train.users[order], train.items[order])) == [BY_HEART[row] for row in order]


def greedy_by_hand(model, user, item):
    """Numbers said, each the likeliest behind all before it, read anew every time."""
    network, said = model.network, []
    for _ in range(model.settings.words):
        words = torch.tensor([[BOS, *said]])
        ids = torch.tensor([user]), torch.tensor([item])
        with torch.no_grad():
            if hasattr(network, "rnn"):
                states, _ = network.read(words, network.start(*ids))
            else:
                states = network.read(*ids, words)
            logits = network.head(states[0, -1])
        logits[[PAD, BOS, UNK]] = -torch.inf
        said.append(int(logits.argmax()))
        if said[-1] == EOS:
            break
    return said


@every
def test_decoding_takes_the_likeliest_word_each_time(name):
    scale, bias = (0.3, 4.0) if name == "peter" else (0.7, 0.0)
    model = roughened(fitted(name, training_on(pairs_of(BY_HEART))), seed=3, scale=scale)
    with torch.no_grad():  # so that some end early, and others not at all
        model.network.head.bias.zero_()
        model.network.head.bias[EOS] = bias
    pairs = everybody()
    said = model.explain(pairs)
    expected = [greedy_by_hand(model, *ids) for ids in zip(pairs.users, pairs.items, strict=True)]
    assert said == [model.vocabulary.decode(numbers) for numbers in expected]
    lengths = {len(numbers) for numbers in expected}
    assert len(set(said)) > 20 and max(lengths) == 20 > min(lengths)


@every
def test_special_entries_are_never_said(name):
    model = roughened(fitted(name, training_on(pairs_of(BY_HEART)), words=4))
    with torch.no_grad():
        model.network.head.bias[[PAD, BOS, UNK]] = 1e4
    said = model.explain(everybody())
    assert not [text for text in said if any(word in text for word in SPECIAL)]
    with torch.no_grad():
        model.network.head.bias[EOS] = 1e4
    assert set(model.explain(everybody())) == {""}


@every
def test_no_more_than_so_many_words_are_said_and_company_changes_nothing(name, monkeypatch):
    model = roughened(fitted(name, training_on(pairs_of(BY_HEART)), words=3))
    pairs = everybody()
    said = model.explain(pairs)
    assert len(set(said)) > 1 and all(len(text.split()) <= 3 for text in said)
    monkeypatch.setattr("baselines._explaining.model._AT_ONCE", 7)
    assert model.explain(pairs) == said
    assert model.explain(Pairs(pairs.users[:0], pairs.items[:0])) == []


@every
def test_same_seed_same_bytes_and_another_seed_others(name):
    training = training_on(pairs_of(BY_HEART))

    def weights(seed):
        return {
            key: part.numpy().tobytes()
            for key, part in fitted(name, training, Context(seed)).network.state_dict().items()
        }

    assert weights(0) == weights(0)
    assert weights(0) != weights(1)


@every
@pytest.mark.parametrize("at", [0, 3, 6])
def test_a_killed_fit_goes_on_to_the_same_bytes(name, at, tmp_path):
    training = training_on(pairs_of(BY_HEART), pairs_of(BY_HEART[:3], seed=5))
    settings = {"epochs": 4, "batch_size": 4, "patience": 4}
    whole = fitted(name, training, Context(2), **settings)
    with pytest.raises(Interrupted):
        fitted(name, training, Context(2, checkpoint=tmp_path, progress=Interrupting(at)), **settings)
    progress = Interrupting()
    resumed = fitted(name, training, Context(2, checkpoint=tmp_path, progress=progress), **settings)
    assert progress.steps == 8 - 2 * (at // 2)
    for key, part in whole.network.state_dict().items():
        assert torch.equal(part, resumed.network.state_dict()[key]), key
    stored = load_state(tmp_path / "best.safetensors")
    assert stored is not None and tuple(stored.facts["vocabulary"]) == whole.vocabulary.words
    assert stored.tensors.keys() == whole.network.state_dict().keys()


def losses_of(model, pairs):
    """The weighted losses of pairs, means over tokens, words and pairs, all in one batch."""
    units = Sentences.of_pairs(pairs, model.vocabulary, model.settings.words).units
    with torch.no_grad():
        found = model.network.losses(whole_batch(model, pairs))
    return sum(weight * found[name].item() / units[name] for name, weight in model.network.weights.items())


@every
def test_the_best_validation_loss_is_kept(name, monkeypatch):
    train, valid = pairs_of(BY_HEART), pairs_of(BY_HEART[::-1], seed=9)
    context = Context(0)
    settings = {"epochs": 30, "patience": 2, "learning_rate": 3e-2}
    monkeypatch.setattr("baselines._explaining.model._AT_ONCE", 3)
    model = fitted(name, training_on(train, valid), context, **settings)
    losses = [row["validation_loss"] for row in context.curve]
    assert len(losses) < 30 and min(losses) == losses[-3], "two failures after the best, then no more"
    text = Sentences.of_pairs(valid, model.vocabulary, 20).units["text"]
    with torch.no_grad():
        loss = model.network.losses(whole_batch(model, valid))["text"].item() / text
    assert min(losses) == pytest.approx(loss, rel=1e-5)


@every
def test_batches_of_an_epoch_weigh_every_token_alike(name):
    train = pairs_of(BY_HEART)
    model = fitted(name, training_on(train), epochs=1)
    sentences = Sentences.of_pairs(train, model.vocabulary, 20)
    with torch.no_grad():
        parts = [
            model._mean(model.network.losses(sentences.batch(rows, "cpu")), sentences, len(rows)).item()
            for rows in by_length(sentences.words.lengths, 2)
        ]
    assert np.mean(parts) == pytest.approx(losses_of(model, train), rel=1e-5)
    assert np.ptp(parts) > 1, "short sentences and long ones are worlds apart"


@every
def test_words_of_validation_are_not_learnt(name):
    train, valid = pairs_of(BY_HEART), pairs_of(("a zebra sings",), seed=4)
    context = Context(0)
    model = fitted(name, training_on(train, valid), context)
    assert "zebra" not in model.vocabulary.words and "sturdy" in model.vocabulary.words
    assert context.facts["unknown_words"] == {"train": 0.0, "valid": pytest.approx(2 / 3)}
    assert context.facts["vocabulary"] == len(model.vocabulary)
    assert context.facts["parameters"] == sum(part.numel() for part in model.network.parameters())
    cut = fitted(name, training_on(train), vocabulary=8)
    assert len(cut.vocabulary) == 8 and len(cut.explain(train)) == 8


@every
def test_missing_ratings_are_told_of_where_they_would_be_learnt(name):
    for rated in (True, False):
        context = Context(0)
        fitted(name, training_on(pairs_of(BY_HEART, rated=rated)), context)
        assert ("left_out" in context.facts) == (name in RATED and not rated)
        assert ("rating" in context.facts["losses"]) == (name in RATED and rated)
    # Ratings of the validation pairs alone, or of the training pairs alone, are of no use either.
    half = pairs_of(BY_HEART), pairs_of(BY_HEART, rated=False)
    for train, valid in (half, half[::-1]):
        assert "rating" not in fitted(name, training_on(train, valid)).network.weights


@every
def test_without_sentences_there_is_no_fit(name):
    training = training_on(pairs_of(()))
    for lacking in (training, replace(training, explanations=None)):
        with pytest.raises(RunFailed, match="no training sentences"):
            small(name).fit(lacking, Context(0))
    # Without validation pairs every epoch is trained, and the last weights stay.
    context = Context(0)
    fitted(name, training_on(pairs_of(BY_HEART), pairs_of(())), context, epochs=3, patience=1)
    assert [row["epoch"] for row in context.curve] == [1, 2, 3] and "validation_loss" not in context.curve[0]


@every
@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("vocabulary=4", "vocabulary must be above 4, the special entries"),
        ("vocabulary=0", "vocabulary must be above 4"),
        ("words=0", "words must be at least 1"),
        ("batch_size=0", "batch_size"),
        ("learning_rate=0", "learning_rate must be above 0"),
        ("clip=-1", "clip not below"),
    ],
)
def test_bad_settings_are_one_line(name, setting, message):
    key, _, value = setting.partition("=")
    with pytest.raises(UserError, match=message):
        resolve(discover().get(name), "paper", "musical", {key: value})


@every
def test_forecasts_grow_with_the_network(name):
    info = discover().get(name)
    paper, laptop, smoke = (resolve(info, preset, "musical") for preset in ("paper", "laptop", "smoke"))
    assert paper.expected_epochs == 25, "the paper's sizes are the unit"
    per_epoch = [settings.expected_epochs / min(settings.epochs, 25) for settings in (paper, laptop, smoke)]
    assert per_epoch == sorted(per_epoch, reverse=True) and per_epoch[-1] < 0.2
