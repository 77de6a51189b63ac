"""Carrying out the jobs of a plan, one by one here or several in processes of their own.

A job that fails takes no other with it: the reason is written beside the runs, and shown by every report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bench.progress import Progress
from bench.runs.execute import execute
from bench.runs.failure import clear_failed, failed_folder, mark_failed
from bench.runs.identity import Job
from bench.runs.lock import Busy, locked
from bench.runs.record import Unwritable, read_record, sweep
from bench.splits import Split


@dataclass(frozen=True)
class Means:
    """What jobs are run with.

    device:   "cpu" or "cuda".
    threads:  CPU threads in all; shared out among processes.
    jobs:     how many processes at a time; 1: this one.
    force:    run what has a record again, and ignore checkpoints.
    progress: where to report.
    """

    device: str = "cpu"
    threads: int = 1
    jobs: int = 1
    force: bool = False
    progress: Progress = field(default_factory=Progress)


@dataclass(frozen=True)
class Outcome:
    """How a job ended. reason: one line where it was not done."""

    job: Job
    state: Literal["done", "failed", "busy"]
    reason: str = ""
    log: str | None = None


def perform(jobs: Sequence[Job], split: Split, runs: Path, means: Means) -> list[Outcome]:
    """Run the jobs in order and return how each ended.

    Raises Unwritable where the results folder takes no more, and KeyboardInterrupt; finished runs are kept.
    """
    sweep(runs)
    outcomes = []
    for number, job in enumerate(jobs, start=1):
        means.progress.line(f"run {number} of {len(jobs)}: {describe(job)}")
        outcomes.append(perform_one(job, split, runs, means))
        tell(outcomes[-1], means.progress)
    return outcomes


def perform_one(job: Job, split: Split, runs: Path, means: Means) -> Outcome:
    """Run one job under its lock; a record that another process has made meanwhile is kept."""
    try:
        with locked(lock_path(job, runs)):
            if means.force or read_record(runs / job.folder) is None:
                execute(
                    job,
                    split,
                    runs,
                    device=means.device,
                    threads=means.threads,
                    progress=means.progress,
                    force=means.force,
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


def lock_path(job: Job, runs: Path) -> Path:
    """The lock of a job: among the checkpoints, which it guards too."""
    return runs / "checkpoints" / f"{job.folder}.lock"


def half_done(job: Job, runs: Path) -> bool:
    """Whether a killed process left a checkpoint of this job."""
    folder = runs / "checkpoints" / job.folder
    return folder.is_dir() and any(folder.iterdir())


def describe(job: Job) -> str:
    """A job in a few words."""
    return f"{job.info.name} on {job.dataset}" + ("" if job.info.deterministic else f", seed {job.seed}")


def tell(outcome: Outcome, progress: Progress) -> None:
    """Say how a job ended, unless it simply worked."""
    if outcome.state == "failed":
        where = f"; see {failed_folder(Path())}/{outcome.log} among its runs" if outcome.log else ""
        progress.line(f"failed: {describe(outcome.job)}: {outcome.reason}{where}")
    elif outcome.state == "busy":
        progress.line(f"skipped: {describe(outcome.job)}: {outcome.reason}")
