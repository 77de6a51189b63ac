"""The authors' explanation.json: numbers through the maps beside it, ids as they are, and every way to be wrong."""

from __future__ import annotations

import json

import pytest

from bench.data.dataset import Dataset
from bench.data.explanation_file import FileRecord, read_explanation_file
from bench.errors import UserError
from bench.ragged import Ragged

DATASET = Dataset("small", "test", ("ann", "bob", "7"), ("lamp", "tent"), Ragged.from_rows([[0, 1], [1], [0]]))
GOOD = {"user": "ann", "item": "lamp", "explanation": "the lamp is  bright ", "feature": "lamp"}


def write(folder, train=(), val=(), test=(), maps=None):
    path = folder / "explanation.json"
    path.write_text(json.dumps({"train": list(train), "val": list(val), "test": list(test)}))
    if maps is not None:
        (folder / "datamaps.json").write_text(json.dumps(maps))
    return path


def read(*arguments, **more):
    return list(read_explanation_file(write(*arguments, **more), DATASET))


def test_records_in_file_order_with_their_part(tmp_path):
    other = {"user": "bob", "item": "tent", "explanation": "the tent is dry"}
    assert read(tmp_path, [GOOD], [other], [GOOD | {"user": 7}]) == [
        FileRecord(0, 0, "the lamp is bright", "lamp", 0),
        FileRecord(1, 1, "the tent is dry", "", 1),
        FileRecord(2, 0, "the lamp is bright", "lamp", 2),
    ]


def test_numbers_go_through_the_maps_beside_the_file(tmp_path):
    maps = {"id2user": {"1": "bob", "2": "ann"}, "id2item": {"1": "tent", "2": "lamp"}}
    numbered = GOOD | {"user": 2, "item": "1"}
    assert read(tmp_path, [numbered, GOOD], maps=maps) == [
        FileRecord(0, 1, "the lamp is bright", "lamp", 0),
        FileRecord(0, 0, "the lamp is bright", "lamp", 0),
    ]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (GOOD | {"user": "eve"}, r"train\[1\] field user: user 'eve' is unknown to dataset small"),
        (GOOD | {"item": 3}, r"train\[1\] field item: item 3 is unknown"),
        (GOOD | {"user": None}, "field user: None is not an id"),
        (GOOD | {"user": True}, "field user: True is not an id"),
        ({"item": "lamp", "explanation": "x"}, "field user: the field is missing"),
        (GOOD | {"explanation": " "}, "field explanation: is not a sentence"),
        (GOOD | {"explanation": 5}, "field explanation: is not a sentence"),
        ({"user": "ann", "item": "lamp"}, "field explanation: the field is missing"),
        (GOOD | {"feature": 5}, "field feature: is not a sentence"),
        ("text", r"train\[1\]: is not an object"),
    ],
)
def test_bad_records_are_named(tmp_path, record, words):
    with pytest.raises(UserError, match=words):
        read(tmp_path, [GOOD, record])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"train": [],', "explanation.json:1: is not JSON"),
        ("[]", "is not a JSON object"),
        ('{"train": [], "val": []}', "has no list 'test'"),
        ('{"train": {}, "val": [], "test": []}', "has no list 'train'"),
    ],
)
def test_bad_files_are_named(tmp_path, content, words):
    path = tmp_path / "explanation.json"
    path.write_text(content)
    with pytest.raises(UserError, match=words):
        list(read_explanation_file(path, DATASET))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.json: cannot be read"):
        list(read_explanation_file(tmp_path / "none.json", DATASET))
