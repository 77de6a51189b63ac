"""The verdict on a predictions file, for people and for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bench.report.inert import plain
from bench.report.table import fixed
from bench.runs.outside import Estimate, Verdict
from bench.runs.outside_sentences import SentenceVerdict
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
    lines += _estimates(verdict.metrics, verdict.evaluated)
    return "\n".join(lines) + "\n"


def sentence_text(verdict: SentenceVerdict) -> str:
    """BLEU and ROUGE with standard error and 95% interval, the figures without, and who was counted how."""
    absent = verdict.evaluated - verdict.explained
    lines = [
        f"{plain(verdict.file)} on {verdict.dataset}, protocol {verdict.protocol}",
        f"  task explanation: a sentence for each test pair; {verdict.family} text metrics, percent",
        f"  {verdict.evaluated:,} pairs are evaluated; {absent:,} of them have no row and count as empty",
        f"  sentences and references are cut at {verdict.cut}",
    ]
    if verdict.others:
        lines.append(f"  {verdict.others:,} rows of pairs that are no test pairs, left out")
    lines += _estimates(verdict.metrics, verdict.evaluated)
    lines += [f"  {name:<18}{fixed(value):>8}" for name, value in verdict.shares.items()]
    return "\n".join(lines) + "\n"


def _estimates(metrics: dict[str, Estimate], n: int) -> list[str]:
    """Aligned lines of figures under a head."""
    lines = [f"  {'':<10}{'mean':>8}{'std. error':>14}{'95% interval':>20}{'n':>10}"]
    for name, found in metrics.items():
        interval = f"{fixed(found.low)} .. {fixed(found.high)}"
        lines.append(f"  {name:<10}{fixed(found.mean):>8}{fixed(found.error):>14}{interval:>20}{n:>10,}")
    return lines


def verdict_json(verdicts: Sequence[Verdict | SentenceVerdict]) -> str:
    """The verdicts as JSON, numbers unrounded; a standard error of one user is null."""
    return json.dumps([_finite(asdict(verdict)) for verdict in verdicts], indent=1, ensure_ascii=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
