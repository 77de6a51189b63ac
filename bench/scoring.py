"""The verdict on a predictions file, for people and for programs."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

from bench.report.inert import plain
from bench.report.table import fixed
from bench.runs.outside import Verdict
from bench.tasks import LIST_LENGTH, TASKS


def verdict_text(verdict: Verdict) -> str:
    """The metrics with standard error and 95% interval, and who was counted how."""
    absent = verdict.evaluated - verdict.listed
    lines = [
        f"{plain(verdict.file)} on {verdict.dataset}, protocol {verdict.protocol}",
        f"  task {verdict.task}: {TASKS[verdict.task]}",
        f"  {verdict.evaluated:,} users are evaluated; {absent:,} of them have no list and count 0",
    ]
    if verdict.unevaluated:
        lines.append(f"  {verdict.unevaluated:,} users of the file have too few interactions to be evaluated, left out")
    if verdict.beyond:
        lines.append(f"  {verdict.beyond:,} rows beyond rank {LIST_LENGTH} do not count")
    lines.append(f"  {'':<10}{'mean':>8}{'std. error':>14}{'95% interval':>20}{'n':>10}")
    for name, found in verdict.metrics.items():
        interval = f"{fixed(found.low)} .. {fixed(found.high)}"
        lines.append(
            f"  {name:<10}{fixed(found.mean):>8}{fixed(found.error):>14}{interval:>20}{verdict.evaluated:>10,}"
        )
    return "\n".join(lines) + "\n"


def verdict_json(verdicts: list[Verdict]) -> str:
    """The verdicts as JSON, numbers unrounded; a standard error of one user is null."""
    return json.dumps([_finite(asdict(verdict)) for verdict in verdicts], indent=1, ensure_ascii=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
