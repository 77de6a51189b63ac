"""Carrying out the jobs of a plan, one by one here or several in processes of their own.

A job that fails takes no other with it: the reason is written beside the runs, and shown by every report.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

from bench.progress import Progress, clock
from bench.runs.execute import execute
from bench.runs.failure import clear_failed, failed_folder, mark_failed
from bench.runs.identity import Job
from bench.runs.lock import Busy, locked
from bench.runs.machine import alone, sharing
from bench.runs.processes import run_in_processes
from bench.runs.record import Unwritable, read_record, sweep, timing_path
from bench.splits import Split

Guess = Callable[[Job], float | None]


@dataclass(frozen=True)
class Means:
    """What jobs are run with.

    device:   "cpu" or "cuda".
    threads:  CPU threads in all; shared out among processes.
    jobs:     how many processes at a time; 1: this one.
    force:    run what has a record again, and ignore checkpoints.
    progress: where to report.
    offline:  never download. data_dir: where the user keeps data.
    memory_mib: what a training step may take; 0: no limit.
    """

    device: str = "cpu"
    threads: int = 1
    jobs: int = 1
    force: bool = False
    progress: Progress = field(default_factory=Progress)
    offline: bool = False
    data_dir: Path | None = None
    memory_mib: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """How a job ended. reason: one line where it was not done. log: the file with the traceback, if any."""

    job: Job
    state: Literal["done", "failed", "busy"]
    reason: str = ""
    log: str | None = None


def perform(
    jobs: Sequence[Job], split: Split, runs: Path, means: Means, guess: Guess = lambda job: None
) -> list[Outcome]:
    """Run the jobs and return how each ended, timed ones last; what another process is at is left to it.

    guess: the seconds that a job may take, or None.
    Raises Unwritable where the results folder takes no more, and KeyboardInterrupt; finished runs are kept.
    """
    if not jobs:
        return []
    sweep(runs)
    timed = [job for job in jobs if job.timed]
    outcomes = _perform_untimed([job for job in jobs if not job.timed], split, runs, means, guess)
    return [*outcomes, *(_perform_in_processes(timed, split, runs, replace(means, jobs=1)) if timed else [])]


def _perform_untimed(jobs: Sequence[Job], split: Split, runs: Path, means: Means, guess: Guess) -> list[Outcome]:
    if means.jobs > 1 and len(jobs) > 1:
        return _perform_in_processes(jobs, split, runs, means)
    outcomes = []
    for number, job in enumerate(jobs, start=1):
        means.progress.line(f"run {number} of {len(jobs)}: {describe(job)}{_time_left(jobs[number - 1 :], guess)}")
        outcomes.append(perform_one(job, means.progress, split=split, runs=runs, means=means))
        tell(outcomes[-1], runs, means.progress)
    return outcomes


def _perform_in_processes(jobs: Sequence[Job], split: Split, runs: Path, means: Means) -> list[Outcome]:
    threads = max(1, means.threads // means.jobs)
    quiet = replace(means, threads=threads, progress=Progress())

    def ended(outcome: Outcome) -> None:
        if outcome.state == "done":
            means.progress.line(f"done: {describe(outcome.job)}")
        tell(outcome, runs, means.progress)

    kind = "timed runs" if jobs[0].timed else "runs"
    means.progress.line(f"{len(jobs)} {kind}, {means.jobs} at a time, threads for each: {threads}")
    return run_in_processes(
        jobs,
        partial(perform_one, split=split, runs=runs, means=quiet),
        partial(_died, runs=runs),
        ended,
        processes=means.jobs,
        threads=threads,
        loud=type(means.progress) is not Progress,
    )


def perform_one(job: Job, progress: Progress, *, split: Split, runs: Path, means: Means) -> Outcome:
    """Run one job under its lock; a record that another process has made meanwhile is kept."""
    try:
        with locked(lock_path(job, runs)), alone() if job.timed else sharing(progress):
            if means.force or read_record(runs / job.folder) is None:
                timing_path(runs / job.folder).unlink(missing_ok=True)  # of weights that are about to be replaced
                execute(
                    job,
                    split,
                    runs,
                    device=means.device,
                    threads=means.threads,
                    progress=progress,
                    force=means.force,
                    offline=means.offline,
                    data_dir=means.data_dir,
                    memory_mib=means.memory_mib,
                )
            clear_failed(job, runs)
            return Outcome(job, "done")
    except Busy as busy:
        return Outcome(job, "busy", str(busy))
    except Unwritable:
        raise
    except Exception as error:  # noqa: BLE001 - libraries raise what they like, and no run may take others with it
        failure = mark_failed(job, runs, error)
        return Outcome(job, "failed", failure.reason, failure.log)


def _died(job: Job, reason: str, *, runs: Path) -> Outcome:
    return Outcome(job, "failed", mark_failed(job, runs, reason).reason)


def lock_path(job: Job, runs: Path) -> Path:
    """The lock of a job: among the checkpoints, which it guards too."""
    return runs / "checkpoints" / f"{job.folder}.lock"


def half_done(job: Job, runs: Path) -> bool:
    """Whether a killed process left a checkpoint of this job."""
    folder = runs / "checkpoints" / job.folder
    return folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir())


def describe(job: Job) -> str:
    """A job in a few words."""
    ids = f", {job.protocol.item_numbering} ids" if "item_numbering" in job.info.protocol_settings else ""
    timed = ", timed" if job.timed else ""
    return f"{job.info.name} on {job.dataset}{ids}" + ("" if job.info.deterministic else f", seed {job.seed}") + timed


def tell(outcome: Outcome, runs: Path, progress: Progress) -> None:
    """Say how a job ended, unless it simply worked."""
    if outcome.state == "failed":
        where = f"; see {failed_folder(runs) / outcome.log}" if outcome.log else ""
        progress.line(f"failed: {describe(outcome.job)}: {outcome.reason}{where}")
    elif outcome.state == "busy":
        progress.line(f"skipped: {describe(outcome.job)}: {outcome.reason}")


def _time_left(jobs: Sequence[Job], guess: Guess) -> str:
    """The estimate for the first job and for all that are left, "" where there is nothing to say."""
    known = [seconds for seconds in map(guess, jobs) if seconds is not None]
    if not known or sum(known) < 60:
        return ""
    more = " at least" if len(known) < len(jobs) else ""
    return f"; {len(jobs)} runs left,{more} about {clock(sum(known))}"
