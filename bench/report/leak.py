"""The leak table: what a model gains where an item's number tells when the item was first bought.

Numbers given by first appearance over whole histories (PUBLISHED.md, line 1) often let a user's test item follow the
highest number of the history. Rows are a model under each way of numbering items, all else as in `sound`; panels are
all users, those whose test item follows so, and the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.errors import UserError
from bench.ragged import BoolArray, FloatArray
from bench.report.build import dataset_title, reasons, row_title
from bench.report.files import csv_lines, write_text
from bench.report.groups import Groups
from bench.report.inert import csv_text
from bench.report.latex import latex_table
from bench.report.notes import NUMBERED, but_numbers_in_words, changed_settings, data_notes, run_notes
from bench.report.specs import TableSpec
from bench.report.table import Cell, Footnotes, Panel, Row, Table, fixed
from bench.report.text_models import model_notes, scratch_mark
from bench.runs.outside import estimate
from bench.runs.plan import Entry, Plan
from bench.splits import Numbering

LEAK_COLUMNS = (
    "table",
    "dataset",
    "preset",
    "numbering",
    "model",
    "title",
    "group",
    "metric",
    "value",
    "std_error",
    "n_users",
    "n_seeds",
    "note",
)
GROUPS = {
    "all": "All users",
    "next": "Users whose test item has the number after the highest of their history",
    "other": "All other users",
}
_TOLD = "HR@10"
_UNKNOWN = (
    "Who has a test item with the number after the highest of the history is not known here: run once with the data, "
    "without --report-only."
)


@dataclass(frozen=True, eq=False)
class _Figures:
    """A model under a numbering. values: metric -> (n,) of each user, means over that many seeds."""

    values: Mapping[str, FloatArray]
    seeds: int


_Found = Mapping[tuple[str, Numbering], _Figures]


def build_leak(spec: TableSpec, plan: Plan, groups: Groups | None) -> Table:
    """The leak table of a plan whose protocols are the item numberings.

    groups: who belongs where; None: not known, so that only the panel of all users is there.
    Raises UserError where per-user scores are missing or of other users.
    """
    found = _figures(spec, plan, groups)
    footnotes = Footnotes()
    shown = GROUPS if groups is not None else {"all": GROUPS["all"]}
    panels = tuple(_panel(spec, plan, group, groups, found, footnotes) for group in shown)
    return Table(
        spec.number,
        f"{spec.caption}: {dataset_title(plan.card.name)}",
        plan.card.name,
        plan.preset,
        spec.metrics,
        panels,
        has_paper=False,
        notes=_notes(spec, plan, groups, found),
        footnotes=tuple(footnotes.texts),
        leads=("Item numbers", "Users"),
    )


def _figures(spec: TableSpec, plan: Plan, groups: Groups | None) -> _Found:
    found = {}
    for protocol in plan.protocols:
        for name in spec.models:
            runs = [_per_user(e, spec, plan, groups) for e in plan.of(name, protocol) if e.record]
            if runs:
                values = {metric: np.mean([run[metric] for run in runs], axis=0) for metric in spec.metrics}
                found[name, protocol.item_numbering] = _Figures(values, len(runs))
    return found


def _per_user(entry: Entry, spec: TableSpec, plan: Plan, groups: Groups | None) -> dict[str, FloatArray]:
    """metric -> (n,) of a run, in the order of users that the groups have."""
    assert entry.record is not None
    scores = entry.record.per_user(str(spec.task))
    users = scores["user"]
    if len(users) != plan.card.evaluated or (groups is not None and not np.array_equal(users, groups.users)):
        what = "these scores are of other users than the split's"
        raise UserError(what, str(entry.record.path / "per_user.parquet"), "rerun with --force")
    return {metric: scores[metric].astype(np.float64) for metric in spec.metrics}


def _members(group: str, numbering: Numbering, groups: Groups | None, n: int) -> BoolArray:
    """(n,) who belongs to a group under a numbering."""
    if group == "all" or groups is None:
        return np.ones(n, dtype=bool)
    return groups.next[numbering] if group == "next" else ~groups.next[numbering]


def _panel(
    spec: TableSpec, plan: Plan, group: str, groups: Groups | None, found: _Found, footnotes: Footnotes
) -> Panel:
    rows = []
    for name in spec.models:
        for protocol in plan.protocols:
            entries, numbering = plan.of(name, protocol), protocol.item_numbering
            members = _members(group, numbering, groups, plan.card.evaluated)
            figures = found.get((name, numbering))
            cells = tuple(_cell(figures, metric, members) for metric in spec.metrics)
            notes = tuple(footnotes.add(text) for text in [*scratch_mark(entries), *reasons(entries)])
            title = row_title(name, entries[0].info if entries else None)
            leads = (numbering, f"{int(members.sum()):,}")
            rows.append(Row(name, title, cells, notes, "added", leads=leads))
    return Panel("", tuple(rows), GROUPS[group])


def _cell(figures: _Figures | None, metric: str, members: BoolArray) -> Cell:
    if figures is None or not members.any():
        return Cell()
    over = estimate(figures.values[metric][members])
    error = None if math.isnan(over.error) else over.error
    return Cell(over.mean, error, figures.seeds, int(members.sum()))


def _notes(spec: TableSpec, plan: Plan, groups: Groups | None, found: _Found) -> tuple[str, ...]:
    seeds = ", ".join(map(str, plan.seeds))
    mean = "" if len(plan.seeds) == 1 else " of a user's mean over seeds"
    told = model_notes(plan.entries, spec.task)
    probes = dict.fromkeys(entry.info.title for entry in plan.entries if entry.info.family == "probe")
    return (
        *run_notes(plan),
        f"{'Seed' if len(plan.seeds) == 1 else 'Seeds'}: {seeds}; ± is the standard error{mean} over users, "
        "0 where all users of a group agree, however few.",
        f"Protocol: sound but for the item numbers ({_numberings(plan)}); "
        f"{but_numbers_in_words(plan.protocols[0], text_models=bool(told))}.",
        *changed_settings(plan),
        *told,
        *(f"{title} learns nothing and lists the item with the next number first." for title in probes),
        *([_UNKNOWN] if groups is None else [_sizes(plan, groups)]),
        *(sentence for name in spec.models for sentence in _finding(name, plan, groups, found)),
        *data_notes(plan.card),
    )


def _numberings(plan: Plan) -> str:
    return "; ".join(f"{protocol.item_numbering}: {NUMBERED[protocol.item_numbering]}" for protocol in plan.protocols)


def _sizes(plan: Plan, groups: Groups) -> str:
    """How many users the numbers can give away."""
    parts = []
    for protocol in plan.protocols:
        members = groups.next[protocol.item_numbering]
        parts.append(f"{int(members.sum()):,} ({_percent(members.mean())}) under {protocol.item_numbering}")
    start = "Users whose test item has the number after the highest of their history"
    return f"{start}: of {len(groups.users):,}, {', '.join(parts)}."


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _finding(name: str, plan: Plan, groups: Groups | None, found: _Found) -> list[str]:
    """What the first numbering brings a model over the others, and by whom, from the figures alone."""
    here: list[Numbering] = [p.item_numbering for p in plan.protocols if (name, p.item_numbering) in found]
    if not here:
        return []
    title = next(entry.info.title for entry in plan.entries if entry.info.name == name)
    values = {numbering: found[name, numbering].values[_TOLD] for numbering in here}
    means = ", ".join(f"{fixed(float(column.mean()))} under {numbering}" for numbering, column in values.items())
    told = [f"{title}, {_TOLD}: {means}."]
    first = plan.protocols[0].item_numbering
    if first in here and len(here) > 1:
        compared = [_compared(values[first], values[other], other) for other in here[1:]]
        told.append(f"{first.capitalize()} is {' and '.join(compared)}.")
    if first in here and groups is not None and values[first].any():
        told.append(_whose(values[first], groups.next[first], first))
    return [" ".join(told)]


def _compared(ours: FloatArray, others: FloatArray, name: str) -> str:
    """A paired comparison over users in words."""
    below = bool(ours.mean() < others.mean())
    over = estimate(others - ours if below else ours - others)
    interval = f"95 % interval {fixed(over.low)} to {fixed(over.high)}"
    if over.low > 0:
        return f"{'below' if below else 'above'} {name} by {fixed(over.mean)} ({interval})"
    return f"not told apart from {name} (difference {fixed(over.mean)}, {interval})"


def _whose(values: FloatArray, members: BoolArray, numbering: Numbering) -> str:
    """To which users a model's hits under a numbering belong."""
    share = values[members].sum() / values.sum()
    whose = f"of the {_percent(members.mean())} of users whose test item has the next number"
    return f"Under {numbering}, {_percent(share)} of its hits are {whose}."


def write_leak(table: Table, folder: Path) -> list[Path]:
    """Write leak.csv and leak.tex; returns their paths."""
    paths = [folder / f"{table.number}.{kind}" for kind in ("csv", "tex")]
    write_text(paths[0], csv_lines(LEAK_COLUMNS, leak_rows(table)))
    write_text(paths[1], latex_table(table))
    return paths


def leak_rows(table: Table) -> Iterator[dict[str, str]]:
    """One row a cell: a metric of a model under a numbering over a group of users.

    value, std_error: mean over n_users users and its standard error, of n_seeds runs' means, rounded as printed; empty
    where missing. group: all, next (the test item has the number after the highest of the history) or other.
    """
    names = {heading: group for group, heading in GROUPS.items()}
    for panel in table.panels:
        for row in panel.rows:
            for metric, cell in zip(table.columns, row.cells, strict=True):
                yield {
                    "table": table.number,
                    "dataset": csv_text(table.dataset),
                    "preset": csv_text(table.preset),
                    "numbering": row.leads[0],
                    "model": csv_text(row.model),
                    "title": csv_text(row.title),
                    "group": names[panel.heading],
                    "metric": metric,
                    "value": "" if cell.value is None else fixed(cell.value),
                    "std_error": "" if cell.std is None else fixed(cell.std),
                    "n_users": row.leads[1].replace(",", ""),
                    "n_seeds": str(cell.n_seeds or ""),
                    "note": csv_text("; ".join(table.footnotes[number - 1] for number in row.notes)),
                }
