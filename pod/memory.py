"""How much of a training step fits into a memory budget, measured and not guessed.

On a CPU nothing fails when memory runs short, it only becomes slow, so the tensors that autograd keeps of one row are
counted. A CUDA device is given no more than the budget; a step that does not fit is then halved (`pod.training`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from bench.errors import UserError
from pod.batches import Examples, Shape, make_batch
from pod.network import PodNetwork
from pod.samples import Sampler

MIB = 2**20
# Weights, their gradients, and AdamW's two moments.
_COPIES = 4
# Going back, a layer's gradients stand beside what was kept of it.
_BACKWARD = 1.5
_LOOKED_AT = 8


def tokens_at_once(network: PodNetwork, sampler: Sampler, shape: Shape, budget_mib: float, *, masked: bool) -> int:
    """How many tokens, padding included, a step may hold at a time.

    The widest row of some of the first steps sets the price of a token: attention costs the more the wider a row is.
    Raises UserError where weights and such a row alone are more than the budget.
    """
    steps = [sampler.step(0, number) for number in range(min(_LOOKED_AT, sampler.steps))]
    widest = max((step.take(np.array([int(step.ids.lengths.argmax())])) for step in steps), key=_width)
    kept = kept_bytes(network, widest, shape, masked=masked) * _BACKWARD
    weights = _COPIES * sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
    left, tokens = budget_mib * MIB - weights, laid_tokens(widest, shape)
    if left < kept:
        what = f"{budget_mib:g} MiB are too little for weights and one sample, {(weights + kept) / MIB:.0f} MiB"
        raise UserError(what, "--memory", "give more, or a smaller backbone")
    return int(left / kept * tokens)


def laid_tokens(examples: Examples, shape: Shape) -> int:
    """Tokens of a step as it is laid out, inputs and targets, padding included."""
    sides = [examples.ids.lengths + shape.vectors]
    if examples.targets is not None:
        sides.append(examples.targets.lengths)
    return sum(int(lengths.sum()) if shape.packed else len(lengths) * int(lengths.max()) for lengths in sides)


def kept_bytes(network: PodNetwork, examples: Examples, shape: Shape, *, masked: bool) -> int:
    """What autograd keeps of a training step for the way back, each storage once, parameters not."""
    device = next(network.parameters()).device
    own = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    def same(tensor: Any) -> Any:
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, same):
        loss = network(make_batch(examples, shape, str(device)), masked=masked)
    del loss
    return sum(kept.values())


def _width(examples: Examples) -> int:
    return int(examples.ids.lengths.max())
