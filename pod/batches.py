"""From examples (rows of token numbers) to the tensors of one training or encoding step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from bench.ragged import IntArray, Ragged, offsets_of
from pod.layout import Layout, edges_of, on_device, packed_layout, padded_layout

PAD, START = 0, 0
TASK_NUMBERS: dict[str, int] = {"explanation": 0, "sequential": 1, "topn": 2}
# How losses of target tokens are averaged: over the samples' own means (eq. 1), or over all targets of the batch
# with padding among them, as the released code does (PUBLISHED.md, line 3).
Averaging = Literal["sample", "padded-token"]


@dataclass(frozen=True, eq=False)
class Examples:
    """Rows of text as token numbers.

    tasks:   (n,) the task of each row, by TASK_NUMBERS: it decides which prompt vectors stand in front.
    ids:     input tokens, end of sequence included.
    words:   whole-word index of each input token (section 3.2), aligned with ids.
    targets: target tokens, end of sequence included unless cut; None where only encoding is wanted.
    """

    tasks: IntArray
    ids: Ragged
    words: Ragged
    targets: Ragged | None = None

    def __len__(self) -> int:
        return len(self.tasks)

    def take(self, rows: IntArray) -> Examples:
        """The given rows, in the given order."""
        targets = None if self.targets is None else self.targets.take(rows)
        return Examples(self.tasks[rows], self.ids.take(rows), self.words.take(rows), targets)

    @classmethod
    def join(cls, parts: Sequence[Examples]) -> Examples:
        """Rows of several, one after the other."""
        targets = [part.targets for part in parts if part.targets is not None]
        return cls(
            np.concatenate([part.tasks for part in parts]),
            joined([part.ids for part in parts]),
            joined([part.words for part in parts]),
            joined(targets) if len(targets) == len(parts) else None,
        )


def joined(parts: Sequence[Ragged]) -> Ragged:
    """The rows of several Ragged, one after the other."""
    lengths = np.concatenate([part.lengths for part in parts])
    return Ragged(np.concatenate([part.values for part in parts]), offsets_of(lengths))


@dataclass(frozen=True, eq=False)
class Batch:
    """One step's tensors.

    order:       (n,) which example each row is.
    ids, words:  (tokens,) int64, zeros in the places of prompt vectors.
    slots:       (n * K,) the places of prompt vectors. prompts: (n * K,) which vector goes there.
    inputs:      how ids lie.
    targets, shifted: (target tokens,) int64 what to say, and the same moved right by one, the start token first.
    outputs:     how targets lie; None where only encoding is wanted, and then targets are empty.
    weights:     (target tokens,) float32 what each token's loss counts; they add up to the rows' share of the step.
    """

    order: IntArray
    ids: torch.Tensor
    words: torch.Tensor
    slots: torch.Tensor
    prompts: torch.Tensor
    inputs: Layout
    targets: torch.Tensor
    shifted: torch.Tensor
    outputs: Layout | None
    weights: torch.Tensor


@dataclass(frozen=True)
class Shape:
    """How batches are laid out.

    vectors:   K, prompt vectors in front of every row.
    packed:    no padding; otherwise every row is padded to the longest, as in the released code.
    averaging: how losses are averaged; "padded-token" needs padding.
    """

    vectors: int
    packed: bool = True
    averaging: Averaging = "sample"

    def __post_init__(self) -> None:
        if self.packed and self.averaging == "padded-token":
            raise ValueError("padding can be counted only where there is some: it needs padded batches")


def make_batch(examples: Examples, shape: Shape, device: str, whole: Examples | None = None) -> Batch:
    """Lay out examples.

    whole: the step that these examples are a part of, where it is computed in parts: padding and averaging go by it.
    """
    whole = whole or examples
    n = len(examples)
    order = np.arange(n)
    if shape.packed:
        keys = () if examples.targets is None else (examples.targets.lengths,)
        order = np.lexsort((*keys, examples.ids.lengths))
        examples = examples.take(order)
    lengths = examples.ids.lengths + shape.vectors
    if shape.packed:
        edges = edges_of(lengths)
        inputs = packed_layout(lengths, edges, device)
    else:
        edges = [0, n]
        inputs = padded_layout(lengths, int(whole.ids.lengths.max()) + shape.vectors, device)
    starts = offsets_of(inputs.widths)[:-1]
    slots = (starts[:, None] + np.arange(shape.vectors)).ravel()
    prompts = (examples.tasks[:, None] * shape.vectors + np.arange(shape.vectors)).ravel()
    ids = _laid(examples.ids, starts + shape.vectors, inputs.tokens)
    words = _laid(examples.words, starts + shape.vectors, inputs.tokens)
    nothing = torch.empty(0, dtype=torch.int64, device=device)
    batch = Batch(
        order=order,
        ids=_tensor(ids, device),
        words=_tensor(words, device),
        slots=_tensor(slots, device),
        prompts=_tensor(prompts, device),
        inputs=inputs,
        targets=nothing,
        shifted=nothing,
        outputs=None,
        weights=nothing.float(),
    )
    return batch if examples.targets is None else _with_targets(batch, examples.targets, shape, edges, whole, device)


def _with_targets(
    batch: Batch, targets: Ragged, shape: Shape, edges: Sequence[int], whole: Examples, device: str
) -> Batch:
    lengths = targets.lengths
    if shape.packed:
        outputs = packed_layout(lengths, edges, device)
    else:
        widest = int(whole.targets.lengths.max()) if whole.targets is not None else 0
        outputs = padded_layout(lengths, widest, device)
    starts = offsets_of(outputs.widths)[:-1]
    ids = _laid(targets, starts, outputs.tokens)
    shifted = np.roll(ids, 1)
    shifted[starts] = START
    if shape.averaging == "padded-token":
        weights = np.full(len(ids), 1.0 / (len(whole) * outputs.widths[0]))
    else:
        weights = _laid_weights(lengths, starts, outputs.tokens) / len(whole)
    placed = on_device(weights.astype(np.float32), device)
    return replace(
        batch, targets=_tensor(ids, device), shifted=_tensor(shifted, device), outputs=outputs, weights=placed
    )


def _laid(rows: Ragged, starts: IntArray, total: int) -> IntArray:
    """(total,) zeros with each row's values from its start on."""
    out = np.full(total, PAD, dtype=np.int64)
    places = np.arange(len(rows.values)) + np.repeat(starts - rows.offsets[:-1], rows.lengths)
    out[places] = rows.values
    return out


def _laid_weights(lengths: IntArray, starts: IntArray, total: int) -> np.ndarray:
    """(total,) one over its row's length for every real target, 0 for padding."""
    out = np.zeros(total)
    offsets = offsets_of(lengths)
    places = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
    out[places] = np.repeat(1.0 / lengths, lengths)
    return out


def _tensor(values: IntArray, device: str) -> torch.Tensor:
    return on_device(np.ascontiguousarray(values, dtype=np.int64), device)
