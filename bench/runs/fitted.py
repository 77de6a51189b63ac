"""Fit once, ask often: finding a finished run whose weights another run may take."""

from __future__ import annotations

import json
from pathlib import Path

from bench.runs.identity import Job
from bench.runs.record import Record, read_record


def find_fit(runs: Path, job: Job) -> Record | None:
    """A record under `runs` whose fit is the job's, its weights there and unaltered; None if there is none.

    Raises UserError where a record that fits was altered.
    """
    if not job.info.asking or not runs.is_dir():
        return None
    for path in sorted(runs.glob("*/record.json")):
        if path.parent.name.startswith(".") or not (path.parent / "weights.safetensors").exists():
            continue
        if json.loads(path.read_text(encoding="utf-8")).get("fit_key") == job.fit_key:
            return read_record(path.parent)
    return None
