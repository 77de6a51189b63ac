"""The kernels of a training step against torch's own, values and gradients, with oneDNN and without."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402

from engine.randomness import seeded  # noqa: E402
from pod import kernels  # noqa: E402
from pod.kernels import Weights, dropout, linear, weighted_cross_entropy  # noqa: E402


@pytest.fixture(params=[True, False], ids=["onednn", "plain"])
def every_product(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of every size through our own function, with oneDNN and without it."""
    monkeypatch.setattr(kernels, "_LARGE", 0)
    if not request.param:
        monkeypatch.setattr(kernels, "_onednn", lambda: None)
    elif kernels._onednn() is None:
        pytest.skip("this torch has no oneDNN")


def drawn(seed: int, *shape: int, scale: float = 1.0) -> Any:
    return (scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))).requires_grad_()


@pytest.mark.usefixtures("every_product")
@pytest.mark.parametrize(("n", "d", "m"), [(1, 1, 1), (7, 16, 33), (130, 24, 5)])
def test_linear_is_torchs(n: int, d: int, m: int) -> None:
    rows, weight, outer = drawn(0, n, d), drawn(1, m, d), drawn(2, n, m).detach()
    ours, theirs = linear(rows, weight), functional.linear(rows, weight)
    assert torch.allclose(ours, theirs, atol=1e-5)
    found, expected = (torch.autograd.grad(value, (rows, weight), outer) for value in (ours, theirs))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, expected, strict=True))
    with torch.no_grad():
        assert torch.equal(linear(rows, weight), ours)


@pytest.mark.usefixtures("every_product")
def test_linear_passes_over_what_is_not_learnt() -> None:
    rows, weight = drawn(0, 5, 8), drawn(1, 3, 8)
    linear(rows, weight.detach()).sum().backward()
    linear(rows.detach(), weight).sum().backward()
    assert torch.allclose(rows.grad, weight.sum(0).expand(5, 8), atol=1e-6)
    assert torch.allclose(weight.grad, rows.sum(0).expand(3, 8), atol=1e-6)


@pytest.mark.filterwarnings("ignore:TF32")  # torch says so where flags are set on a machine without an Intel GPU
@pytest.mark.usefixtures("every_product")
@pytest.mark.parametrize(("n", "d", "m"), [(1, 1, 1), (7, 16, 33), (160, 64, 4800)])
def test_weights_laid_out_once_give_the_same_bits(n: int, d: int, m: int) -> None:
    rows, weight = drawn(0, n, d).detach(), drawn(1, m, d).detach()
    laid = Weights(weight)
    expected = linear(rows, weight)
    assert torch.allclose(expected.double(), rows.double() @ weight.double().t(), atol=1e-4)
    assert torch.equal(laid(rows), expected) and torch.equal(laid(rows), expected) and len(laid) == m
    assert torch.allclose(laid(rows.double().float()[:1]), expected[:1], atol=1e-5)
    with torch.backends.mkldnn.flags(enabled=False):
        assert torch.allclose(laid(rows), expected, atol=1e-4)


def reference(hidden: Any, weight: Any, targets: Any, weights: Any) -> Any:
    """In double precision, as it is written in books."""
    chosen = torch.log_softmax(hidden.double() @ weight.double().t(), 1).gather(1, targets[:, None])[:, 0]
    return -(chosen * weights.double()).sum()


@pytest.mark.usefixtures("every_product")
@pytest.mark.parametrize("n", [1, 63, 64, 65, 300, 700])
def test_the_loss_and_its_gradients_are_torchs_whatever_the_number_of_blocks(n: int) -> None:
    hidden, weight = drawn(0, n, 12), drawn(1, 90, 12)
    targets = torch.randint(0, 90, (n,), generator=torch.Generator().manual_seed(2))
    weights = drawn(3, n).detach().abs() / n
    values = [loss(hidden, weight, targets, weights) for loss in (weighted_cross_entropy, reference)]
    assert abs(values[0].item() - values[1].item()) < 1e-5
    # Scaled as a step's parts and turns are.
    found, expected = (torch.autograd.grad(0.3 * value, (hidden, weight)) for value in values)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.is_contiguous() and torch.allclose(ours, theirs, atol=1e-6)
    with torch.no_grad():
        assert weighted_cross_entropy(hidden, weight, targets, weights).item() == values[0].item()


@settings(max_examples=30, deadline=None)
@given(st.floats(-2.0, 2.3), st.integers(0, 50))
def test_the_loss_stays_finite_and_right_where_probabilities_vanish(power: float, seed: int) -> None:
    hidden, weight = drawn(seed, 40, 6, scale=10**power), drawn(seed + 1, 30, 6)
    targets = torch.randint(0, 30, (40,), generator=torch.Generator().manual_seed(seed))
    weights = torch.full((40,), 1 / 40)
    value, expected = (f(hidden, weight, targets, weights).item() for f in (weighted_cross_entropy, reference))
    assert math.isfinite(value) and abs(value - expected) < 1e-5 * max(1.0, expected)


def test_a_loss_that_is_no_number_shows() -> None:
    hidden, weight = drawn(0, 3, 4), drawn(1, 5, 4)
    with torch.no_grad():
        hidden[1, 2] = math.nan
    assert math.isnan(weighted_cross_entropy(hidden, weight, torch.zeros(3, dtype=torch.int64), torch.ones(3)).item())


def test_the_loss_of_nothing_is_zero() -> None:
    nothing = torch.zeros(0, dtype=torch.int64)
    assert weighted_cross_entropy(drawn(0, 0, 4), drawn(1, 5, 4), nothing, nothing.float()).item() == 0.0


def test_other_precisions_take_torchs_way() -> None:
    hidden, weight = drawn(0, 6, 4).detach().bfloat16(), drawn(1, 5, 4).detach().bfloat16()
    targets, weights = torch.tensor([0, 1, 2, 3, 4, 0]), torch.full((6,), 1 / 6)
    expected = functional.cross_entropy((hidden @ weight.t()).float(), targets)
    assert torch.allclose(weighted_cross_entropy(hidden, weight, targets, weights), expected)
    assert linear(hidden, weight).dtype == dropout(hidden, 0.5, True).dtype == torch.bfloat16


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.9])
def test_dropout_zeroes_at_its_rate_and_keeps_the_mean(rate: float) -> None:
    values = torch.ones(600, 701, requires_grad=True)
    with seeded(4, "cpu"):
        found = dropout(values, rate, True)
    dropped = found == 0
    n = values.numel()
    # Six deviations of a binomial count.
    assert abs(dropped.sum().item() - rate * n) < 6 * math.sqrt(n * rate * (1 - rate)) + n / 65536
    kept = found[~dropped].unique()
    assert len(kept) == 1 and abs(kept.item() - 1 / (1 - rate)) < 2e-4 / (1 - rate)
    assert abs(kept.item() * (1 - round(rate * 65536) / 65536) - 1) < 1e-6
    (gradient,) = torch.autograd.grad(found.sum(), values)
    assert torch.equal(gradient, found)


def test_dropout_draws_places_apart_from_each_other() -> None:
    with seeded(5, "cpu"):
        dropped = (dropout(torch.ones(2, 400_000), 0.5, True) == 0).double()
    for shift in range(1, 10):
        both = (dropped[0, shift:] * dropped[0, :-shift]).mean().item()
        assert abs(both - 0.25) < 6 * math.sqrt(0.25 * 0.75 / 400_000)
    assert abs((dropped[0] * dropped[1]).mean().item() - 0.25) < 6 * math.sqrt(0.25 * 0.75 / 400_000)


def test_dropout_is_a_function_of_torchs_generator() -> None:
    values = drawn(0, 9, 7).detach()
    outcomes = []
    for seed in (1, 1, 2):
        with seeded(seed, "cpu"):
            outcomes.append(dropout(values, 0.4, True))
    assert torch.equal(outcomes[0], outcomes[1]) and not torch.equal(outcomes[0], outcomes[2])


@pytest.mark.parametrize(("rate", "training"), [(0.5, False), (0.0, True), (1e-9, True)])
def test_dropout_of_nothing_is_nothing(rate: float, training: bool) -> None:
    values = drawn(0, 20, 20).detach()
    assert torch.equal(dropout(values, rate, training), functional.dropout(values, rate, False))


def test_onednn_is_left_alone_where_torch_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing:
        def __getattr__(self, name: str) -> Any:
            raise AttributeError(name)

    kernels._onednn.cache_clear()
    monkeypatch.setattr(torch.ops, "mkldnn", Missing())
    assert kernels._onednn() is None
    rows, weight = drawn(0, 4, 8), drawn(1, 3, 8)
    assert torch.allclose(kernels._product(rows, weight), rows @ weight.t(), atol=1e-6)
    assert kernels._laid_out(weight) is weight
    kernels._onednn.cache_clear()
