"""What a command would do: each run, whether it is there, and how long the rest may take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.progress import clock
from bench.report.inert import plain
from bench.runs.perform import half_done
from bench.runs.plan import Entry, Plan, estimate_seconds
from bench.runs.record import Record


def forecast(plan: Plan, runs: Path, records: Iterable[Record], *, force: bool = False, jobs: int = 1) -> str:
    """The plan of a dataset as aligned lines, and the time that is left.

    force: what is there is run again too. jobs: how many runs go on at a time.
    """
    records = list(records)
    wanted = {job.key for job in plan.jobs(force=force)}
    lines = [f"{plan.card.name}, preset {plan.preset}:"]
    seconds: dict[str, float | None] = {}
    counts: dict[str, int] = {}
    runs_of_plan = list(_runs(plan))
    width = max([18, *(len(_name(entry)) + 2 for entry, _ in runs_of_plan)])
    for entry, protocols in runs_of_plan:
        state = _state(entry, runs, wanted)
        counts[state] = counts.get(state, 0) + 1
        remark = entry.obstacle if state == "impossible" else ""
        if entry.job is not None and state in ("missing", "half done"):
            seconds[entry.job.key] = estimate_seconds(entry.job, plan.card, records)
            remark = _remark(entry, state, seconds[entry.job.key])
        seed = "" if entry.info.deterministic else f"seed {entry.seed}"
        lines.append(
            f"  {state:<12}{_name(entry):<{width}}{seed:<8}{', '.join(protocols):<18}  {plain(remark)}".rstrip()
        )
    total = ", ".join(f"{count} {state}" for state, count in counts.items())
    lines.append(f"  in all: {total or 'no runs'}{_left(seconds, jobs)}")
    return "\n".join(lines) + "\n"


def _name(entry: Entry) -> str:
    """The model, and in what its run differs from others of its table."""
    return f"{entry.info.name} ({entry.variant})" if entry.variant else entry.info.name


def _runs(plan: Plan) -> Iterator[tuple[Entry, list[str]]]:
    """Each distinct run that was asked for, with the protocols it serves."""
    shared: dict[str, tuple[Entry, list[str]]] = {}
    for entry in plan.entries:
        if entry.asked and entry.job is not None:
            shared.setdefault(entry.job.key, (entry, []))[1].append(entry.protocol.name)
    yield from shared.values()


def _state(entry: Entry, runs: Path, wanted: set[str]) -> str:
    if entry.job is not None and entry.job.key in wanted:
        return "half done" if half_done(entry.job, runs) else "missing"
    return "present" if entry.record is not None else "impossible"


def _remark(entry: Entry, state: str, seconds: float | None) -> str:
    time = "time unknown" if seconds is None else f"about {clock(max(1.0, seconds))}"
    if state == "half done":
        time = f"goes on from its checkpoint, {'time unknown' if seconds is None else f'at most {time}'}"
    return f"{time}; failed before: {entry.reason}" if entry.failed else time


def _left(seconds: dict[str, float | None], jobs: int) -> str:
    if not seconds:
        return "; nothing is left to do"
    known = [value for value in seconds.values() if value is not None]
    unknown = len(seconds) - len(known)
    text = f"; about {clock(max(1.0, sum(known) / max(1, min(jobs, len(seconds)))))} left" if known else ""
    return f"{text}; {unknown} of unknown time" if unknown else text
