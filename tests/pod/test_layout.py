"""Flat arrays and rectangles, against loops over rows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from pod.layout import Layout, edges_of, packed_layout, padded_layout  # noqa: E402

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=25).map(lambda found: np.array(sorted(found)))


def packed(lengths: np.ndarray) -> Layout:
    return packed_layout(lengths, edges_of(lengths), "cpu")


def flat_of(layout: Layout, seed: int = 0) -> torch.Tensor:
    return torch.randn(layout.tokens, 3, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=60, deadline=None)
@given(LENGTHS)
def test_edges_cut_rows_of_like_length(lengths: np.ndarray) -> None:
    edges = edges_of(lengths)
    assert edges[0] == 0 and edges[-1] == len(lengths)
    for first, last in pairwise(edges):
        assert first < last
        # What attention computes for nothing is bounded, and no cut is made without need.
        assert lengths[last - 1] <= 1.6 * lengths[first] + 2
        assert last == len(lengths) or lengths[last] > int(1.6 * lengths[first]) + 2


def test_edges_by_hand() -> None:
    assert edges_of(np.array([5, 5, 5])) == [0, 3]
    assert edges_of(np.array([5, 10, 11, 19, 20])) == [0, 2, 4, 5]
    assert edges_of(np.array([1, 3, 4, 100])) == [0, 2, 3, 4]


@settings(max_examples=60, deadline=None)
@given(LENGTHS)
def test_cells_are_those_of_loops_over_rows(lengths: np.ndarray) -> None:
    layout = packed(lengths)
    flat = flat_of(layout)
    assert layout.padding == 0.0 and layout.tokens == lengths.sum()
    cells, starts, row = layout.cells(flat), np.concatenate([[0], np.cumsum(lengths)]), 0
    back = []
    for side, found in zip(layout.rectangles, cells, strict=True):
        assert found.shape == (side.n, side.width, 3) and torch.equal(found, side.take(flat))
        for place in range(side.n):
            length = int(lengths[row])
            mine = flat[starts[row] : starts[row + 1]]
            assert torch.equal(found[place, :length], mine)
            assert (found[place, length:] == mine[-1]).all()
            real = [True] * side.width if side.real is None else side.real[place].tolist()
            assert real == [True] * length + [False] * (side.width - length)
            row += 1
        back.append(side.put_back(found))
    assert row == len(lengths)
    assert torch.equal(torch.cat(back), flat)


@settings(max_examples=40, deadline=None)
@given(LENGTHS)
def test_gradients_are_those_of_real_cells(lengths: np.ndarray) -> None:
    layout = packed(lengths)
    ours, plain = (flat_of(layout).requires_grad_() for _ in range(2))
    weights = flat_of(layout, 1)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    loss, row = torch.zeros(()), 0
    for side, cells in zip(layout.rectangles, layout.cells(ours), strict=True):
        # Cells without a token take no part in what follows, as in masked attention.
        sizes = torch.from_numpy(lengths[row : row + side.n])
        kept = (torch.arange(side.width)[None] < sizes[:, None])[..., None] * cells.square()
        loss = loss + (side.put_back(kept) * weights[side.tokens]).sum()
        row += side.n
    loss.backward()
    sum((plain[a:b].square() * weights[a:b]).sum() for a, b in pairwise(starts)).backward()
    assert ours.grad is not None and torch.allclose(ours.grad, plain.grad, atol=1e-6)


def test_rows_of_one_length_are_views() -> None:
    layout = packed(np.array([4, 4, 4]))
    (side,) = layout.rectangles
    assert side.spread is side.gather is side.real is None
    flat = flat_of(layout)
    assert layout.cells(flat)[0].data_ptr() == flat.data_ptr() == side.put_back(side.take(flat)).data_ptr()


@pytest.mark.parametrize(("lengths", "width", "share"), [([3, 1, 2], 4, 0.5), ([4, 4], 4, 0.0)])
def test_a_padded_layout_is_one_rectangle_in_the_order_of_rows(lengths: list[int], width: int, share: float) -> None:
    layout = padded_layout(np.array(lengths), width, "cpu")
    (side,) = layout.rectangles
    flat = flat_of(layout)
    assert layout.tokens == len(lengths) * width and layout.padding == share
    assert torch.equal(layout.cells(flat)[0], flat.view(len(lengths), width, 3))
    assert torch.equal(side.put_back(side.take(flat)), flat)
    if share:
        assert side.real is not None and side.real.sum(1).tolist() == lengths
        assert all(row[:length].all() for row, length in zip(side.real, lengths, strict=True))
    else:
        assert side.real is None
