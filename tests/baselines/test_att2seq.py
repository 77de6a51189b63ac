"""Att2Seq's network against the paper's formulas, written out sentence by sentence with torch's single cells."""

from __future__ import annotations

import pytest
from sentences_world import BY_HEART, fitted, pairs_of, roughened, training_on, whole_batch

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")

from baselines._explaining.vocabulary import BOS  # noqa: E402
from bench.models import discover  # noqa: E402

EMBEDDING, HIDDEN, LAYERS = 16, 24, 2


@pytest.fixture(scope="module")
def model():
    return roughened(fitted("att2seq", training_on(pairs_of(BY_HEART)), layers=LAYERS))


def cells_of(rnn):
    """One LSTMCell a layer with the network's weights."""
    cells = []
    for layer in range(LAYERS):
        cell = torch.nn.LSTMCell(HIDDEN, HIDDEN)
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        cell.load_state_dict({name: getattr(rnn, f"{name}_l{layer}") for name in names})
        cells.append(cell)
    return cells


def begin(network, user, item):
    """(1, HIDDEN) hidden and cell states of each layer before <bos>."""
    joined = torch.cat([network.user_embedding.weight[user], network.item_embedding.weight[item]])
    encoded = torch.tanh(network.encoder.weight @ joined + network.encoder.bias)
    return [(encoded[layer * HIDDEN :][:HIDDEN][None], torch.zeros(1, HIDDEN)) for layer in range(LAYERS)]


def logits_by_cells(network, user, item, words):
    """(l, vocabulary) logits behind each of the words."""
    cells, states = cells_of(network.rnn), begin(network, user, item)
    found = []
    for word in words:
        value = network.word_embedding.weight[word][None]
        for layer, cell in enumerate(cells):
            states[layer] = cell(value, states[layer])
            value = states[layer][0]
        found.append(network.head(value)[0])
    return torch.stack(found)


def test_the_whole_pass_is_single_cells_step_by_step(model):
    pairs, network = pairs_of(BY_HEART), model.network
    batch = whole_batch(model, pairs)
    with torch.no_grad():
        states, _ = network.read(batch.inputs, network.start(batch.users, batch.items))
        found = network.head(states)
        for row, text in enumerate(BY_HEART):
            words = [BOS, *model.vocabulary.encode(text, 20)[:-1]]
            expected = logits_by_cells(network, pairs.users[row], pairs.items[row], words)
            assert expected.std() > 0.1
            assert torch.allclose(found[row, : len(words)], expected, atol=1e-5)


def test_a_step_is_the_whole_pass(model):
    network, batch = model.network, whole_batch(model, pairs_of(BY_HEART))
    with torch.no_grad():
        whole, last = network.read(batch.inputs, network.start(batch.users, batch.items))
        state = network.start(batch.users, batch.items)
        assert [part.shape for part in state] == [(8, LAYERS, HIDDEN)] * 2
        for place in range(batch.inputs.shape[1]):
            states, state = network.step(batch.inputs[:, place], state)
            assert torch.allclose(states, whole[:, place], atol=1e-6)
        assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(state, last, strict=True))


def test_the_loss_is_the_summed_cross_entropy_of_each_sentence_by_itself(model):
    pairs, network = pairs_of(BY_HEART), model.network
    with torch.no_grad():
        losses = network.losses(whole_batch(model, pairs))
        expected = 0.0
        for row, text in enumerate(BY_HEART):
            numbers = model.vocabulary.encode(text, 20)
            logits = logits_by_cells(network, pairs.users[row], pairs.items[row], [BOS, *numbers[:-1]])
            expected -= float(logits.log_softmax(1)[range(len(numbers)), numbers].sum())
    assert set(losses) == {"text"} and losses["text"].item() == pytest.approx(expected, rel=1e-5)


def test_both_ids_matter(model):
    pairs, network = pairs_of(BY_HEART), model.network
    batch = whole_batch(model, pairs)
    with torch.no_grad():
        state, _ = network.start(batch.users, batch.items)
        other_user, _ = network.start((batch.users + 1) % 12, batch.items)
        other_item, _ = network.start(batch.users, (batch.items + 1) % 10)
    assert (state != other_user).any(dim=(1, 2)).all() and (state != other_item).any(dim=(1, 2)).all()


def test_initial_weights_and_sizes_are_the_papers():
    info = discover().get("att2seq")
    settings = info.settings()
    assert (settings.embedding, settings.hidden, settings.layers, settings.dropout) == (64, 512, 2, 0.2)
    assert (settings.batch_size, settings.clip, settings.vocabulary) == (50, 5.0, 20_000)
    network = fitted("att2seq", training_on(pairs_of(BY_HEART)), epochs=1, learning_rate=1e-9).network
    for name, parameter in network.named_parameters():
        if "bias" in name:
            assert parameter.abs().max() < 1e-6, name
        elif not name.startswith("rnn"):
            assert 0.06 < parameter.abs().max() <= 0.0801, name
    assert network.rnn.dropout == 0.2 and network.rnn.num_layers == 2


def test_one_layer_has_nothing_to_drop_between(recwarn):
    fitted("att2seq", training_on(pairs_of(BY_HEART)), epochs=1, layers=1)
    assert not [warning for warning in recwarn if "dropout" in str(warning.message)]


@pytest.mark.parametrize("wrong", [{"layers": 0}, {"hidden": 0}, {"embedding": 0}, {"dropout": 1.0}])
def test_settings_that_make_no_network_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        discover().get("att2seq").settings(**wrong)
