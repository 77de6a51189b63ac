"""The MLP network against an explicit one over joined embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from worlds import blocks, fitted, roughened, training_of

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("recbole", reason="RecBole is not installed")

LAYERS = (12, 7, 5)


@pytest.fixture(scope="module")
def network() -> Any:
    model = fitted("mlp", training_of(blocks(n_users=50)), layers=LAYERS, dropout=0.3)
    return roughened(model).network.eval()


def explicit(network: Any, users: Any, items: Any) -> Any:
    """The stack as one would write it: [user; item] through one first matrix, rectified layers, one output."""
    joined = torch.cat([network.user_embedding(users), network.item_embedding(items)], dim=-1)
    weight = torch.cat([network.first_user.weight, network.first_item.weight], dim=1)
    assert weight.shape == (LAYERS[0], 16)
    state = torch.relu(joined @ weight.T + network.first_user.bias)
    layers = [part for part in network.rest if isinstance(part, torch.nn.Linear)]
    assert [tuple(layer.weight.shape) for layer in layers] == [(7, 12), (5, 7), (1, 5)]
    for layer in layers[:-1]:
        state = torch.relu(state @ layer.weight.T + layer.bias)
    return (state @ layers[-1].weight.T + layers[-1].bias).squeeze(-1)


def test_scores_are_an_explicit_networks(network):
    rng = np.random.default_rng(0)
    users = torch.from_numpy(rng.integers(1, network.n_users, 200))
    items = torch.from_numpy(rng.integers(1, network.n_items, 200))
    with torch.no_grad():
        found = network.predict({"user_id": users, "item_id": items})
        expected = explicit(network, users, items)
    assert found.std() > 0.1 and torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("at_once", [7, 2048])
def test_the_whole_catalogue_scores_as_pair_by_pair(network, monkeypatch, at_once):
    from baselines._recbole import mlp_network

    monkeypatch.setattr(mlp_network, "_ITEMS_AT_ONCE", at_once)
    users = torch.arange(1, 11)
    with torch.no_grad():
        whole = network.full_sort_predict({"user_id": users}).view(10, network.n_items)
        for row, user in enumerate(users):
            everything = torch.arange(network.n_items)
            pairs = network.predict({"user_id": user.repeat(network.n_items), "item_id": everything})
            assert torch.allclose(whole[row], pairs, atol=1e-5)


def test_the_loss_is_bpr_by_hand(network):
    users, items, others = (torch.tensor(values) for values in ([1, 2, 3], [4, 5, 6], [7, 8, 9]))
    margin = explicit(network, users, items) - explicit(network, users, others)
    found = network.calculate_loss({"user_id": users, "item_id": items, "neg_item_id": others})
    assert found.item() == pytest.approx(torch.nn.functional.softplus(-margin).mean().item(), abs=1e-5)


def test_dropout_works_in_training_alone(network):
    fields = {"user_id": torch.arange(1, 9), "item_id": torch.arange(1, 9)}
    with torch.no_grad():
        assert torch.equal(network.predict(fields), network.predict(fields))
        network.train()
        first, second = network.predict(fields), network.predict(fields)
    network.eval()
    assert not torch.equal(first, second)
