"""The trie of a catalogue holds exactly its ids, and knows which prefixes a user's items begin with."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed")

from bench.ragged import Ragged  # noqa: E402
from pod.trie import Trie  # noqa: E402

settings.register_profile("podium", derandomize=True, database=None, deadline=None)
settings.load_profile("podium")

EOS = 1
TOKEN = st.integers(2, 7)
OPEN_IDS = st.lists(st.lists(TOKEN, min_size=1, max_size=4).map(tuple), min_size=1, max_size=30, unique=True)


def with_eos(ids):
    return Ragged.from_rows([(*row, EOS) for row in ids])


def prefix_of(trie: Trie, node: int) -> tuple[int, ...]:
    """The tokens that lead to a node, by climbing down from the empty prefix."""
    spelt, here = [], 0
    while here != node:
        first, count = int(trie.first[here]), int(trie.children[here])
        below = [
            child
            for child in range(first, first + count)
            if trie.low[child] <= trie.low[node] and trie.high[node] <= trie.high[child] and child <= node
        ]
        assert len(below) == 1
        here = below[0]
        spelt.append(int(trie.rows[trie.columns[here]]))
    return tuple(spelt)


@given(OPEN_IDS)
def test_nodes_are_the_prefixes(ids):
    trie = Trie.build(with_eos(ids), EOS)
    prefixes = {row[:length] for row in ids for length in range(len(row) + 1)}
    found = [prefix_of(trie, node) for node in range(len(trie.columns))]
    assert len(found) == len(prefixes) and set(found) == prefixes
    assert [len(prefix) for prefix in found] == sorted(map(len, prefixes))
    by_rank = sorted(range(len(ids)), key=lambda item: ids[item])
    for node, prefix in enumerate(found):
        below = [row for row in ids if row[: len(prefix)] == prefix]
        assert int(trie.item[node]) == (ids.index(prefix) if prefix in ids else -1)
        assert int(trie.longest[node]) == max(map(len, below))
        assert {ids[by_rank[rank]] for rank in range(trie.low[node], trie.high[node])} == set(below)
        following = {row[len(prefix)] for row in below if len(row) > len(prefix)}
        assert int(trie.children[node]) == len(following)
    for item, row in enumerate(ids):
        assert by_rank[int(trie.rank[item])] == item and int(trie.lengths[item]) == len(row)
        path = [int(node) for node in trie.paths[item] if node >= 0]
        assert [found[node] for node in path] == [row[:length] for length in range(len(row) + 1)]
    assert trie.rows.tolist() == sorted({EOS} | {token for row in ids for token in row})
    assert int(trie.rows[trie.eos]) == EOS and len(trie) == len(ids)
    assert trie.widest == tuple(
        max(int(trie.children[node]) for node, prefix in enumerate(found) if len(prefix) == length)
        for length in range(max(map(len, ids)) + 1)
    )
    assert (int(trie.rank[-1]), trie.paths[-1].max(), int(trie.lengths[-1])) == (len(ids), -1, 0)


@given(OPEN_IDS, st.data())
def test_what_is_allowed_is_what_the_sets_say(ids, data):
    trie = Trie.build(with_eos(ids), EOS)
    named = st.lists(st.integers(-1, len(ids) - 1), min_size=5, max_size=5)
    table = data.draw(st.lists(named, min_size=1, max_size=4))
    users, nodes = len(table), len(trie.columns)
    low, high = trie.low.repeat(users, 1), trie.high.repeat(users, 1)
    only, without = trie.only(torch.tensor(table)), trie.without(torch.tensor(table))
    below = [
        set(torch.nonzero((trie.rank[:-1] >= a) & (trie.rank[:-1] < b)).flatten().tolist())
        for a, b in zip(trie.low, trie.high, strict=True)
    ]
    for user, row in enumerate(table):
        chosen = set(row) - {-1}
        assert only.between(low, high)[user].tolist() == [bool(below[node] & chosen) for node in range(nodes)]
        assert without.between(low, high)[user].tolist() == [bool(below[node] - chosen) for node in range(nodes)]
    last = torch.tensor([users - 1])
    assert torch.equal(without.take(last).between(low[-1:], high[-1:]), without.between(low, high)[-1:])


def test_ids_that_end_by_themselves():
    trie = Trie.build(Ragged.from_rows([[9], [5], [7, 3], [7, 4]]), EOS)
    assert trie.eos == -1 and trie.rows.tolist() == [3, 4, 5, 7, 9]
    assert trie.item.tolist() == [-1, 1, -1, 0, 2, 3]
    assert trie.widest == (3, 2, 0)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[4, 1], [5, 6, 1], [4, 1]], "items 0 and 2 have the same id"),
        ([[5], [4], [4, 6]], "item 1 is the beginning of that of 2"),
        ([[4], [4, 5, 6], [3]], "item 0 is the beginning of that of 1"),
        ([[4, 1], [5]], "either every id"),
        ([[4, 1, 1]], "either every id"),
        ([[4, 1], [1]], "no id"),
        ([[4], []], "no id"),
        ([], "no id"),
    ],
)
def test_ids_that_cannot_be_told_apart_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        Trie.build(Ragged.from_rows(rows), EOS)


def test_a_large_catalogue_builds_at_once():
    numbers = np.random.default_rng(3).permutation(60_000)
    ids = with_eos([(10 + n // 1000, 80 + n // 10 % 100, 200 + n % 10) for n in numbers.tolist()])
    trie = Trie.build(ids, EOS)
    assert trie.item[trie.paths[:-1, 3]].tolist() == list(range(60_000))
    assert trie.widest == (60, 100, 10, 0)
