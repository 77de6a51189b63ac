"""Who may share the machine with whom."""

from __future__ import annotations

import threading

import pytest

from bench.progress import Progress
from bench.runs.lock import Busy
from bench.runs.machine import alone, conditions, machine_lock, sharing


class Listener(Progress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(autouse=True)
def own_lock(tmp_path, monkeypatch):
    """Not the lock of this machine's real runs."""
    monkeypatch.setattr("bench.runs.machine.machine_lock", lambda: tmp_path / "machine.lock")


def test_ordinary_runs_share_and_a_timed_one_refuses_to():
    refused = pytest.raises(Busy, match="needs the machine for itself")
    with sharing(Progress()), sharing(Progress()), refused, alone():
        pass
    with alone(), pytest.raises(Busy), alone():
        pass
    with alone():
        pass


def test_an_ordinary_run_waits_for_a_timed_one_and_says_so():
    listener, done = Listener(), []

    def ordinary() -> None:
        with sharing(listener):
            done.append(True)

    other = threading.Thread(target=ordinary)
    with alone():
        other.start()
        other.join(0.3)
        assert not done and "waiting" in listener.lines[0]
    other.join(5)
    assert done == [True]


def test_the_lock_is_one_a_user(monkeypatch):
    monkeypatch.undo()
    assert machine_lock() == machine_lock() and machine_lock().name.startswith("podium-machine-")


def test_conditions_are_plain_numbers():
    found = conditions()
    assert len(found["load_average"]) == 3 and all(load >= 0 for load in found["load_average"])
    assert found.get("clock_mhz", 1) > 0
