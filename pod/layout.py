"""How the rows of a batch lie in memory: flat and without padding, or padded as the authors' code does.

Everything but attention works on a flat (tokens, width) array. Attention needs rectangles: rows of like length,
neighbours in the flat array, are spread into one and gathered back. Where all rows of a rectangle are of one
length, both are views. In a padded layout padding tokens are tokens like others, and one rectangle holds the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from bench.ragged import IntArray, offsets_of

# A rectangle may be so much wider than its shortest row: wider wastes attention, narrower makes more, smaller ones.
_GROWTH = 1.6
_SLACK = 2


class _Spread(torch.autograd.Function):
    """Tokens into cells. Attention masks cells without a token: their gradients are zero and need not be added."""

    @staticmethod
    def forward(ctx: Any, part: torch.Tensor, spread: torch.Tensor, gather: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(gather)
        return part.index_select(0, spread)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return gradient.index_select(0, *ctx.saved_tensors), None, None


@dataclass(frozen=True, eq=False)
class Rectangle:
    """Neighbouring rows of a flat array as an (n, width) rectangle.

    tokens:  where they lie in the flat array.
    n, width: its shape.
    spread:  (n * width,) for each cell the token that fills it, counted from tokens.start; None: they fill it in order.
    gather:  (tokens,) for each token its cell; None: in order.
    real:    (n, width) bool, cells that hold a token that is not padding; None: all.
    """

    tokens: slice
    n: int
    width: int
    spread: torch.Tensor | None
    gather: torch.Tensor | None
    real: torch.Tensor | None

    def take(self, flat: torch.Tensor) -> torch.Tensor:
        """(tokens of the whole layout, d) -> (n, width, d); cells without a token repeat one of their row."""
        return self.cells(flat[self.tokens])

    def cells(self, part: torch.Tensor) -> torch.Tensor:
        """`take` of this rectangle's own tokens. Gradients of cells without a token are left out: see `_Spread`."""
        if self.spread is not None:
            part = _Spread.apply(part, self.spread, self.gather)
        return part.reshape(self.n, self.width, -1)

    def put_back(self, cells: torch.Tensor) -> torch.Tensor:
        """(n, width, d) -> (tokens of this rectangle, d)."""
        flat = cells.reshape(self.n * self.width, -1)
        return flat if self.gather is None else flat.index_select(0, self.gather)


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the tokens of each row lie: one side (inputs or targets) of a batch.

    lengths:    (n,) real tokens of each row.
    widths:     (n,) tokens given to each row, padding included.
    rectangles: the batch cut into rectangles of neighbouring rows.
    """

    lengths: IntArray
    widths: IntArray
    rectangles: tuple[Rectangle, ...]

    def cells(self, flat: torch.Tensor) -> list[torch.Tensor]:
        """(tokens, d) -> each rectangle's (n, width, d)."""
        # Split, not sliced: the gradient of each slice is as large as the whole.
        parts = flat.split([side.tokens.stop - side.tokens.start for side in self.rectangles])
        return [side.cells(part) for side, part in zip(self.rectangles, parts, strict=True)]

    @property
    def tokens(self) -> int:
        """Length of the flat array."""
        return int(self.widths.sum())

    @property
    def padding(self) -> float:
        """Share of the flat array that is padding."""
        return 1.0 - float(self.lengths.sum()) / max(1, self.tokens)


def on_device(values: np.ndarray, device: str | torch.device) -> torch.Tensor:
    """The array as a tensor there; a CUDA device fetches it while it still computes what it was given before."""
    tensor = torch.from_numpy(values)
    return tensor.pin_memory().to(device, non_blocking=True) if str(device).startswith("cuda") else tensor.to(device)


def padded_layout(lengths: IntArray, width: int, device: str | torch.device) -> Layout:
    """One rectangle of the given width; padding tokens are computed as in the authors' code."""
    n = len(lengths)
    real = np.arange(width)[None, :] < lengths[:, None]
    mask = None if real.all() else on_device(real, device)
    whole = Rectangle(slice(0, n * width), n, width, None, None, mask)
    return Layout(lengths, np.full(n, width), (whole,))


def packed_layout(lengths: IntArray, edges: Sequence[int], device: str | torch.device) -> Layout:
    """No padding in the flat array; one rectangle for each range of rows between two edges."""
    offsets = offsets_of(lengths)
    rectangles = []
    for first, last in pairwise(edges):
        rows = lengths[first:last]
        tokens = slice(int(offsets[first]), int(offsets[last]))
        width = int(rows.max())
        if int(rows.min()) == width:
            rectangles.append(Rectangle(tokens, len(rows), width, None, None, None))
            continue
        columns = np.arange(width)[None, :]
        real = columns < rows[:, None]
        starts = (offsets[first:last] - offsets[first])[:, None]
        spread = starts + np.minimum(columns, rows[:, None] - 1)
        parts = (spread.ravel(), np.flatnonzero(real), real)
        rectangles.append(Rectangle(tokens, len(rows), width, *(on_device(part, device) for part in parts)))
    return Layout(lengths, lengths, tuple(rectangles))


def edges_of(lengths: IntArray) -> list[int]:
    """Where to cut rows, sorted by length, into rectangles: 0, …, n."""
    edges = [0]
    limit = -1
    for row, length in enumerate(lengths):
        if limit < 0:
            limit = int(length * _GROWTH) + _SLACK
        elif length > limit:
            edges.append(row)
            limit = int(length * _GROWTH) + _SLACK
    return [*edges, len(lengths)]
