"""Measuring in a process of its own: one step and its peak memory, or several ways of one work by turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

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


@dataclass
class Costs:
    """CPU-seconds and wall seconds that a user, a sample or a step took in each round."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def run(self, work: Callable[[], Any], units: int = 1) -> Any:
        """Do the work, which is so many users, samples or steps."""
        with timed() as spent:
            outcome = work()
        self.cpu.append(spent.cpu / units)
        self.wall.append(spent.wall / units)
        return outcome


def gigaflops(product: Callable[[Any, Any], Any] | None = None, size: int = 1024) -> float:
    """Billions of floating-point operations a CPU-second in a square matrix product: torch's, or another one."""
    import torch

    left = torch.randn(size, size, generator=torch.Generator().manual_seed(0))
    rates = []
    for _ in range(7):
        with timed() as spent:
            left @ left if product is None else product(left, left)
        rates.append(2e-9 * size**3 / spent.cpu)
    return median(rates)


def figures(module: str, *arguments: str) -> dict[str, Any]:
    """What `python -m module arguments…` prints last, a line of JSON, in a process with one thread."""
    return json.loads(_in_new_process([sys.executable, "-m", module, *arguments]))


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
