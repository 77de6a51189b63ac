"""What a training step spends its time on, done in fewer passes: matrix products, dropout, the loss over a vocabulary.

All of it is plain torch elsewhere than on a CPU in single precision. There, measured (benchmarks/training.py):
- torch multiplies through MKL, which runs on AMD's processors at half of what they can do; oneDNN, which comes with
  torch as well, does not. It has to be asked for by name, and costs some 0.3 ms for each new shape: small products and
  shapes that change from step to step stay with MKL.
- A Bernoulli draw costs as much as some twenty other operations, so dropout compares 16 random bits an element.
- Logits, their softmax and its gradient are several times the size of all else. Made for some rows at a time they stay
  in the cache, and nothing of them has to be kept for the backward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

# Multiplications from which on a product is worth a new shape of oneDNN's.
_LARGE = 1 << 26
# Rows of logits made at a time; their number is a multiple of the second, so that few shapes occur.
_ROWS, _ROUND = 256, 64
_BITS = 16


def linear(rows: Tensor, weight: Tensor) -> Tensor:
    """(n, d) rows by (m, d) weights -> (n, m), as `torch.nn.functional.linear`."""
    if rows.numel() * len(weight) < _LARGE or not _plain(rows, weight):
        return functional.linear(rows, weight)
    return _Linear.apply(rows, weight)


class Weights:
    """(m, d) weights that change no more: `linear` by them, without gradients, from a layout made once."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight
        self._laid: Tensor | None = None

    def __len__(self) -> int:
        return len(self.weight)

    def __call__(self, rows: Tensor) -> Tensor:
        """(n, d) rows -> (n, m)."""
        if rows.numel() * len(self.weight) < _LARGE or not _plain(rows, self.weight) or _fast() is None:
            return functional.linear(rows, self.weight)
        if self._laid is None:
            self._laid = _laid_out(self.weight)
        return _product(rows, self._laid)


def dropout(values: Tensor, rate: float, training: bool) -> Tensor:
    """Zero in the place of values at this rate, the others scaled up, drawn from torch's default generator.

    On a CPU the rate is rounded to 1/65536, and others are scaled by that.
    """
    dropped = round(rate * (1 << _BITS))
    if not training or not 0 < dropped < 1 << _BITS or not _plain(values):
        return functional.dropout(values, rate, training)
    n, per_draw = values.numel(), 64 // _BITS
    draws = torch.empty(-(-n // per_draw), dtype=torch.int64).random_(-(1 << 63), None)
    bits = draws.view(torch.int16)[:n]
    # Written as floats at once: a product with booleans is slow.
    kept = torch.ge(bits, dropped - (1 << (_BITS - 1)), out=torch.empty(n))
    return values * kept.mul_((1 << _BITS) / ((1 << _BITS) - dropped)).view(values.shape)


def weighted_cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """The sum of target tokens' negative log-likelihoods by their weights, a scalar.

    hidden: (n, d). weight: (vocabulary, d), so that hidden @ weight.T are logits. targets, weights: (n,).
    """
    if not _plain(hidden, weight) or not len(hidden):
        logits = functional.linear(hidden, weight).float()
        return torch.dot(functional.cross_entropy(logits, targets, reduction="none"), weights)
    return _WeightedCrossEntropy.apply(hidden, weight, targets, weights, torch.is_grad_enabled())


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(rows, weight)
        return _product(rows, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        rows, weight = ctx.saved_tensors
        for_rows, for_weight = ctx.needs_input_grad
        return (
            _product(gradient, weight.t()) if for_rows else None,
            _product(gradient.t(), rows.t()) if for_weight else None,
        )


class _WeightedCrossEntropy(torch.autograd.Function):
    """Makes the gradients along with the loss, while logits are in the cache: these need the loss's own alone to be
    scaled by.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, weights: Tensor, learn: bool) -> Tensor:
        n = len(hidden)
        size = -(-n // -(-n // _ROWS))
        size += -size % _ROUND
        extra = -n % size
        # Rows of weight 0 fill the last block.
        hidden = functional.pad(hidden, (0, 0, 0, extra))
        target, share = functional.pad(targets, (0, extra))[:, None], functional.pad(weights, (0, extra))[:, None]
        losses, for_hidden = torch.empty_like(share), torch.empty_like(hidden)
        turned: Tensor | None = None
        for start in range(0, len(hidden), size):
            rows = slice(start, start + size)
            logits = _product(hidden[rows], weight)
            largest, wanted = logits.amax(1, keepdim=True), logits.gather(1, target[rows])
            torch.softmax(logits, 1, out=logits)
            # The largest probability is exp(largest) over the sum of all: it cannot vanish, the target's can.
            losses[rows] = largest - wanted - logits.amax(1, keepdim=True).log()
            if learn:
                logits.scatter_add_(1, target[rows], torch.full_like(wanted, -1.0))
                for_hidden[rows] = _product(logits, weight.t()) * share[rows]
                part = _product((hidden[rows] * share[rows]).t(), logits.t())
                turned = part if turned is None else turned.add_(part)
        ctx.save_for_backward(for_hidden[:n], None if turned is None else turned.t().contiguous())
        return torch.dot(losses[:n, 0], weights)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        for_hidden, for_weight = ctx.saved_tensors
        if float(gradient) != 1.0:
            for_hidden, for_weight = for_hidden * gradient, for_weight * gradient
        return for_hidden, for_weight, None, None, None


def _plain(*tensors: Tensor) -> bool:
    """Whether all are of the CPU and in single precision."""
    return all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors)


def _product(left: Tensor, right: Tensor) -> Tensor:
    """(n, d) by (m, d) -> (n, m), by oneDNN where there is one."""
    product = _fast()
    return left @ right.t() if product is None else product(left, right, None, "none", [], "")


def _laid_out(weight: Tensor) -> Tensor:
    """The weights as oneDNN would lay them out for each product, which takes up to a tenth of its time."""
    try:
        return torch.ops.mkldnn._reorder_linear_weight(weight)
    except (AttributeError, RuntimeError, TypeError):  # no such build, or another signature
        return weight


def _fast() -> Callable[..., Tensor] | None:
    """oneDNN's product where it is to be had and not switched off."""
    return _onednn() if torch.backends.mkldnn.enabled else None


@cache
def _onednn() -> Callable[..., Tensor] | None:
    """oneDNN's product, where this torch has it: what its compiler makes of linear layers. It has no public name."""
    left, right = torch.eye(3), torch.arange(6.0).view(2, 3)
    try:
        product = torch.ops.mkldnn._linear_pointwise
        sound = torch.equal(product(left, right, None, "none", [], ""), right.t())
    except (AttributeError, RuntimeError, TypeError):  # no such build, or another signature
        return None
    return product if sound else None
