"""Randomness comes from the run's seed and disturbs nobody else's."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from worlds import fitted, rings, training_of

from bench.models import Context

torch = pytest.importorskip("torch", reason="torch is not installed")

from engine.randomness import fresh_states, get_states, seeded, set_states  # noqa: E402


def test_the_callers_generator_is_left_as_it_was():
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    with seeded(5, "cpu"):
        torch.rand(100)
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(11)
    with pytest.raises(KeyError), seeded(5, "cpu"):
        torch.rand(100)
        raise KeyError
    assert torch.equal(torch.rand(3), expected)


def test_equal_seeds_give_equal_draws_and_others_others():
    def draw(seed: int) -> Any:
        with seeded(seed, "cpu"):
            return torch.cat([torch.rand(5), torch.nn.functional.dropout(torch.ones(50)), torch.randn(5)])

    torch.manual_seed(1)
    first = draw(3)
    torch.rand(7)
    assert torch.equal(first, draw(3)) and not torch.equal(first, draw(4))
    generator = torch.Generator().manual_seed(3)
    assert torch.equal(first[:5], torch.rand(5, generator=generator))


def test_states_can_be_put_back():
    with seeded(2, "cpu"):
        before = get_states("cpu")
        assert torch.equal(before["cpu"], fresh_states(2, "cpu")["cpu"])
        drawn = torch.rand(4)
        set_states(before)
        assert torch.equal(torch.rand(4), drawn)


def weights_of(model: Any) -> str:
    digest = hashlib.sha256()
    for name, tensor in model.network.state_dict().items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("sasrec", {}),
        ("sasrec-pairwise", {}),
        ("gru4rec", {"state_size": 12}),
        ("caser", {}),
        ("hgn", {}),
        ("fdsa", {}),
        ("bert4rec", {}),
        ("s3rec", {"pretrain_epochs": 1}),
        ("mf", {}),
        ("mlp", {"dropout": 0.2}),
    ],
)
def test_same_seed_same_bytes_other_seed_other_weights(name, how):
    pytest.importorskip("recbole", reason="RecBole is not installed")
    training = training_of(rings(n_users=60))
    torch.manual_seed(1)
    first = weights_of(fitted(name, training, Context(0), epochs=2, **how))
    torch.manual_seed(2)
    assert first == weights_of(fitted(name, training, Context(0), epochs=2, **how))
    assert first != weights_of(fitted(name, training, Context(1), epochs=2, **how))
