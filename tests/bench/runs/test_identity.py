"""Identity: everything that decides a result, and nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import pytest
from fakes import ASCENDING, NUMBERED, STEPPER, make_job, tiny_dataset, tiny_split

from bench.protocols import PROTOCOLS, with_numbering
from bench.ragged import Ragged
from bench.runs.identity import Job, canonical
from bench.splits import make_split


def test_canonical_json_by_hand():
    assert canonical({"b": [1, 2.5, None], "a": "é"}) == b'{"a":"\\u00e9","b":[1,2.5,null]}'


def test_the_key_is_a_function_of_the_identity():
    job = make_job(STEPPER, seed=2)
    assert job.key == make_job(STEPPER, seed=2).key and len(job.key) == 12
    assert job.folder == f"stepper-s2-{job.key}"
    assert json.loads(canonical(job.identity)) == job.identity


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"settings": STEPPER.settings(steps=4)},
        {"info": replace(STEPPER, version=2)},
        {"info": replace(STEPPER, name="other")},
        {"info": replace(STEPPER, tasks=("sequential",))},
        {"dataset_fingerprint": "x"},
        {"split_fingerprint": "x"},
    ],
)
def test_what_decides_a_result_changes_the_key(change):
    job = make_job(STEPPER)
    assert replace(job, **change).key != job.key


@pytest.mark.parametrize(
    "change",
    [
        {"preset": "paper"},
        {"dataset": "another name"},
        {"protocol": PROTOCOLS["published"]},
        {"info": replace(STEPPER, title="T", paper="P", epoch_cost=9.0, requires=("torch",))},
    ],
)
def test_what_does_not_leaves_it(change):
    job = make_job(STEPPER)
    assert replace(job, **change).key == job.key


def test_another_referee_judges_anew(monkeypatch):
    job = make_job()
    before = job.key
    monkeypatch.setattr("bench.runs.identity.REFEREE", 99)
    assert job.key != before


def test_a_protocol_counts_only_where_it_touches_the_model():
    assert make_job(NUMBERED, protocol="published").key != make_job(NUMBERED, protocol="sound").key
    assert make_job(ASCENDING, protocol="published").key == make_job(ASCENDING, protocol="sound").key
    job = make_job(NUMBERED, protocol="published")
    assert job.identity["protocol"] == {"item_numbering": "appearance"}
    renumbered = replace(job, protocol=with_numbering(PROTOCOLS["published"], "train"))
    assert renumbered.key == make_job(NUMBERED, protocol="sound").key


def test_deterministic_models_have_one_seed():
    assert make_job(ASCENDING, seed=7).seed == 0 and make_job(STEPPER, seed=7).seed == 7


def test_data_and_candidates_are_in_it():
    split = tiny_split()
    keys = {make_job(split=split).key, make_job(split=make_split(tiny_dataset(), seed=1)).key}
    more = make_split(tiny_dataset(attributes=Ragged.from_rows([[1]] * 8)))
    assert len(keys | {make_job(split=more).key}) == 3
    assert make_job(split=make_split(tiny_dataset("renamed"))).key == make_job(split=split).key


def test_settings_with_tuples_are_json_ready():
    @dataclass(frozen=True)
    class Settings:
        layers: tuple[int, ...] = (64, 32)

    job: Job = replace(make_job(STEPPER), settings=Settings())
    assert job.identity["settings"] == {"layers": [64, 32]}
