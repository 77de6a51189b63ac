"""What is said of the machines behind times."""

from dataclasses import replace

import pytest

from bench.report.inference import apart_note, timing_notes
from bench.report.machines import machine_in_words, timed_apart
from tests.bench.report.test_inference import figure_four, put_times

HERE = {"device": "cpu", "threads": 2, "environment": {"processor": "A", "cores": "4"}}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (HERE, "cpu (A, 4 cores), threads: 2"),
        ({"device": "cuda", "environment": {"gpu": "B", "processor": "A", "cores": "4"}}, "cuda (B)"),
        ({"device": "cuda:1", "environment": {"gpu": "B"}, "threads": 1}, "cuda:1 (B), threads: 1"),
        ({"device": "cpu"}, "cpu"),
        ({}, "an unknown device"),
    ],
)
def test_a_machine_is_told_by_what_computed(content, told):
    assert machine_in_words(content) == told


def test_nothing_is_said_of_times_of_one_machine():
    assert timed_apart([(0, "A"), (1, "A")], [(0, "A"), (1, "A"), (0, "A")]) == []
    assert timed_apart([], [(0, "A"), (1, "B")]) == []


def test_a_row_of_one_machine_among_others_says_which():
    (told,) = timed_apart([(0, "A"), (1, "A")], [(0, "A"), (1, "A"), (0, "B")])
    assert told == "timed on A, other rows on another machine: times do not compare"


def test_a_row_of_two_machines_says_which_seeds_ran_where():
    (told,) = timed_apart([(0, "A"), (1, "B"), (2, "B")], [(0, "A"), (1, "B"), (2, "B")])
    assert told.endswith("A (seeds 0); B (seeds 1, 2)") and "no spread over seeds" in told


def test_times_of_seeds_that_are_not_shown_are_not_told(tmp_path):
    """Rows show the times of their first seed that has some: other seeds may be of any machine."""
    found = dict.fromkeys([("1", 0), ("1", 1), ("3", 0), ("3", 1)], 0.1)
    plan = figure_four(tmp_path, (0, 1), found)
    for entry in plan.entries:
        if entry.record:
            put_times(entry.record, {"ours": (1.0, 1.0, 1.0)}, machine={"device": f"cpu of seed {entry.seed}"})
    first, third, tenth = (
        [entry for entry in plan.entries if entry.variant == variant] for variant in ("1", "3", "10")
    )
    assert [apart_note(row, plan) for row in (first, third, tenth)] == [[], [], []]
    (note,) = timing_notes(plan.entries)
    assert "seed: 0; cpu of seed 0, threads: 2" in note and "seed 1" not in note
    # The first row's times are now those of its second seed, and so of another machine.
    plan.entries = [replace(e, record=None) if (e.variant, e.seed) == ("1", 0) else e for e in plan.entries]
    first = [entry for entry in plan.entries if entry.variant == "1"]
    assert "timed on cpu of seed 1" in apart_note(first, plan)[0]
    assert "timed on cpu of seed 0" in apart_note(third, plan)[0]
    assert "seed: 0, 1; cpu of seed 0, threads: 2 and cpu of seed 1, threads: 2" in timing_notes(plan.entries)[0]
