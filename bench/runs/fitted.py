"""Fit once, ask often: finding a finished run whose weights another run may take."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.runs.identity import Job, fit_key_of
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
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.get("fit_key") == job.fit_key or _of_another_version(content, job):
            return read_record(path.parent)
    return None


def _of_another_version(content: dict[str, Any], job: Job) -> bool:
    """Whether a record whose key was made by another rule is of the job's fit, by the present rule."""
    identity = content.get("identity", {})
    same_model = identity.get("model") in (job.info.name, job.info.fits)
    return same_model and "fit_key" in content and fit_key_of(identity, job.info) == job.fit_key
