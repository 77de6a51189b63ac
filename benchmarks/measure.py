"""Measuring one step in a process of its own, so that its peak memory is its own, and holding it to a bar."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.efficiency import peak_memory_mib, timed

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Bar:
    """seconds: of wall time; of CPU time where the machine was busy with other work. gib: peak resident size."""

    seconds: float
    gib: float


def finish(work: Callable[[], object]) -> None:
    """In the process of one step: do the work and report what it took as a line of JSON; set-up goes before."""
    with timed() as timing:
        outcome = work()
    peak = peak_memory_mib() / 1024
    print(json.dumps({"wall": timing.wall, "cpu": timing.cpu, "gib": peak, "outcome": str(outcome)}))


def hold(module: str, steps: Mapping[str, Bar], *arguments: str) -> int:
    """Run `python -m module STEP arguments…` for each step, print figures and verdicts; returns how many are missed."""
    missed = 0
    print(f"{'step':<28}{'wall s':>9}{'cpu s':>9}{'GiB':>8}   {'bar':<22}verdict")
    for step, bar in steps.items():
        found = json.loads(_in_new_process([sys.executable, "-m", module, step, *arguments]))
        verdict = _verdict(bar, found)
        missed += verdict == "MISSED"
        limits = f"{bar.seconds:g} s, {bar.gib:g} GiB"
        figures = f"{found['wall']:>9.2f}{found['cpu']:>9.2f}{found['gib']:>8.2f}"
        print(f"{step:<28}{figures}   {limits:<22}{verdict}   {found['outcome']}", flush=True)
    return missed


def _verdict(bar: Bar, found: Mapping[str, float]) -> str:
    if found["gib"] > bar.gib or found["cpu"] > bar.seconds:
        return "MISSED"
    if found["wall"] <= bar.seconds:
        return "met"
    # One thread at work: wall time beyond CPU time was spent waiting, for other processes or for the disk.
    busy = os.getloadavg()[0] > (os.cpu_count() or 1)
    return "met in CPU time, machine busy" if busy else "MISSED"


def _in_new_process(command: Sequence[str]) -> str:
    done = subprocess.run(command, env={**os.environ, **ONE_THREAD}, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip().splitlines()[-1]
