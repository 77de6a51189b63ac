"""Statistics and samples of explanation records against hand counts, and the authors' shape there and back."""

from __future__ import annotations

import json

import numpy as np

from bench.data.dataset import Dataset
from bench.explanation_report import explanation_json, records, sample_rows, statistics
from bench.explanations import Explanations, read_authors
from bench.ragged import Ragged

DATASET = Dataset("small", "test", ("a", "b"), ("x", "y", "z"), Ragged.from_rows([[0, 1, 2], [1]]))
SMALL = Explanations(
    np.array([0, 0, 1], np.int32),
    np.array([0, 2, 1], np.int32),
    ("the tone is warm", "great case", "the tone is warm"),
    ("tone", "case", "tone"),
    np.array([0, 1, 2], np.int8),
)


def test_statistics_by_hand():
    assert statistics(SMALL, DATASET) == {
        "records": 3,
        "training records": 1,
        "validation records": 1,
        "test records": 1,
        "interactions explained, %": 75.0,
        "users with a record": 2,
        "items with a record": 3,
        "features": 2,
        "words a record, mean": 10 / 3,
        "words a record, 95th percentile": 4.0,
        "different words": 6,
        "different sentences, %": 200 / 3,
    }


def test_records_name_the_sources_ids():
    assert list(records(SMALL, DATASET, np.array([1]))) == [
        {"user": "a", "item": "z", "explanation": "great case", "feature": "case"}
    ]
    assert [row["item"] for row in records(SMALL, DATASET)] == ["x", "z", "y"]


def test_a_sample_is_drawn_once_and_for_all():
    assert sample_rows(SMALL).tolist() == [0, 1, 2]
    numbers = np.arange(500, dtype=np.int32)
    many = Explanations(numbers, numbers, ("the tone",) * 500, ("tone",) * 500, np.zeros(500, np.int8))
    rows = sample_rows(many)
    assert len(set(rows.tolist())) == 20 and np.array_equal(rows, sample_rows(many))
    assert not np.array_equal(rows, sample_rows(many, seed=1))
    assert (np.diff(rows) > 0).all() and rows.max() > 250  # not just the first ones


def test_the_authors_shape_there_and_back(tmp_path):
    path = tmp_path / "explanation.json"
    path.write_text(json.dumps(explanation_json(SMALL, DATASET)))
    assert read_authors(path, DATASET).fingerprint == SMALL.fingerprint
