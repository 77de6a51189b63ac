"""Timing inference: every way of asking a fitted model, by turns, alone on the machine; what Table 6 and Figure 4 show.

Times lie in `timings/<run>.json` beside the runs, one file a run. It is written after every repeat, so that an
interrupted measurement goes on at the repeat that is missing; on another machine or device it begins anew.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.efficiency import (
    Timing,
    device_peak_memory_mib,
    environment,
    keep_freed_memory,
    peak_memory_mib,
    reset_peak_memory,
    timed,
)
from bench.errors import RunFailed, UserError
from bench.explanations import TEST
from bench.models import Context
from bench.progress import Progress
from bench.ragged import IntArray
from bench.runs.execute import explanation_pairs, keeps_history, training_data
from bench.runs.identity import Job
from bench.runs.lock import Busy
from bench.runs.machine import alone, conditions
from bench.runs.perform import Means, describe
from bench.runs.processes import run_in_processes
from bench.runs.record import Record, timing_path, whole_or_nothing
from bench.splits import Split
from bench.tasks import TaskName, make_queries

OURS_WAY = "ours"
REPEATS = 3
# Spread of the repeats, as a share of their median, above which a figure is marked.
UNSTEADY = 0.2
_USERS = {"smoke": 16, "laptop": 200, "paper": 1000}
# A repeat asks again until so many seconds have passed: a shorter one is decided by what else the system does.
_LEAST_S = {"smoke": 0.0, "laptop": 1.0, "paper": 2.0}
_VERSION = 1
_STREAM = 51


@dataclass(frozen=True)
class Wanted:
    """A finished run whose inference is to be timed, and the ways."""

    job: Job
    record: Record
    ways: tuple[str, ...]


@dataclass(frozen=True)
class Figures:
    """What repeats say of one way and task, a user (explanations: a pair).

    seconds, cpu: medians. spread: (largest - smallest) / median of the wall seconds. users: how many were asked.
    same: the share of users with the same list by every way; None where there is one way or searches differ.
    encoded, decoded: tokens read. peak_mib: of memory, the process as a whole; on CUDA of the device.
    """

    seconds: float
    cpu: float
    spread: float
    users: int
    repeats: int
    same: float | None
    encoded: float
    decoded: float
    peak_mib: float

    @property
    def steady(self) -> bool:
        """Whether the repeats agree well enough."""
        return self.spread <= UNSTEADY


def read_timings(record: Record) -> dict[str, Any]:
    """What was timed of a run; {} where nothing was, or of another record."""
    path = timing_path(record.path)
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if (found["version"], found["key"]) != (_VERSION, record.key):
            return {}
        _ = found["machine"]["device"], found["machine"]["threads"], found["times"], found["users"]
        return found
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"not a readable file of times ({error})", str(path), "remove it and run again") from error


def figures_of(record: Record, way: str, task: str) -> Figures | None:
    """The figures of one way and task; None where not all repeats are there."""
    found = read_timings(record)
    repeats = found.get("times", {}).get(f"{way} {task}", [])
    if len(repeats) < REPEATS:
        return None
    users = found["users"][task]
    walls = [repeat["wall"] for repeat in repeats]
    middle = median(walls)
    return Figures(
        middle / users,
        median(repeat["cpu"] for repeat in repeats) / users,
        (max(walls) - min(walls)) / middle,
        users,
        len(repeats),
        found.get("same", {}).get(task),
        repeats[0]["encoded"] / users,
        repeats[0]["decoded"] / users,
        max(repeat["peak_mib"] for repeat in repeats),
    )


def lacking(wanted: Wanted) -> bool:
    """Whether a repeat of any way and task is missing."""
    tasks = wanted.job.tasks
    return any(figures_of(wanted.record, way, task) is None for way in wanted.ways for task in tasks)


def to_time(row: Sequence[Wanted]) -> Wanted:
    """Of a row's seeds the one to time: one with all its times, else the first with weights, else the first."""
    with_weights = (each for each in row if _has_weights(each))
    return next((each for each in row if not lacking(each)), next(with_weights, row[0]))


def _has_weights(wanted: Wanted) -> bool:
    return (wanted.record.path / "weights.safetensors").exists()


def measure_inference(wanted: Iterable[Wanted], split: Split, means: Means) -> list[str]:
    """Time what lacks times, a run in a process of its own after the other; returns why some could not be timed."""
    todo = {each.job.key: each for each in wanted if lacking(each)}
    problems: list[str] = []
    for each in todo.values():
        if not _has_weights(each):
            problems.append(f"{describe(each.job)}: its weights are not here; run it again with --force")
            continue
        means.progress.line(f"timing the inference of {describe(each.job)}")
        work = partial(_measure_one, wanted=each, split=split, means=_quiet(means))
        found = run_in_processes(
            [each.job],
            work,
            lambda job, reason: f"{describe(job)}: {reason}",
            lambda result: None,
            processes=1,
            threads=means.threads,
            loud=type(means.progress) is not Progress,
        )
        problems += [reason for reason in found if reason]
    for problem in problems:
        means.progress.line(f"not timed: {problem}")
    return problems


def _quiet(means: Means) -> Means:
    return Means(means.device, means.threads, offline=means.offline, data_dir=means.data_dir)


def _measure_one(job: Job, progress: Progress, *, wanted: Wanted, split: Split, means: Means) -> str:
    """Time one run; returns "" or why that did not work."""
    try:
        with alone():
            _measure(wanted, split, means, progress)
        return ""
    except Busy as busy:
        return f"{describe(job)}: {busy}"
    except (UserError, RunFailed) as error:
        return f"{describe(job)}: {error}"


def _measure(wanted: Wanted, split: Split, means: Means, progress: Progress) -> None:
    keep_freed_memory()
    job, record = wanted.job, wanted.record
    model: Any = job.info.build(job.settings)
    context = Context(
        job.seed, means.device, means.threads, progress=Progress(), offline=means.offline, data_dir=means.data_dir
    )
    model.restore(record.path / "weights.safetensors", training_data(split, job.tasks, job.protocol), context)
    questions = {task: _questions(split, job, task) for task in job.tasks}
    machine = {**environment(), "device": means.device, "threads": means.threads}
    found = read_timings(record)
    if found.get("machine") != machine:
        found = {"version": _VERSION, "key": record.key, "machine": machine, "times": {}, "same": {}}
    found["users"] = {task: n for task, (n, _) in questions.items()}
    askers = {way: model.way(way) for way in wanted.ways}
    rounds = progress.track(range(REPEATS), REPEATS, "timing: repeat")
    answers: dict[str, dict[str, Any]] = {}
    for number in rounds:
        for task, (_, ask) in questions.items():
            for way, asker in askers.items():
                times = found["times"].setdefault(f"{way} {task}", [])
                if len(times) > number:
                    continue
                if way not in answers.setdefault(task, {}):  # makes memory and kernels ready, and is compared
                    answers[task][way] = ask(asker)
                times.append(_repeat(ask, asker, means.device, _LEAST_S.get(job.preset, _LEAST_S["laptop"])))
                write_json(timing_path(record.path), found)
            _compare(found, job, task, answers.get(task, {}))
    write_json(timing_path(record.path), found)


def _repeat(ask: Callable[[Any], Any], asker: Any, device: str, least: float) -> dict[str, Any]:
    """Ask until `least` seconds have passed, once at the least; times and work are those of one time (a pass)."""
    before, read, passes = conditions(), dict(asker.work), 0
    reset_peak_memory()
    with timed() as spent:
        began = time.perf_counter()
        while passes == 0 or time.perf_counter() - began < least:
            ask(asker)
            _wait_for(device)
            passes += 1
    check_clock(spent)
    peak = device_peak_memory_mib() if device == "cuda" else peak_memory_mib()
    work = {name: (count - read[name]) // passes for name, count in asker.work.items()}
    took = {"wall": spent.wall / passes, "cpu": spent.cpu / passes, "passes": passes}
    return {**took, "peak_mib": round(peak, 1), **work, **before}


def check_clock(spent: Timing) -> None:
    """RunFailed where a clock did not go forward: no such figure may reach a table."""
    if not (spent.wall > 0 and spent.cpu >= 0):
        raise RunFailed(f"a clock went backwards: {spent.wall} s of wall time, {spent.cpu} s of CPU time; run again")


def _wait_for(device: str) -> None:
    if device == "cuda":
        import sys

        sys.modules["torch"].cuda.synchronize()


def _questions(split: Split, job: Job, task: TaskName) -> tuple[int, Callable[[Any], Any]]:
    """How many users (explanations: pairs) are asked, always the same ones, and how."""
    limit = _USERS.get(job.preset, _USERS["laptop"])
    rng = np.random.default_rng([_STREAM, len(task)])
    if task == "explanation":
        assert split.explanations is not None
        rows = split.explanations.rows(TEST)
        rows = rows[_some(len(rows), limit, rng)]
        pairs = explanation_pairs(split, rows, texts=False)
        return len(pairs), lambda asker: asker.explain(pairs)
    queries = make_queries(split, task, "test", keep_history=keeps_history(job))
    queries = queries.take(_some(len(queries), limit, rng))
    return len(queries), lambda asker: asker.rank(queries).items


def _some(n: int, limit: int, rng: np.random.Generator) -> IntArray:
    return np.arange(n) if n <= limit else np.sort(rng.choice(n, limit, replace=False))


def _compare(found: dict[str, Any], job: Job, task: str, answers: dict[str, Any]) -> None:
    """Note the share of equal answers of all ways; where searches are held to items the ways differ by design."""
    if len(answers) < 2 or (task != "explanation" and job.protocol.constrained):
        return
    first, *others = answers.values()
    equal = np.ones(len(first), dtype=bool)
    for other in others:
        equal &= [bool(np.array_equal(a, b)) for a, b in zip(first, other, strict=True)]
    found["same"][task] = float(equal.mean())


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file aside and rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".tmp-{path.name}")
    with whole_or_nothing(aside):
        aside.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        aside.replace(path)
