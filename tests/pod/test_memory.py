"""Memory budgets: what a step keeps, what fits, and that parts change nothing but rounding."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from contract import tiny  # noqa: E402

from bench.errors import UserError  # noqa: E402
from bench.models import Context  # noqa: E402
from bench.protocols import PROTOCOLS  # noqa: E402
from bench.runs.execute import training_data  # noqa: E402
from pod.batches import Shape  # noqa: E402
from pod.memory import kept_bytes, laid_tokens, tokens_at_once  # noqa: E402
from pod.recommender import Pod, network_of  # noqa: E402
from pod.variants import PodSettings  # noqa: E402

SMALL = PodSettings(
    backbone="scratch:16x1", strategy="packed", batch_size=16, topn_batch_size=8, epochs=1, dropout=0.0, beams=4
)
TRAINING = training_data(tiny(), ("sequential", "topn"), PROTOCOLS["sound"])


def fitted(settings: PodSettings = SMALL, memory: float = 0.0) -> tuple[Pod, Context]:
    context = Context(0, offline=True, memory_mib=memory)
    model = Pod(settings)
    model.fit(TRAINING, context)
    return model, context


def parts_of(model: Pod) -> tuple[Any, Any, Shape]:
    """Network, sampler and shape of a fitted model."""
    network = network_of(model)
    sampler = model._sampler(model._answerer._built, TRAINING, 0)
    return network.train(), sampler, model._shape(TRAINING)


@pytest.mark.parametrize("strategy", ["packed", "sample-mixed"])
def test_what_is_kept_grows_with_the_step(strategy: Any) -> None:
    network, sampler, shape = parts_of(fitted(replace(SMALL, strategy=strategy))[0])
    step = sampler.step(0, 0)
    one, all_rows = (kept_bytes(network, step.take(np.arange(n)), shape, masked=True) for n in (1, len(step)))
    assert 0 < one < all_rows
    # The input states of one layer alone are more than this.
    assert all_rows > 4 * 16 * laid_tokens(step, shape)


def test_laid_tokens_by_hand() -> None:
    step = parts_of(fitted()[0])[1].step(0, 0)
    inputs, targets = step.ids.lengths + 3, step.targets.lengths
    assert laid_tokens(step, Shape(3)) == inputs.sum() + targets.sum()
    padded = len(step) * (inputs.max() + targets.max())
    assert laid_tokens(step, Shape(3, packed=False)) == padded > laid_tokens(step, Shape(3))


@pytest.mark.parametrize("strategy", ["packed", "sample-mixed", "task-alternated"])
def test_a_tight_budget_computes_parts_with_the_same_weights(strategy: Any) -> None:
    settings = replace(SMALL, strategy=strategy)
    model, free = fitted(settings)
    network, sampler, shape = parts_of(model)
    least = next(m for m in np.arange(0.2, 50, 0.2) if _fits(network, sampler, shape, m))
    held, context = fitted(settings, float(least) * 1.5)
    assert context.facts["most_parts"] > 1 and "most_parts" not in free.facts
    for name, tensor in network_of(held).state_dict().items():
        assert (tensor - network_of(model).state_dict()[name]).abs().max() < 1e-4, name


def _fits(network: Any, sampler: Any, shape: Shape, budget: float) -> bool:
    try:
        return tokens_at_once(network, sampler, shape, budget, masked=True) > 0
    except UserError:
        return False


def test_a_budget_too_small_for_one_sample_is_refused() -> None:
    with pytest.raises(UserError, match=r"0.01 MiB are too little for weights and one sample, \d+ MiB"):
        fitted(memory=0.01)


def test_more_memory_more_tokens() -> None:
    network, sampler, shape = parts_of(fitted()[0])
    found = [tokens_at_once(network, sampler, shape, budget, masked=True) for budget in (20, 40, 80)]
    assert found == sorted(found) and found[2] > 2 * found[1] * 0.99
