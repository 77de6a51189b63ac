"""NRT's network against the paper's formulas, written out with torch's single cell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sentences_world import BY_HEART, fitted, pairs_of, roughened, training_on, whole_batch

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")

from baselines._explaining.network import RatingScale  # noqa: E402
from baselines._explaining.vocabulary import BOS  # noqa: E402
from bench.models import discover  # noqa: E402

EMBEDDING, HIDDEN = 16, 24


@pytest.fixture(scope="module")
def model():
    found = roughened(fitted("nrt", training_on(pairs_of(BY_HEART)), rating_layers=2))
    batch, network = whole_batch(found, pairs_of(BY_HEART)), found.network
    with torch.no_grad():  # so that ratings reach several levels
        network.rating_head.weight *= 50
        network.rating_head.bias += 3 - network.ratings(batch.users, batch.items).mean()
    return found


@pytest.fixture(scope="module")
def unrated():
    return roughened(fitted("nrt", training_on(pairs_of(BY_HEART, rated=False))))


def rating_by_hand(network, known):
    """A rating through the sigmoid layers, by matrix products."""
    for layer in network.rating_layers:
        known = torch.sigmoid(layer.weight @ known + layer.bias)
    return (network.rating_head.weight @ known + network.rating_head.bias)[0]


def logits_by_cell(network, known, words):
    """(l, vocabulary) logits behind each of the words, from what the decoder is told at the start."""
    cell = torch.nn.GRUCell(EMBEDDING, HIDDEN)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    cell.load_state_dict({name: getattr(network.rnn, f"{name}_l0") for name in names})
    state = torch.tanh(network.encoder.weight @ known + network.encoder.bias)[None]
    found = []
    for word in words:
        state = cell(network.word_embedding.weight[word][None], state)
        found.append(network.head(state)[0])
    return torch.stack(found)


def joined(network, pairs, row):
    return torch.cat([network.user_embedding.weight[pairs.users[row]], network.item_embedding.weight[pairs.items[row]]])


def test_rating_and_words_by_hand(model):
    pairs, network = pairs_of(BY_HEART), model.network
    batch = whole_batch(model, pairs)
    squared = summed = 0.0
    levels = set()
    with torch.no_grad():
        ratings = network.ratings(batch.users, batch.items)
        losses = network.losses(batch)
        for row, text in enumerate(BY_HEART):
            known, numbers = joined(network, pairs, row), model.vocabulary.encode(text, 20)
            rating = rating_by_hand(network, known)
            assert ratings[row].item() == pytest.approx(rating.item(), abs=1e-5)
            level = min(max(round(rating.item()), network.scale.low), network.scale.high) - network.scale.low
            levels.add(level)
            told = torch.cat([known, torch.eye(network.scale.high - network.scale.low + 1)[level]])
            logits = logits_by_cell(network, told, [BOS, *numbers[:-1]])
            summed -= float(logits.log_softmax(1)[range(len(numbers)), numbers].sum())
            squared += (rating.item() - pairs.ratings[row]) ** 2
    assert losses["text"].item() == pytest.approx(summed, rel=1e-5)
    assert losses["rating"].item() == pytest.approx(squared, rel=1e-5)
    assert len(levels) > 1, "or the level could be anything"


def test_a_step_is_the_whole_pass(model):
    network, batch = model.network, whole_batch(model, pairs_of(BY_HEART))
    with torch.no_grad():
        whole, last = network.read(batch.inputs, network.start(batch.users, batch.items))
        state = network.start(batch.users, batch.items)
        assert [part.shape for part in state] == [(8, 1, HIDDEN)]
        for place in range(batch.inputs.shape[1]):
            states, state = network.step(batch.inputs[:, place], state)
            assert torch.allclose(states, whole[:, place], atol=1e-6)
        assert torch.allclose(state[0], last[0], atol=1e-6)


def test_gradients_of_words_do_not_pass_the_rounded_rating(model):
    network, batch = model.network, whole_batch(model, pairs_of(BY_HEART))
    network.zero_grad()
    network.losses(batch)["text"].backward()
    assert all(parameter.grad is None for parameter in network.rating_layers.parameters())
    assert network.user_embedding.weight.grad.abs().sum() > 0


def test_without_ratings_words_alone_are_learnt(unrated):
    network, pairs = unrated.network, pairs_of(BY_HEART, rated=False)
    assert not [name for name, _ in network.named_parameters() if "rating" in name]
    assert network.encoder.in_features == 2 * EMBEDDING and network.weights == {"text": 1.0}
    summed = 0.0
    with torch.no_grad():
        losses = network.losses(whole_batch(unrated, pairs))
        for row, text in enumerate(BY_HEART):
            numbers = unrated.vocabulary.encode(text, 20)
            logits = logits_by_cell(network, joined(network, pairs, row), [BOS, *numbers[:-1]])
            summed -= float(logits.log_softmax(1)[range(len(numbers)), numbers].sum())
    assert set(losses) == {"text"} and losses["text"].item() == pytest.approx(summed, rel=1e-5)


def test_a_weight_of_nothing_leaves_the_ratings_out():
    network = fitted("nrt", training_on(pairs_of(BY_HEART)), rating_weight=0.0).network
    assert network.weights == {"text": 1.0} and network.scale is None


@pytest.mark.parametrize(
    ("ratings", "scale"), [([1, 5, 4], (1, 5)), ([3, 3, 3], (3, 3)), ([0.5, 4.5, 2], (0, 5)), ([-1.2, 1.2, 0], (-2, 2))]
)
def test_the_scale_holds_all_training_ratings(ratings, scale):
    found = RatingScale.of(np.array(ratings, np.float32))
    assert (found.low, found.high) == scale and found.mean == pytest.approx(np.mean(ratings))
    train = replace(pairs_of(BY_HEART[:3]), ratings=np.array(ratings, np.float32))
    model = fitted("nrt", training_on(train), epochs=1)
    assert model.network.encoder.in_features == 2 * EMBEDDING + scale[1] - scale[0] + 1
    assert len(model.explain(train)) == 3


def test_ratings_begin_at_their_mean_and_are_learnt():
    train = pairs_of(BY_HEART)
    first = fitted("nrt", training_on(train), epochs=1, learning_rate=1e-9)
    batch = whole_batch(first, train)
    with torch.no_grad():
        begun = first.network.ratings(batch.users, batch.items)
        assert (begun - float(train.ratings.mean())).abs().max() < 1.5
    settings = {"epochs": 150, "patience": 150, "batch_size": 8, "learning_rate": 1e-2, "rating_layers": 1}
    network = fitted("nrt", training_on(train), **settings).network
    with torch.no_grad():
        learnt = network.ratings(batch.users, batch.items)
    assert (learnt - torch.from_numpy(train.ratings)).abs().max() < 0.2


def test_sizes_are_the_papers():
    settings = discover().get("nrt").settings()
    assert (settings.embedding, settings.hidden, settings.rating_layers) == (300, 400, 4)
    assert (settings.batch_size, settings.rating_weight, settings.vocabulary) == (200, 1.0, 20_000)
    network = fitted("nrt", training_on(pairs_of(BY_HEART)), epochs=1, learning_rate=1e-9).network
    for name in ("user_embedding", "item_embedding", "word_embedding", "encoder", "head", "rating_layers.2"):
        assert 0.08 < network.get_parameter(f"{name}.weight").abs().max() <= 0.1001, name


@pytest.mark.parametrize("wrong", [{"rating_layers": -1}, {"rating_weight": -0.1}, {"hidden": 0}, {"embedding": 0}])
def test_settings_that_make_no_network_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        discover().get("nrt").settings(**wrong)
