"""Locks: one holder at a time, gone with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bench.runs.lock import Busy, locked

ROOT = Path(__file__).resolve().parents[3]
HOLD = "import sys,time\nfrom pathlib import Path\nfrom bench.runs.lock import locked\n"
HOLD += "with locked(Path(sys.argv[1])):\n print('held', flush=True); time.sleep(60)"


def holder(path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_a_second_holder_is_told_who_has_it(tmp_path):
    path = tmp_path / "deep" / "a.lock"
    with locked(path):
        with pytest.raises(Busy, match=f"process {os.getpid()}"), locked(path):
            raise AssertionError("two holders")
        with locked(tmp_path / "other.lock"):
            pass
    assert not path.exists()
    with locked(path):
        assert path.exists()


def test_an_error_releases(tmp_path):
    with pytest.raises(KeyError), locked(tmp_path / "a.lock"):
        raise KeyError
    with locked(tmp_path / "a.lock"):
        pass


def test_a_killed_holder_blocks_nobody(tmp_path):
    path = tmp_path / "a.lock"
    process = holder(path)
    with pytest.raises(Busy, match=f"process {process.pid}"), locked(path):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert path.exists()
    with locked(path):
        pass
    assert not path.exists()


def test_waiting_ends_with_the_holder(tmp_path):
    path, order = tmp_path / "a.lock", []

    def second():
        with locked(path, wait=True):
            order.append("second")

    with locked(path):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.1)
        order.append("first")
    thread.join(timeout=10)
    assert order == ["first", "second"]


def test_many_threads_never_overlap(tmp_path):
    inside, worst = [0], [0]

    def go():
        for _ in range(20):
            with locked(tmp_path / "a.lock", wait=True):
                inside[0] += 1
                worst[0] = max(worst[0], inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert worst == [1]
