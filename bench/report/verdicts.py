"""Every printed figure of the paper against ours: within its noise, above, below, or why it cannot be said.

What is expected. The paper gives one figure a cell, rounded, without its spread; so the noise is that of ours:

1. over users: the 95 % bootstrap interval of our mean (`bench.report.comparisons`), as other users, or for top-N other
   negatives, would give another figure;
2. over seeds, where some model of the table ran with several: another training gives another figure. With s the
   standard deviation over seeds within models, pooled over the paper's rows in that column (k runs of m models: k - m
   degrees of freedom), the paper's one run is expected within t s sqrt(1 + 1/r) of the mean of our r runs;
3. rounding: half a unit of the last digit that the paper prints.

1 and 2 are independent and add as squares, each side of the interval by itself; that is what `low` and `high` are. A
figure is within its noise where the paper's, give or take 3, lies between them. With one seed everywhere, 2 is missing
and the verdict is stricter than it should be: others who repeated POD ten times found a standard deviation of .002 to
.003 in HR@5 (PUBLISHED.md).

A verdict is given only on what the paper reports on: its preset with none of the settings changed, its pretrained
language model and, for explanations, its records. All else is measured, shown and called not comparable.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.metrics.significance import LEVEL
from bench.protocols import Protocol
from bench.report.build import explanation_reasons, reasons
from bench.report.comparisons import Measured, Standing
from bench.report.explained import STATISTICS
from bench.report.files import csv_lines, write_text
from bench.report.inert import csv_text
from bench.report.published import paper_has, paper_value
from bench.report.specs import TableSpec
from bench.report.table import METRIC_DIGITS
from bench.report.text_models import scratch_mark
from bench.runs.plan import Entry, Plan

FILE = "verdicts.csv"
WITHIN, ABOVE, BELOW = "within its noise", "above", "below"
SCRATCH, PRESET = "not comparable: scratch backbone", "not comparable: other preset"
CHANGED, RECORDS = "not comparable: settings changed", "not comparable: other explanation records"
VERDICT_COLUMNS = (
    "dataset",
    "preset",
    "protocol",
    "table",
    "model",
    "metric",
    "paper",
    "measured",
    "low",
    "high",
    "n_seeds",
    "verdict",
)
_SIZES = ("users", "items", "interactions", "density")
_AUTHORS = "explanation.json"


@dataclass(frozen=True)
class Verdict:
    """What became of a printed figure.

    protocol:  "" for the sizes of Table 1, which know none.
    model:     "dataset" for sizes.
    paper:     as printed; digits: its decimals.
    measured:  ours, mean over `seeds` runs, None where there is none. low, high: where the paper's was expected.
    verdict:   one of the constants above (above: ours is above the paper's), or "not run: " and why.
    """

    protocol: str
    table: str
    model: str
    metric: str
    paper: float
    digits: int
    measured: float | None
    low: float | None
    high: float | None
    seeds: int
    verdict: str


def verdicts(
    specs: Iterable[TableSpec], plan: Plan, standings: Iterable[Standing], *, authors_records: bool = False
) -> Iterator[Verdict]:
    """One verdict a printed figure of these tables and protocol of the plan; none where the paper has not the dataset.

    standings: of the tables with runs, see `bench.report.comparisons.compare`.
    authors_records: explanations are the authors' own (`has_authors_records`), not made from reviews.
    """
    found = {standing.table: standing for standing in standings}
    for spec in specs:
        if not paper_has(spec.number, plan.card.name):
            continue
        if spec.number == "1":
            yield from _sizes(plan)
            continue
        figures = found.get(spec.number, Standing(spec.number)).figures
        for protocol in plan.protocols:
            here = {(each.model, each.metric): each for each in figures if each.protocol == protocol.name}
            for model in spec.paper:
                obstacle = _obstacle(spec, plan, model, protocol, authors_records)
                for metric in spec.metrics:
                    paper = paper_value(spec.number, plan.card.name, model, metric)
                    if paper is not None:
                        yield _verdict(spec, plan, protocol, model, metric, paper, here, obstacle)


def judged(paper: float, low: float, high: float, digits: int = METRIC_DIGITS) -> str:
    """WITHIN where a printed figure, rounded to so many digits, can lie in low to high; else where ours lies."""
    # Printed digits are no binary fractions: what falls on the very edge is inside.
    half = 0.5 * 10.0**-digits * (1 + 1e-9)
    return ABOVE if low > paper + half else BELOW if high < paper - half else WITHIN


def expected(figure: Measured, spread: tuple[float, int] | None) -> tuple[float, float]:
    """(low, high) where another run's figure is expected: the interval over users, widened by seeds.

    spread: (s, degrees of freedom) as `pooled_spread` gives it.
    """
    from scipy import stats

    seeds = 0.0
    if spread is not None:
        quantile = float(stats.t.ppf((1 + LEVEL) / 2, spread[1]))
        seeds = quantile * spread[0] * math.sqrt(1 + 1 / len(figure.per_seed))
    low, high = (math.hypot(end - figure.value, seeds) for end in (figure.low, figure.high))
    return figure.value - low, figure.value + high


def pooled_spread(runs: Iterable[Sequence[float]]) -> tuple[float, int] | None:
    """(s, degrees of freedom): standard deviation over seeds within models, pooled; None where none has two runs."""
    squares, freedom = 0.0, 0
    for values in runs:
        mean = math.fsum(values) / len(values)
        squares += math.fsum((value - mean) ** 2 for value in values)
        freedom += len(values) - 1
    return (math.sqrt(squares / freedom), freedom) if freedom else None


def _verdict(
    spec: TableSpec,
    plan: Plan,
    protocol: Protocol,
    model: str,
    metric: str,
    paper: float,
    here: Mapping[tuple[str, str], Measured],
    obstacle: str,
) -> Verdict:
    figure = here.get((model, metric))
    if figure is None:
        why = _why_not(spec, plan, plan.of(model, protocol))
        shown = (None, None, None, 0, f"not run: {why}")
    else:
        runs = (here[name, metric].per_seed for name in spec.paper if (name, metric) in here)
        low, high = expected(figure, pooled_spread(runs))
        seeds = len(figure.per_seed)
        shown = (figure.value, low, high, seeds, obstacle or judged(paper, low, high))
    return Verdict(protocol.name, spec.number, model, metric, paper, METRIC_DIGITS, *shown)


def _why_not(spec: TableSpec, plan: Plan, entries: list[Entry]) -> str:
    told = explanation_reasons(entries, plan.card) if spec.task == "explanation" else reasons(entries)
    return "; ".join(told) or "no scores are here"


def _obstacle(spec: TableSpec, plan: Plan, model: str, protocol: Protocol, authors_records: bool) -> str:
    """Why a model's figures do not compare with the paper's, the weightiest reason; "" where they do."""
    if scratch_mark(plan.of(model, protocol)):
        return SCRATCH
    if plan.preset != "paper":
        return PRESET
    if plan.overrides.get(model):
        return CHANGED
    return RECORDS if spec.task == "explanation" and not authors_records else ""


def _sizes(plan: Plan) -> Iterator[Verdict]:
    """The verdicts on Table 1: sizes have no noise, so they are the paper's to the last digit or not."""
    for name in _SIZES:
        paper = paper_value("1", plan.card.name, "dataset", name)
        if paper is not None:
            ours, digits = float(getattr(plan.card, name)), METRIC_DIGITS if name == "density" else 0
            said = judged(paper, ours, ours, digits)
            yield Verdict("", "1", "dataset", name, paper, digits, ours, ours, ours, 0, said)


def has_authors_records(folder: Path) -> bool:
    """Whether explanation records of a dataset's results folder come from the authors' explanation.json.

    folder: results/<dataset>, with what `bench.report.explained.write_record_files` wrote; False without.
    """
    path = folder / STATISTICS
    if not path.exists():
        return False
    with path.open(newline="", encoding="utf-8") as stream:
        facts = {row.get("statistic"): row.get("value") or "" for row in csv.DictReader(stream)}
    return facts.get("origin", "").startswith(_AUTHORS)


def write_verdicts(
    specs: Iterable[TableSpec], plan: Plan, standings: Iterable[Standing], folder: Path, suffix: str = ""
) -> list[Path]:
    """Write verdicts.csv; returns its path, and writes nothing for a dataset that the paper does not have.

    specs: the tables that the plan is of. folder: results/<dataset>/<preset>.
    """
    found = verdicts(specs, plan, standings, authors_records=has_authors_records(folder.parent))
    rows = [verdict_row(each, plan) for each in found]
    if not rows:
        return []
    path = folder / f"{Path(FILE).stem}{suffix}.csv"
    write_text(path, csv_lines(VERDICT_COLUMNS, rows))
    return [path]


def verdict_row(verdict: Verdict, plan: Plan) -> dict[str, str]:
    """A verdict as a row: the paper's figure with its digits, ours with six; empty where not measured."""
    ours = {"measured": verdict.measured, "low": verdict.low, "high": verdict.high}
    return {
        "dataset": csv_text(plan.card.name),
        "preset": csv_text(plan.preset),
        "protocol": csv_text(verdict.protocol),
        "table": verdict.table,
        "model": csv_text(verdict.model),
        "metric": verdict.metric,
        "paper": f"{verdict.paper:.{verdict.digits}f}",
        **{name: "" if value is None else _six(value) for name, value in ours.items()},
        "n_seeds": str(verdict.seeds or ""),
        "verdict": csv_text(verdict.verdict),
    }


def _six(value: float) -> str:
    return f"{value:.0f}" if value.is_integer() and abs(value) >= 1 else f"{value:.6g}"
