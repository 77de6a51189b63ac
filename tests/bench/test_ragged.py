"""Ragged rows against plain lists."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.ragged import Ragged, offsets_of

rows_of_numbers = st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=7), max_size=9)


def plain(ragged: Ragged) -> list[list[int]]:
    return [ragged[row].tolist() for row in range(len(ragged))]


@given(rows_of_numbers)
def test_rows_come_back_as_they_went_in(rows):
    ragged = Ragged.from_rows(rows)
    assert plain(ragged) == rows and len(ragged) == len(rows)
    assert ragged.values.dtype == np.int32 and ragged.offsets.dtype == np.int64
    assert ragged.lengths.tolist() == [len(row) for row in rows]
    assert ragged.row_of.tolist() == [place for place, row in enumerate(rows) for _ in row]


@given(rows_of_numbers, st.integers(0, 9))
def test_tail_and_padded_are_slices_of_lists(rows, width):
    ragged = Ragged.from_rows(rows)
    cut = [row[len(row) - width :] if len(row) > width else row for row in rows]
    assert plain(ragged.tail(width)) == cut
    padded = ragged.padded(width, fill=-7)
    assert padded.shape == (len(rows), width) and padded.dtype == np.int32
    assert padded.tolist() == [row + [-7] * (width - len(row)) for row in cut]


@given(rows_of_numbers.filter(bool), st.data())
def test_take_and_drop_last_are_indexing(rows, data):
    ragged = Ragged.from_rows(rows)
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=12))
    assert plain(ragged.take(np.array(chosen, np.int64))) == [rows[row] for row in chosen]
    counts = data.draw(st.lists(st.integers(0, 9), min_size=len(rows), max_size=len(rows)))
    dropped = ragged.drop_last(np.array(counts))
    assert plain(dropped) == [row[: max(0, len(row) - count)] for row, count in zip(rows, counts, strict=True)]


@given(rows_of_numbers, st.data())
def test_slice_rows_takes_absolute_positions(rows, data):
    ragged = Ragged.from_rows(rows)
    total = len(ragged.values)
    bounds = data.draw(st.lists(st.tuples(st.integers(0, total), st.integers(0, total)), max_size=6))
    starts, stops = np.array([b[0] for b in bounds], np.int64), np.array([b[1] for b in bounds], np.int64)
    assert plain(ragged.slice_rows(starts, stops)) == [ragged.values[a:b].tolist() for a, b in bounds]


def test_a_row_that_is_not_there():
    ragged = Ragged.from_rows([[1], []])
    assert [row.tolist() for row in ragged] == [[1], []]
    for row in (2, -1):
        with pytest.raises(IndexError):
            ragged[row]


def test_rows_share_memory_and_numbers_must_fit():
    ragged = Ragged.from_rows([[1, 2], [3]])
    assert np.shares_memory(ragged[0], ragged.values)
    with pytest.raises(OverflowError):
        Ragged.from_rows([[2**31]])


def test_no_rows_at_all():
    empty = Ragged.from_rows([])
    assert len(empty) == 0 and len(empty.values) == 0 and empty.padded(3).shape == (0, 3)
    assert plain(empty.take(np.empty(0, np.int64))) == []


@given(st.lists(st.integers(0, 100), max_size=20))
def test_offsets_bound_the_rows(lengths):
    offsets = offsets_of(np.array(lengths, np.int64))
    assert offsets[0] == 0 and offsets[-1] == sum(lengths) and np.diff(offsets).tolist() == lengths
