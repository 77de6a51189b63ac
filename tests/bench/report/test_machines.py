"""What is said of the machines behind times."""

import pytest

from bench.report.machines import machine_in_words, timed_apart

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
    assert told.endswith("A (seed 0); B (seeds 1, 2)") and "no spread over seeds" in told
