"""PETER's network: its mask by changing what is read, its layers against torch's own, its losses by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sentences_world import BY_HEART, fitted, pairs_of, roughened, training_on, whole_batch

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")

from baselines._explaining.peter import peter_mask, sinusoids  # noqa: E402
from baselines._explaining.vocabulary import EOS  # noqa: E402
from bench.models import discover  # noqa: E402

WIDTH, HEADS, INNER, LAYERS = 16, 2, 32, 2


@pytest.fixture(scope="module")
def model():
    return roughened(fitted("peter", training_on(pairs_of(BY_HEART)), layers=LAYERS, heads=HEADS))


@pytest.fixture(scope="module")
def read(model):
    """Users, items and six words each of four sentences, and the states at all eight places."""
    rng = np.random.default_rng(0)
    users, items = torch.arange(4), torch.arange(4, 8)
    words = torch.from_numpy(rng.integers(4, len(model.vocabulary), (4, 6)))
    return users, items, words


def states_of(model, users, items, words):
    with torch.no_grad():
        return model.network.read(users, items, words)


def changed(before, after):
    """(8,) whether the state at a place differs in every sentence; fails where only some do."""
    difference = (before - after).abs().amax(dim=2)
    moved = difference > 1e-6
    assert (moved.all(dim=0) == moved.any(dim=0)).all()
    assert (difference[~moved] == 0).all(), "what is not seen has no influence at all"
    return moved.all(dim=0).tolist()


def test_user_and_item_see_each_other_and_words_see_both(model, read):
    users, items, words = read
    before = states_of(model, users, items, words)
    assert changed(before, states_of(model, users + 4, items, words)) == [True] * 8
    assert changed(before, states_of(model, users, items - 4, words)) == [True] * 8


@pytest.mark.parametrize("place", range(6))
def test_words_see_only_the_past(model, read, place):
    users, items, words = read
    other = words.clone()
    other[:, place] = (other[:, place] - 3) % (len(model.vocabulary) - 4) + 4
    assert (other[:, place] != words[:, place]).all()
    found = changed(states_of(model, users, items, words), states_of(model, users, items, other))
    assert found == [False] * (2 + place) + [True] * (6 - place)


def test_the_mask_is_left_to_right_but_for_one_cell():
    mask = peter_mask(5).numpy()
    expected = np.tril(np.ones((5, 5), bool))
    expected[0, 1] = True
    assert np.array_equal(mask, expected)


def torchs_encoder(network):
    """torch.nn.TransformerEncoder with the network's weights."""
    layer = torch.nn.TransformerEncoderLayer(WIDTH, HEADS, INNER, dropout=0.2, batch_first=True)
    encoder = torch.nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
    names = {
        "self_attn.in_proj_": "project.",
        "self_attn.out_proj.": "out.",
        "linear1.": "first.",
        "linear2.": "second.",
        "norm1.": "norm_attended.",
        "norm2.": "norm_fed.",
    }
    state = {
        f"layers.{number}.{theirs}{kind}": network.get_parameter(f"layers.{number}.{ours}{kind}")
        for number in range(LAYERS)
        for theirs, ours in names.items()
        for kind in ("weight", "bias")
    }
    encoder.load_state_dict(state)
    return encoder.eval()


def test_the_layers_are_torchs_own(model, read):
    users, items, words = read
    network = model.network
    ids = [network.user_embedding(users)[:, None], network.item_embedding(items)[:, None]]
    inputs = torch.cat([*ids, network.word_embedding(words)], dim=1) * math.sqrt(WIDTH) + sinusoids(8, WIDTH)
    with torch.no_grad():
        expected = torchs_encoder(network)(inputs, mask=~peter_mask(8))
    found = states_of(model, users, items, words)
    assert found.std() > 0.1 and torch.allclose(found, expected, atol=1e-5)


def test_positions_are_the_formula():
    found = sinusoids(23, 6)
    for place in (0, 1, 7, 22):
        for column in range(6):
            angle = place / 10000 ** (2 * (column // 2) / 6)
            expected = math.cos(angle) if column % 2 else math.sin(angle)
            assert found[place, column].item() == pytest.approx(expected, abs=1e-5)


def test_a_step_is_the_whole_pass(model):
    network, batch = model.network, whole_batch(model, pairs_of(BY_HEART))
    with torch.no_grad():
        whole = network.read(batch.users, batch.items, batch.inputs)[:, 2:]
        state = network.start(batch.users, batch.items)
        assert [part.shape for part in state] == [(8, HEADS, 2, WIDTH // HEADS)] * (2 * LAYERS)
        for place in range(batch.inputs.shape[1]):
            states, state = network.step(batch.inputs[:, place], state)
            assert torch.allclose(states, whole[:, place], atol=1e-5)


def test_losses_by_hand(model):
    pairs, network = pairs_of(BY_HEART), model.network
    text = context = rating = 0.0
    with torch.no_grad():
        losses = network.losses(whole_batch(model, pairs))
        for row, sentence in enumerate(BY_HEART):
            numbers = model.vocabulary.encode(sentence, 20)
            batch = whole_batch(model, pairs_of_row(pairs, row))
            states = network.read(batch.users, batch.items, batch.inputs)[0]
            logs = network.head(states).log_softmax(1)
            text -= float(logs[range(2, 2 + len(numbers)), numbers].sum())
            context -= sum(float(logs[1, number]) for number in numbers if number != EOS)
            first, _, last = network.rating
            hidden = torch.sigmoid(first.weight @ states[0] + first.bias)
            rating += (float(last.weight[0] @ hidden + last.bias) - pairs.ratings[row]) ** 2
    assert losses["text"].item() == pytest.approx(text, rel=1e-5)
    assert losses["context"].item() == pytest.approx(context, rel=1e-5)
    assert losses["rating"].item() == pytest.approx(rating, rel=1e-5)


def pairs_of_row(pairs, row):
    part = slice(row, row + 1)
    return type(pairs)(pairs.users[part], pairs.items[part], pairs.texts[part], pairs.ratings[part])


def test_losses_without_weight_or_ratings_are_left_out():
    train, unrated = pairs_of(BY_HEART), pairs_of(BY_HEART, rated=False)
    weights = {
        name: fitted("peter", training_on(pairs), epochs=1, **settings).network.weights
        for name, pairs, settings in (
            ("all", train, {}),
            ("unrated", unrated, {}),
            ("no context", train, {"context_weight": 0.0}),
            ("text alone", train, {"context_weight": 0.0, "rating_weight": 0.0}),
        )
    }
    assert weights["all"] == {"text": 1.0, "context": 1.0, "rating": 0.1}
    assert weights["unrated"] == {"text": 1.0, "context": 1.0}
    assert weights["no context"] == {"text": 1.0, "rating": 0.1}
    assert weights["text alone"] == {"text": 1.0}


def test_the_longest_sentence_has_a_place():
    long = tuple(" ".join(f"w{number}" for number in range(n)) for n in (3, 4, 5))
    model = fitted("peter", training_on(pairs_of(long)), words=4)
    assert model.network.mask.shape == (7, 7) and len(model.explain(pairs_of(long))) == 3


def test_dropout_works_in_training_alone(model):
    network, batch = model.network, whole_batch(model, pairs_of(BY_HEART))
    with torch.no_grad():
        assert torch.equal(network.losses(batch)["text"], network.losses(batch)["text"])
        network.train()
        first, second = network.losses(batch)["text"], network.losses(batch)["text"]
    network.eval()
    assert first != second


def test_sizes_are_the_papers():
    settings = discover().get("peter").settings()
    assert (settings.embedding, settings.inner, settings.layers, settings.heads) == (512, 2048, 2, 2)
    assert (settings.batch_size, settings.clip, settings.dropout, settings.vocabulary) == (128, 1.0, 0.2, 20_000)
    assert (settings.context_weight, settings.rating_weight) == (1.0, 0.1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"embedding": 15, "heads": 3}, "embedding must be even"),
        ({"embedding": 16, "heads": 3}, "a multiple of heads"),
        ({"layers": 0}, "layers"),
        ({"context_weight": -1.0}, "context_weight"),
        ({"rating_weight": -1.0}, "rating_weight"),
        ({"dropout": -0.1}, "dropout"),
    ],
)
def test_settings_that_make_no_network_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        discover().get("peter").settings(**wrong)
