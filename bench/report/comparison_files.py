"""Comparisons and intervals on disk: `comparisons.csv` and `intervals.csv`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.metrics.significance import Effect
from bench.report.comparisons import Standing
from bench.report.files import csv_lines, write_text
from bench.report.inert import csv_text
from bench.report.seeds import seed_range
from bench.runs.plan import Plan

COMPARISONS, INTERVALS = "comparisons.csv", "intervals.csv"
_WHERE = ("dataset", "preset", "protocol", "table")
_SEEDS = ("difference_least_seed", "difference_most_seed")
_TESTED = ("difference", "low", "high", *_SEEDS, "p", "p_holm", "effect", "share_better", "share_worse")
_BEHIND = ("n_users", "n_seeds", "n_seeds_baseline", "test")
COMPARISON_COLUMNS = (*_WHERE, "metric", "model", "among", "baseline", *_TESTED, *_BEHIND)
INTERVAL_COLUMNS = (*_WHERE, "model", "metric", "value", "low", "high", "n_users", "n_seeds")


def write_comparisons(standings: Iterable[Standing], plan: Plan, folder: Path, suffix: str = "") -> list[Path]:
    """Write intervals.csv and comparisons.csv; returns their paths.

    Nothing is written of what there is none of, unless a file of it is there already.
    """
    standings, paths = list(standings), []
    files: list[tuple[str, tuple[str, ...], list[dict[str, str]]]] = [
        (INTERVALS, INTERVAL_COLUMNS, list(interval_rows(standings, plan))),
        (COMPARISONS, COMPARISON_COLUMNS, list(comparison_rows(standings, plan))),
    ]
    for name, columns, rows in files:
        path = folder / f"{Path(name).stem}{suffix}.csv"
        if rows or path.exists():
            write_text(path, csv_lines(columns, rows))
            paths.append(path)
    return paths


def interval_rows(standings: Iterable[Standing], plan: Plan) -> Iterator[dict[str, str]]:
    """One row a figure, see `Measured`; figures of explanations in percent, six digits."""
    for standing in standings:
        for each in standing.figures:
            yield {
                **_where(plan, each.protocol, standing.table),
                "model": csv_text(each.model),
                "metric": each.metric,
                **_numbers(value=each.value, low=each.low, high=each.high),
                "n_users": str(each.n),
                "n_seeds": str(len(each.per_seed)),
            }


def comparison_rows(standings: Iterable[Standing], plan: Plan) -> Iterator[dict[str, str]]:
    """One row a comparison, see `Comparison`; effect: Cohen's d of paired samples, shares of users; empty for BLEU."""
    for standing in standings:
        for c in standing.comparisons:
            size = c.effect or Effect(math.nan, math.nan, math.nan)
            yield {
                **_where(plan, c.protocol, standing.table),
                "metric": c.metric,
                "model": csv_text(c.model),
                "among": c.among,
                "baseline": csv_text(c.baseline),
                **_numbers(difference=c.difference, low=c.low, high=c.high, p=c.p, p_holm=c.p_holm),
                **_numbers(**seed_range(c.by_seed)),
                **_numbers(effect=size.size, share_better=size.better, share_worse=size.worse),
                "n_users": str(c.n),
                "n_seeds": str(c.seeds),
                "n_seeds_baseline": str(c.baseline_seeds),
                "test": c.test,
            }


def _where(plan: Plan, protocol: str, table: str) -> dict[str, str]:
    names = {"dataset": csv_text(plan.card.name), "preset": csv_text(plan.preset)}
    return {**names, "protocol": csv_text(protocol), "table": table}


def _numbers(**values: float) -> dict[str, str]:
    return {name: "" if math.isnan(value) else f"{value:.6g}" for name, value in values.items()}
