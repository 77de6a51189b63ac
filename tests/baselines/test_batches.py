"""Training rows against brute force: every target once, with the right history, in batches that lose nothing."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from baselines._recbole.batches import (
    NegativeSampler,
    Rows,
    batches,
    end_positions,
    prefixes,
    right_padded,
    windows,
)
from bench.ragged import Ragged

# Values are unique over all users, so a target names its place.
shapes = st.lists(st.integers(0, 40), min_size=1, max_size=8)
widths = st.integers(1, 12).flatmap(lambda width: st.tuples(st.just(width), st.integers(1, width)))


def sequences_of(lengths: list[int]) -> Ragged:
    edges = np.cumsum([0, *lengths])
    return Ragged.from_rows([np.arange(low, high) for low, high in pairwise(edges)])


def pairs_of(rows: Rows) -> list[tuple[int, int, list[int]]]:
    """(target, user, history it sees) for each supervised position."""
    found = []
    for row in range(len(rows.users)):
        items, targets = rows.inputs[row].tolist(), rows.targets[row].tolist()
        for back, target in enumerate(reversed(targets)):
            found.append((target, int(rows.users[row]), items[: len(items) - back]))
    return found


def prefixes_by_hand(lengths: list[int], width: int) -> list[tuple[int, int, list[int]]]:
    found = []
    for user, items in enumerate(sequences_of(lengths)[u].tolist() for u in range(len(lengths))):
        found += [(items[i], user, items[max(0, i - width) : i]) for i in range(1, len(items))]
    return found


@settings(deadline=None)
@given(shapes, st.integers(1, 12))
def test_prefixes_are_every_target_with_the_items_before_it(lengths, width):
    assert pairs_of(prefixes(sequences_of(lengths), width)) == prefixes_by_hand(lengths, width)


@settings(deadline=None)
@given(shapes, widths)
def test_windows_supervise_every_target_once_with_a_suffix_of_its_history(lengths, how):
    width, stride = how
    rows = windows(sequences_of(lengths), width, stride)
    found = {target: (user, history) for target, user, history in pairs_of(rows)}
    expected = {target: (user, history) for target, user, history in prefixes_by_hand(lengths, 10**6)}
    assert len(rows.targets.values) == len(found) == len(expected)
    assert found.keys() == expected.keys()
    for target, (user, history) in found.items():
        owner, whole = expected[target]
        assert user == owner and history == whole[-len(history) :]
        assert min(len(whole), width - stride + 1) <= len(history) <= width
        if lengths[user] <= width + 1:
            assert history == whole


@settings(deadline=None)
@given(shapes, st.integers(1, 12))
def test_windows_of_stride_one_are_the_prefixes(lengths, width):
    assert sorted(pairs_of(windows(sequences_of(lengths), width, 1))) == prefixes_by_hand(lengths, width)


@settings(deadline=None)
@given(shapes, widths)
def test_windows_cost_few_rows(lengths, how):
    width, stride = how
    rows = windows(sequences_of(lengths), width, stride)
    expected = [1 + max(0, -(-(n - 1 - width) // stride)) for n in lengths if n >= 2]
    assert sorted(Counter(rows.users.tolist()).values()) == sorted(expected)
    assert rows.inputs.lengths.max(initial=0) <= width


@settings(deadline=None)
@given(shapes, widths, st.integers(1, 60), st.integers(0, 5))
def test_batches_are_a_partition_of_about_the_asked_size(lengths, how, size, seed):
    rows = windows(sequences_of(lengths), *how)
    pieces = list(batches(rows, size, np.random.default_rng(seed)))
    assert all(len(piece) for piece in pieces)
    assert sorted(np.concatenate([*pieces, np.empty(0, int)]).tolist()) == list(range(len(rows.users)))
    longest = int(rows.targets.lengths.max(initial=0))
    totals = [int(rows.targets.lengths[piece].sum()) for piece in pieces]
    assert all(total < size + longest for total in totals)
    # All but the last of a sorted run are full, up to the row that did not fit.
    assert sum(total <= size - longest for total in totals) <= 1


def test_batches_group_like_lengths_and_change_with_the_epoch():
    rng = np.random.default_rng(0)
    rows = prefixes(sequences_of(rng.integers(2, 40, 400).tolist()), 50)
    generator = np.random.default_rng(1)
    first, second = (list(batches(rows, 128, generator)) for _ in range(2))
    assert [p.tolist() for p in first] != [p.tolist() for p in second]
    assert {frozenset(p.tolist()) for p in first} != {frozenset(p.tolist()) for p in second}
    again = np.random.default_rng(1)
    assert [p.tolist() for p in batches(rows, 128, again)] == [p.tolist() for p in first]
    lengths = rows.inputs.lengths
    padded = sum(len(p) * int(lengths[p].max()) for p in first)
    assert padded < 1.15 * lengths.sum()
    widest = [int(lengths[p].max()) for p in first]
    assert widest != sorted(widest)


def test_batches_sort_by_the_given_key_first():
    rows = prefixes(sequences_of([30] * 40), 50)
    key = np.arange(len(rows.users)) % 3
    mixed = sum(len(set(key[p])) > 1 for p in batches(rows, 20, np.random.default_rng(0), by=key))
    assert mixed <= 2 * (1 + len(rows.users) // (20 * 16))


def test_negatives_are_never_seen_items_and_otherwise_uniform():
    seen = [[0, 3], [], [1, 2, 4, 5, 6, 7, 8], [9]]
    sampler = NegativeSampler(Ragged.from_rows(seen), 10)
    users = np.repeat(np.arange(4), 20_000)
    drawn = sampler.draw(users, np.random.default_rng(7))
    assert drawn.shape == users.shape
    for user, items in enumerate(seen):
        counts = np.bincount(drawn[users == user], minlength=10)
        assert not counts[items].any()
        assert chisquare(np.delete(counts, items)).pvalue > 1e-3
    assert np.array_equal(drawn, sampler.draw(users, np.random.default_rng(7)))


@pytest.mark.timeout(20)
def test_a_user_who_has_had_everything_gets_any_item():
    sampler = NegativeSampler(Ragged.from_rows([[2, 0, 1], [0, 1]]), 3)
    drawn = sampler.draw(np.repeat([0, 1], 300), np.random.default_rng(0))
    assert set(drawn[:300].tolist()) == {0, 1, 2} and set(drawn[300:].tolist()) == {2}


def test_right_padded_by_hand():
    rows = Ragged.from_rows([[5, 6], [], [7, 8, 9]])
    assert right_padded(rows, 4).tolist() == [[5, 6, 0, 0], [0, 0, 0, 0], [7, 8, 9, 0]]
    assert right_padded(rows, 3).dtype == np.int64


def test_end_positions_by_hand():
    rows = Ragged.from_rows([[5, 6], [1], [7, 8, 9]])
    row, column = end_positions(rows, np.array([1, 1, 3]))
    assert row.tolist() == [0, 1, 2, 2, 2] and column.tolist() == [1, 0, 0, 1, 2]
