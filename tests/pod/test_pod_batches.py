"""Examples and the batches made of them, against rows put together one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from bench.ragged import Ragged  # noqa: E402
from pod.batches import PAD, START, TASK_NUMBERS, Batch, Examples, Shape, joined, make_batch  # noqa: E402
from pod.layout import Layout  # noqa: E402

ROW = st.tuples(
    st.integers(0, 2),
    st.lists(st.integers(1, 99), min_size=1, max_size=30),
    st.lists(st.integers(1, 99), min_size=1, max_size=9),
)
ROWS = st.lists(ROW, min_size=1, max_size=12)


def examples_of(rows: list[tuple[int, list[int], list[int]]], targets: bool = True) -> Examples:
    """A row's whole-word indices are its ids again, plus 100."""
    ids = Ragged.from_rows([row for _, row, _ in rows])
    words = Ragged(ids.values + 100, ids.offsets)
    said = Ragged.from_rows([row for _, _, row in rows]) if targets else None
    return Examples(np.array([task for task, _, _ in rows]), ids, words, said)


def rows_in(values: Any, layout: Layout) -> list[list[int]]:
    """A flat tensor as the rows that a layout gives it."""
    ends = np.cumsum(layout.widths)
    return [row.tolist() for row in np.split(values.numpy(), ends[:-1])]


def texts_of(examples: Examples) -> list[tuple[int, list[int], list[int], list[int]]]:
    said = examples.targets
    return [
        (
            int(examples.tasks[row]),
            examples.ids[row].tolist(),
            examples.words[row].tolist(),
            said[row].tolist() if said else [],
        )
        for row in range(len(examples))
    ]


def padded(row: list[int], width: int) -> list[int]:
    return row + [PAD] * (width - len(row))


def check(batch: Batch, examples: Examples, vectors: int, widths: tuple[int, int] | None) -> None:
    """Every tensor of a batch against its rows. widths: of padded inputs and targets; None: packed."""
    rows = [texts_of(examples)[place] for place in batch.order]
    assert batch.outputs is not None
    ids, words = rows_in(batch.ids, batch.inputs), rows_in(batch.words, batch.inputs)
    targets, shifted = rows_in(batch.targets, batch.outputs), rows_in(batch.shifted, batch.outputs)
    front = [PAD] * vectors
    for place, (_, text, marks, said) in enumerate(rows):
        wide, high = widths or (vectors + len(text), len(said))
        assert ids[place] == padded(front + text, wide) and words[place] == padded(front + marks, wide)
        assert targets[place] == padded(said, high)
        assert shifted[place] == [START, *padded(said, high)[:-1]]
    starts = np.concatenate([[0], np.cumsum(batch.inputs.widths)[:-1]])
    assert batch.slots.tolist() == [start + k for start in starts for k in range(vectors)]
    assert batch.prompts.tolist() == [task * vectors + k for task, *_ in rows for k in range(vectors)]
    assert {tensor.dtype for tensor in (batch.ids, batch.words, batch.targets, batch.shifted)} == {torch.int64}


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(0, 4))
def test_a_packed_batch_holds_every_row_and_nothing_else(rows: Any, vectors: int) -> None:
    examples = examples_of(rows)
    batch = make_batch(examples, Shape(vectors), "cpu")
    check(batch, examples, vectors, None)
    assert sorted(batch.order) == list(range(len(rows)))
    assert batch.inputs.padding == 0.0 == batch.outputs.padding  # type: ignore[union-attr]
    # Like lengths lie together, and rows of both sides in the same rectangles: cross-attention pairs them.
    keys = [(len(examples.ids[row]), len(examples.targets[row])) for row in batch.order]  # type: ignore[index]
    assert keys == sorted(keys)
    assert [side.n for side in batch.inputs.rectangles] == [side.n for side in batch.outputs.rectangles]  # type: ignore[union-attr]


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(0, 4))
def test_a_padded_batch_keeps_the_order_and_is_as_wide_as_its_longest_row(rows: Any, vectors: int) -> None:
    examples = examples_of(rows)
    batch = make_batch(examples, Shape(vectors, packed=False), "cpu")
    assert batch.order.tolist() == list(range(len(rows)))
    check(batch, examples, vectors, (vectors + max(len(row) for _, row, _ in rows), max(len(row) for *_, row in rows)))


@settings(max_examples=40, deadline=None)
@given(ROWS, st.booleans(), st.integers(1, 5))
def test_weights_are_the_share_of_each_target_in_the_steps_loss(rows: Any, packed: bool, parts: int) -> None:
    examples = examples_of(rows)
    total = np.zeros(len(rows))
    for places in np.array_split(np.arange(len(rows)), min(parts, len(rows))):
        part = examples.take(places)
        batch = make_batch(part, Shape(1, packed), "cpu", whole=examples)
        assert batch.outputs is not None
        for place, weights in enumerate(rows_in(batch.weights, batch.outputs)):
            row = places[batch.order[place]]
            length = len(rows[row][2])
            assert weights[:length] == pytest.approx([1 / length / len(rows)] * length)
            assert not any(weights[length:])
            total[row] += sum(weights)
    assert total == pytest.approx(1 / len(rows))


@settings(max_examples=40, deadline=None)
@given(ROWS, st.integers(1, 5))
def test_parts_of_a_padded_step_are_as_wide_as_the_whole(rows: Any, parts: int) -> None:
    examples = examples_of(rows)
    wide, high = 2 + max(len(row) for _, row, _ in rows), max(len(row) for *_, row in rows)
    counted = Shape(2, packed=False, averaging="padded-token")
    for places in np.array_split(np.arange(len(rows)), min(parts, len(rows))):
        part = examples.take(places)
        batch = make_batch(part, counted, "cpu", whole=examples)
        check(batch, part, 2, (wide, high))
        # Padding counts like any target (PUBLISHED.md, 3).
        assert batch.weights.tolist() == pytest.approx([1 / (len(rows) * high)] * (len(places) * high))


def test_a_batch_by_hand() -> None:
    tasks = [TASK_NUMBERS["topn"], TASK_NUMBERS["explanation"]]
    examples = examples_of([(tasks[0], [11, 12, 1], [21, 1]), (tasks[1], [13, 1], [22, 23, 1])])
    batch = make_batch(examples, Shape(2), "cpu")
    assert batch.order.tolist() == [1, 0]
    assert batch.ids.tolist() == [0, 0, 13, 1, 0, 0, 11, 12, 1]
    assert batch.words.tolist() == [0, 0, 113, 101, 0, 0, 111, 112, 101]
    assert batch.slots.tolist() == [0, 1, 4, 5] and batch.prompts.tolist() == [0, 1, 4, 5]
    assert batch.targets.tolist() == [22, 23, 1, 21, 1] and batch.shifted.tolist() == [0, 22, 23, 0, 21]
    assert batch.weights.tolist() == pytest.approx([1 / 6] * 3 + [1 / 4] * 2)
    other = make_batch(examples, Shape(1, packed=False), "cpu")
    assert other.ids.tolist() == [0, 11, 12, 1, 0, 13, 1, 0] and other.inputs.padding == 1 / 8
    assert other.targets.tolist() == [21, 1, 0, 22, 23, 1]


def test_without_targets_there_is_nothing_to_say() -> None:
    examples = examples_of([(0, [5, 1], [9]), (1, [6, 7, 1], [9])], targets=False)
    for packed in (True, False):
        batch = make_batch(examples, Shape(1, packed), "cpu")
        assert batch.outputs is None
        assert len(batch.targets) == len(batch.shifted) == len(batch.weights) == 0
        texts = [row[1 : 1 + length] for row, length in zip(rows_in(batch.ids, batch.inputs), (2, 3), strict=True)]
        assert texts == [[5, 1], [6, 7, 1]]


@settings(max_examples=40, deadline=None)
@given(ROWS, st.data())
def test_taking_and_joining_are_those_of_lists(rows: Any, data: st.DataObject) -> None:
    examples, listed = examples_of(rows), texts_of(examples_of(rows))
    places = np.array(data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8)), dtype=np.int64)
    assert texts_of(examples.take(places)) == [listed[place] for place in places]
    assert texts_of(Examples.join([examples, examples.take(places)])) == listed + [listed[place] for place in places]
    assert Examples.join([examples, examples_of(rows, targets=False)]).targets is None
    twice = joined([examples.ids, examples.ids])
    assert [row.tolist() for row in twice] == [text for _, text, _, _ in listed] * 2


def test_counted_padding_needs_padding() -> None:
    with pytest.raises(ValueError, match="needs padded batches"):
        Shape(3, packed=True, averaging="padded-token")
