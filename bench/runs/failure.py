"""Failed runs: a marker with the one-line reason, so that reports can show it until a later try succeeds.

`runs/failed/<run>.json` holds identity, reason and time; `runs/failed/<run>.log` the traceback, where the reason
is not one that the suite knows. A marker never stands for a result: the next command tries the run again.
"""

from __future__ import annotations

import json
import os
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.efficiency import environment
from bench.errors import RunFailed, UserError
from bench.runs.identity import Job
from bench.runs.record import whole_or_nothing

_LONGEST = 300


@dataclass(frozen=True)
class Failure:
    """A failed try. reason: one line. log: the file with the traceback, or None."""

    key: str
    model: str
    reason: str
    log: str | None = None


def failed_folder(runs: Path) -> Path:
    """Where the markers of a runs folder lie."""
    return runs / "failed"


def reason_of(error: BaseException) -> str:
    """One line for people: what the suite says itself, or the type and first line of a foreign exception."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "out of memory" in text.lower():
        text = f"out of memory ({text})" if text else "out of memory"
    elif not isinstance(error, (RunFailed, UserError)):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def mark_failed(job: Job, runs: Path, error: BaseException | str) -> Failure:
    """Write the marker, and the traceback of an exception that the suite does not raise itself."""
    folder = failed_folder(runs)
    folder.mkdir(parents=True, exist_ok=True)
    log = None
    if isinstance(error, BaseException) and not isinstance(error, (RunFailed, UserError)):
        log = f"{job.folder}.log"
        head = "".join(f"{name}: {value}\n" for name, value in environment().items())
        _write(folder / log, head + "\n" + "".join(traceback.format_exception(error)))
    reason = error if isinstance(error, str) else reason_of(error)
    content: dict[str, Any] = {
        "key": job.key,
        "identity": job.identity,
        "reason": reason,
        "log": log,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    _write(folder / f"{job.folder}.json", json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    return Failure(job.key, job.info.name, reason, log)


def clear_failed(job: Job, runs: Path) -> None:
    """Remove the marker and log of a run that has now succeeded."""
    for suffix in (".json", ".log"):
        (failed_folder(runs) / f"{job.folder}{suffix}").unlink(missing_ok=True)


def read_failures(runs: Path) -> list[Failure]:
    """Every marker under a runs folder; one that cannot be read says so instead of its reason."""
    found = []
    for path in sorted(failed_folder(runs).glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            found.append(
                Failure(content["key"], content["identity"]["model"], str(content["reason"]), content.get("log"))
            )
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(f"not a readable failure marker ({error})", str(path), "remove it and run again") from error
    return found


def _write(path: Path, text: str) -> None:
    aside = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    with whole_or_nothing(aside):
        aside.write_text(text, encoding="utf-8", errors="backslashreplace")
        aside.replace(path)
