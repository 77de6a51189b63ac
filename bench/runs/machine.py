"""Sharing the machine: ordinary runs side by side, timed ones alone, and what the machine was like meanwhile."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.progress import Progress
from bench.runs.lock import Busy

_BUSY = "a timed run needs the machine for itself, and another run is using it; the same command goes on later"


def machine_lock() -> Path:
    """One file a user and machine, whatever folder results go to."""
    return Path(tempfile.gettempdir()) / f"podium-machine-{os.getuid()}.lock"


@contextmanager
def sharing(progress: Progress) -> Iterator[None]:
    """Run beside other runs; waits, and says so, while a timed one has the machine."""
    with machine_lock().open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.line("waiting: a timed run has the machine for itself")
            fcntl.flock(stream, fcntl.LOCK_SH)
        yield


@contextmanager
def alone() -> Iterator[None]:
    """Keep other runs of ours off the machine; Busy where there are some."""
    with machine_lock().open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(_BUSY) from None
        yield


def conditions() -> dict[str, Any]:
    """What else decides timings, JSON-ready: load average, and the clock rate in MHz where it can be read."""
    found: dict[str, Any] = {"load_average": [round(load, 2) for load in os.getloadavg()]}
    rates = _clock_rates()
    if rates:
        found["clock_mhz"] = round(sum(rates) / len(rates))
    return found


def _clock_rates() -> list[float]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
    return [float(line.split(":")[1]) for line in lines if line.startswith("cpu MHz")]
