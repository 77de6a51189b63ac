"""The authors' folder format: real statistics, hand-made folders, round trips, and every mistake named."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bench.data.authors as authors
from bench.data.authors import read_authors_folder
from bench.data.dataset import Dataset, first_appearance
from bench.errors import UserError

HISTORIES = {1: [5, 3, 9], 7: [3, 4], 2: [9, 5, 4]}


def write(folder, sequential=None, **files):
    text = sequential
    if text is None:
        text = "".join(f"{user} {' '.join(map(str, items))}\n" for user, items in HISTORIES.items())
    (folder / "sequential.txt").write_text(text, encoding="utf-8")
    names = {"maps": "datamaps.json", "attributes": "item_attributes.json", "negatives": "negative.txt"}
    for key, content in files.items():
        (folder / names[key]).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def mistake(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_authors_folder(folder, "x")
    return str(caught.value)


def lists(dataset: Dataset) -> list[list[int]]:
    return [dataset.sequences[user].tolist() for user in range(dataset.n_users)]


@pytest.mark.parametrize(
    ("name", "statistics"), [("beauty", (22363, 12101, 198502)), ("sports", (35598, 18357, 296337))]
)
def test_real_data_has_the_papers_statistics_and_numbering(shared, name, statistics):
    folder = shared / "data" / name
    dataset = read_authors_folder(folder, name)
    assert (dataset.n_users, dataset.n_items, dataset.n_interactions) == statistics
    # The slow, obvious reading: one line at a time.
    lines = [line.split() for line in (folder / "sequential.txt").read_text().splitlines()]
    assert lists(dataset) == [[int(item) - 1 for item in line[1:]] for line in lines]
    maps = json.loads((folder / "datamaps.json").read_text())
    assert list(dataset.user_ids) == [maps["id2user"][line[0]] for line in lines]
    assert list(dataset.item_ids) == [maps["id2item"][str(i + 1)] for i in range(dataset.n_items)]
    # Items are shipped numbered by first appearance.
    appearance = first_appearance(dataset.sequences.values, dataset.n_items)
    assert np.array_equal(appearance, np.arange(dataset.n_items))
    attributes = json.loads((folder / "item_attributes.json").read_text())
    assert dataset.attributes is not None
    assert all(dataset.attributes[int(i) - 1].tolist() == row for i, row in attributes.items())
    assert [note.count for note in dataset.notes] == [0, 0]


def test_small_folder_by_hand(tmp_path):
    write(
        tmp_path,
        maps={
            "id2user": {"1": "ann", "7": "bob", "2": "cem"},
            "id2item": {"3": "c", "4": "d", "5": "e", "9": "i", "8": "h"},
        },
        attributes={"3": [2], "9": [1, 3], "8": [1]},
    )
    dataset = read_authors_folder(tmp_path, "hand")
    assert dataset.user_ids == ("ann", "bob", "cem")
    assert dataset.item_ids == ("c", "d", "e", "i")
    assert lists(dataset) == [[2, 0, 3], [0, 1], [3, 2, 1]]
    assert dataset.attributes is not None
    assert [dataset.attributes[i].tolist() for i in range(4)] == [[2], [], [], [1, 3]]
    assert {note.rule: note.count for note in dataset.notes}["items with attributes but no interactions left out"] == 1
    assert dataset.negatives is None and dataset.ratings is None


def test_numbers_are_ids_without_maps_and_odd_spacing_is_read(tmp_path):
    write(tmp_path, "﻿\r\n  4 10\t12  10 11 12\r\n\r\n 3 12")
    dataset = read_authors_folder(tmp_path, "odd")
    assert dataset.user_ids == ("4", "3") and dataset.item_ids == ("10", "11", "12")
    assert lists(dataset) == [[0, 2, 1], [2]]
    assert [note.count for note in dataset.notes] == [2, 2]


@given(
    st.dictionaries(
        st.integers(0, 10**6), st.lists(st.integers(0, 10**17), min_size=1, max_size=6), min_size=1, max_size=6
    ),
    st.integers(1, 40),
)
def test_round_trip(histories, block):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(authors, "_BLOCK", block)
        text = "\n".join(" ".join(map(str, [user, *items])) for user, items in histories.items())
        dataset = read_authors_folder(write(Path(folder), text), "trip")
    assert dataset.user_ids == tuple(map(str, histories))
    assert dataset.item_ids == tuple(map(str, sorted({i for items in histories.values() for i in items})))
    read = [[dataset.item_ids[i] for i in row] for row in lists(dataset)]
    assert read == [[str(i) for i in dict.fromkeys(items)] for items in histories.values()]
    dropped = sum(len(items) - len(set(items)) for items in histories.values())
    assert dataset.notes[1].count == dropped


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("1 2 3\n2 4 x5 6\n", "sequential.txt:2 field 3", "'x5' is not a whole number"),
        ("1 2 3\n\n2 4 -5\n", "sequential.txt:3 field 3", "'-5'"),
        ("1 2.0\n", "sequential.txt:1 field 2", "'2.0'"),
        ("1 2\r3 4\n", "sequential.txt:1 field 2", "not a whole number"),
        ("1 1234567890123456789\n", "sequential.txt:1 field 2", "not a whole number"),
        ("1 2 ３\n", "sequential.txt:1 field 3", "not a whole number"),
        ("1 2 3\n5\n", "sequential.txt:2 field 2", "user 5 has no items"),
        ("1 2 3\n\n2 3\n1 4\n", "sequential.txt:4 field 1", "user 1 already has line 1"),
        ("", "sequential.txt", "no interactions"),
        ("\n\n", "sequential.txt", "no interactions"),
    ],
)
def test_mistakes_in_sequences(tmp_path, text, line, what):
    message = mistake(write(tmp_path, text))
    assert f"{line}:" in message and what in message and "\n" not in message


@pytest.mark.parametrize(
    ("maps", "where", "what"),
    [
        ("{", "datamaps.json:1", "is not JSON"),
        ("[]", "datamaps.json", "not a JSON object"),
        ({"id2user": {}}, "datamaps.json", "no object 'id2item'"),
        (
            {"id2user": {"1": "a", "2": "b"}, "id2item": {"3": "c", "4": "d", "5": "e", "9": "i"}},
            "sequential.txt:2 field 1",
            "user 7 is missing from id2user",
        ),
        (
            {"id2user": {"1": "a", "2": "b", "7": "g"}, "id2item": {"3": "c", "5": "e", "9": "i"}},
            "sequential.txt:2 field 3",
            "item 4 is missing from id2item",
        ),
        (
            {"id2user": {"1": "a", "2": "b", "7": "g"}, "id2item": {"3": "c", "4": "c", "5": "e", "9": "i"}},
            "datamaps.json id2item.4",
            "'c' is also the id of 3",
        ),
        (
            {"id2user": {"1": "a", "2": ["b"], "7": "g"}, "id2item": {"3": "c", "4": "d", "5": "e", "9": "i"}},
            "datamaps.json id2user.2",
            "is not an id",
        ),
    ],
)
def test_mistakes_in_maps(tmp_path, maps, where, what):
    message = mistake(write(tmp_path, maps=maps))
    assert where in message and what in message


@pytest.mark.parametrize(
    ("attributes", "what"),
    [({"6": [1]}, "item '6': attributes for an item unknown"), ({"3": [0]}, "item '3'"), ({"3": 1}, "list of numbers")],
)
def test_mistakes_in_attributes(tmp_path, attributes, what):
    message = mistake(write(tmp_path, attributes=attributes))
    assert "item_attributes.json" in message and what in message


def folder_with_negatives(folder, change=lambda rows: None):
    """Users 2 and 1 with 60 items each out of 1..160, and the negatives they get once `change` has edited them."""
    histories = {2: range(1, 61), 1: range(101, 161)}
    rows = {1: list(range(1, 100)), 2: list(range(160, 61, -1))}
    text = "".join(f"{user} {' '.join(map(str, items))}\n" for user, items in histories.items())
    # A third user, who needs negatives as well, makes 61..100 known items.
    text += f"3 {' '.join(map(str, range(61, 101)))}\n"
    rows[3] = [*range(1, 61), *range(101, 140)]
    change(rows)
    negatives = "".join(f"{user} {' '.join(map(str, row))}\n" for user, row in rows.items())
    return write(folder, text, negatives=negatives)


def test_negatives_follow_their_users(tmp_path):
    dataset = read_authors_folder(folder_with_negatives(tmp_path), "x")
    assert dataset.user_ids == ("2", "1", "3")
    assert dataset.negatives is not None
    assert dataset.negatives[0].tolist() == list(range(159, 60, -1))
    assert dataset.negatives[1].tolist() == list(range(0, 99))
    assert dataset.negatives[2].tolist() == [*range(60), *range(100, 139)]


def _set(user, place, item):
    return lambda rows: rows[user].__setitem__(place, item)


@pytest.mark.parametrize(
    ("change", "where", "what"),
    [
        (lambda rows: rows[2].pop(), "negative.txt:2:", "98 negatives for user 2, not 99"),
        (lambda rows: rows[1].append(61), "negative.txt:1:", "100 negatives for user 1, not 99"),
        (_set(1, 0, 160), "negative.txt:1 field 2", "item 160 is the test item of user 1"),
        (_set(1, 4, 120), "negative.txt:1 field 6", "item 120 is in the history of user 1"),
        (_set(2, 98, 160), "negative.txt:2 field 100", "item 160 is repeated"),
        (_set(2, 5, 161), "negative.txt:2 field 7", "item 161 is not in sequential.txt"),
        (_set(2, 5, "a"), "negative.txt:2 field 7", "'a' is not a whole number"),
        (lambda rows: rows.update({8: rows.pop(2)}), "negative.txt:3 field 1", "user 8 is not in sequential.txt"),
        (lambda rows: rows.pop(1), "negative.txt:", "no negatives for user 1"),
    ],
)
def test_mistakes_in_negatives(tmp_path, change, where, what):
    message = mistake(folder_with_negatives(tmp_path, change))
    assert where in message and what in message


def test_user_twice_in_negatives(tmp_path):
    folder = folder_with_negatives(tmp_path)
    path = folder / "negative.txt"
    path.write_text(path.read_text() + path.read_text().splitlines()[0])
    assert "negative.txt:4 field 1: user 1 already has line 1" in mistake(folder)


def test_missing_and_unreadable_files(tmp_path):
    assert "sequential.txt: cannot be read" in mistake(tmp_path)
    (tmp_path / "sequential.txt").mkdir()
    assert "sequential.txt: cannot be read" in mistake(tmp_path)
