"""Silence, plain lines, bars, and durations in words."""

from __future__ import annotations

import io

import pytest

import bench.progress as progress
from bench.progress import ConsoleProgress, LoggedProgress, Progress, clock


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def seconds(monkeypatch):
    """A clock that each step moves by ten seconds."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def steps(n):
        for step in range(n):
            now[0] += 10.0
            yield step

    return steps


def test_the_base_is_silent_and_passes_steps_on(capsys):
    quiet = Progress()
    quiet.line("nothing")
    assert list(quiet.track(iter("abc"), 3, "work")) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


def test_plain_lines_say_what_is_left(seconds):
    stream = io.StringIO()
    assert list(ConsoleProgress(stream, "beauty: ").track(seconds(5), 5, "epoch 1")) == list(range(5))
    assert stream.getvalue().splitlines() == [
        "beauty: epoch 1: 2/5, about 30 s left",
        "beauty: epoch 1: 4/5, about 10 s left",
    ]


def test_a_log_keeps_lines_with_their_seconds(seconds):
    stream = io.StringIO()
    logged = LoggedProgress(ConsoleProgress(stream, "beauty: "))
    assert logged.log == ""
    logged.line("first")
    assert list(logged.track(seconds(2), 2, "epoch")) == [0, 1]
    logged.line("second")
    assert logged.log == "      0.0 s  first\n     20.0 s  second\n"
    assert stream.getvalue() == "beauty: first\nbeauty: second\n"


def test_quick_work_says_nothing():
    stream = io.StringIO()
    list(ConsoleProgress(stream).track(range(100), 100, "quick"))
    assert stream.getvalue() == ""


def test_a_step_that_fails_is_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        list(ConsoleProgress(io.StringIO()).track((1 // n for n in (1, 0)), 2, "bad"))


def test_a_terminal_gets_a_bar_with_its_label(monkeypatch):
    monkeypatch.setattr(progress, "_BAR_AFTER_S", 0.0)
    stream = Terminal()
    bar = ConsoleProgress(stream, "beauty: ")
    assert list(bar.track(range(3), 3, "epoch 1")) == [0, 1, 2]
    bar.line("done")
    assert "beauty: epoch 1" in stream.getvalue() and "beauty: done\n" in stream.getvalue()


def test_results_keep_stdout_to_themselves(capsys):
    ConsoleProgress().line("on stderr")
    assert capsys.readouterr() == ("", "on stderr\n")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
        (100_000, "27 h 46 min"),
    ],
)
def test_durations_for_people(seconds, words):
    assert clock(seconds) == words
