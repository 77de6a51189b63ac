"""Whose test item has the next number: against a plain count, the printed figure of Beauty, and damaged files."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data.authors import read_authors_folder
from bench.data.dataset import Dataset
from bench.errors import UserError
from bench.ragged import Ragged
from bench.report.groups import NUMBERINGS, Groups, follows_highest, read_groups, write_groups
from bench.splits import item_numbers, make_split


def split_of(histories, seed=2023):
    users = tuple(f"u{index}" for index in range(len(histories)))
    items = tuple(f"i{index}" for index in range(1 + max(max(row) for row in histories)))
    return make_split(Dataset("tiny", "by hand", users, items, Ragged.from_rows(histories)), seed)


def test_by_hand():
    # Numbers are item + 1 where items come in order: users 0 and 2 end on the next new item, user 1 on an old one.
    split = split_of([[0, 1, 2], [2, 1, 0], [0, 2, 3], [3, 0]])
    assert follows_highest(split, "appearance").tolist() == [True, False, True]
    # Of training interactions alone, items 0, 2, 3 are known in this order, item 1 comes last.
    assert item_numbers(split, "train").tolist() == [1, 4, 2, 3]
    assert follows_highest(split, "train").tolist() == [False, False, True]


HISTORIES = st.lists(st.lists(st.integers(0, 12), min_size=3, max_size=8, unique=True), min_size=1, max_size=12)


@given(HISTORIES, st.sampled_from(NUMBERINGS))
def test_against_a_plain_count(histories, numbering):
    split = split_of(histories)
    numbers = item_numbers(split, numbering)
    expected = [numbers[row[-1]] == max(numbers[item] for item in row[:-1]) + 1 for row in histories]
    assert follows_highest(split, numbering).tolist() == expected


def test_beauty_as_shipped(shared):
    """The rule that lists the next number first has HR@1 .0441 there (PUBLISHED.md): the share of these users."""
    split = make_split(read_authors_folder(shared / "data" / "beauty", "beauty"))
    groups = Groups.of(split)
    shares = {numbering: float(members.mean()) for numbering, members in groups.next.items()}
    assert round(shares["appearance"], 4) == 0.0441
    assert shares["random"] < shares["train"] < 0.01


def test_to_disk_and_back(tmp_path):
    split = split_of([[0, 1, 2], [2, 1, 0], [0, 2, 3], [3, 0]])
    path = tmp_path / "groups.parquet"
    assert read_groups(path, split.fingerprint) is None
    write_groups(split, path)
    found = read_groups(path, split.fingerprint)
    assert found.users.tolist() == [0, 1, 2]
    expected = Groups.of(split).next
    assert set(found.next) == {"appearance", "train", "random"}
    assert all(np.array_equal(found.next[name], expected[name]) for name in expected)
    before = path.read_bytes()
    write_groups(split, path)
    assert path.read_bytes() == before and [entry.name for entry in tmp_path.iterdir()] == ["groups.parquet"]


def test_groups_of_another_split_and_damaged_ones(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "groups.parquet"
    write_groups(split_of([[0, 1, 2]]), path)
    with pytest.raises(
        UserError, match=r"user groups are of another split .*; remove it and run without --report-only"
    ):
        read_groups(path, "other")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match="not a readable file of user groups"):
        read_groups(path, "other")
    pq.write_table(pa.table({"user": [1]}), path)
    with pytest.raises(UserError, match="not a readable file of user groups"):
        read_groups(path, "other")
