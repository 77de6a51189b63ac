"""From a plan with its records to tables in the paper's layout."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import replace

from bench.data.catalog import DATASETS
from bench.models import ModelInfo
from bench.protocols import Protocol
from bench.report.explanation_notes import explanation_notes
from bench.report.notes import general_notes, size_notes
from bench.report.published import OURS, improvement, paper_has, paper_title, paper_value
from bench.report.specs import TABLES, TableSpec, models_of
from bench.report.table import METRIC_DIGITS, PERCENT_DIGITS, Cell, Footnotes, Kind, Panel, Row, Table, marks
from bench.report.text_models import scratch_mark
from bench.runs.plan import DatasetCard, Entry, Plan
from bench.runs.predictions import EXPLANATIONS
from bench.runs.record import Record

ABSENT = "this version has no such model"
_NOTHING = "explains nothing, as this dataset has no explanations"


def build_table(spec: TableSpec, plan: Plan) -> Table:
    """The table `spec` of the plan's dataset; cells without a record say why in a footnote."""
    card = plan.card
    caption = f"{spec.caption}: {dataset_title(card.name)}"
    if spec.task is None:
        return _sizes(spec, plan, caption)
    footnotes = Footnotes()
    has_paper = paper_has(spec.number, card.name)
    panels = tuple(_panel(spec, plan, protocol, footnotes, has_paper) for protocol in plan.protocols)
    notes = explanation_notes if spec.task == "explanation" else general_notes
    return Table(
        spec.number,
        caption,
        card.name,
        plan.preset,
        spec.metrics,
        panels,
        has_paper,
        notes(spec, plan, has_paper, [name for name, _ in rows_of(spec, plan)]),
        tuple(footnotes.texts),
    )


def dataset_title(name: str) -> str:
    """How tables call a dataset."""
    return DATASETS[name].title if name in DATASETS else name


def rows_of(spec: TableSpec, plan: Plan) -> list[tuple[str, Kind]]:
    """The models of a table with their kind: the paper's, the added ones, those on request, then asked ones that no
    table knows.
    """
    known = models_of(TABLES.values())
    more = [e.info.name for e in plan.entries if e.asked and spec.task in e.info.tasks]
    extra = [name for name in dict.fromkeys(more) if name not in known or name in plan.named & {*spec.on_request}]
    kinds: list[tuple[tuple[str, ...] | list[str], Kind]] = [(spec.paper, "paper"), (spec.added, "added")]
    return [(name, kind) for names, kind in [*kinds, (extra, "added")] for name in names]


def _panel(spec: TableSpec, plan: Plan, protocol: Protocol, footnotes: Footnotes, has_paper: bool) -> Panel:
    rows = [_row(spec, plan, protocol, name, kind, footnotes) for name, kind in rows_of(spec, plan)]
    probes = {entry.info.name for entry in plan.entries if entry.info.family == "probe"}
    rows = _marked(rows, probes)
    at = sum(row.kind == "paper" for row in rows)
    behind = scratch_mark(plan.of(OURS, protocol))
    rows.insert(at, _improvement(rows[:at], footnotes, has_paper, behind))
    return Panel(protocol.name, tuple(rows))


def _row(spec: TableSpec, plan: Plan, protocol: Protocol, name: str, kind: Kind, footnotes: Footnotes) -> Row:
    entries = plan.of(name, protocol)
    info = entries[0].info if entries else None
    cells = tuple(
        replace(
            cell_of(entries, str(spec.task), spec.figure(metric, protocol)),
            paper=paper_value(spec.number, plan.card.name, name, metric),
        )
        for metric in spec.metrics
    )
    missing = explanation_reasons(entries, plan.card) if spec.task == "explanation" else reasons(entries)
    notes = tuple(footnotes.add(text) for text in [*scratch_mark(entries), *missing])
    return Row(name, row_title(name, info), cells, notes, kind)


def row_title(name: str, info: ModelInfo | None) -> str:
    """How tables call a model, be it here or in the paper alone."""
    return info.title if info else paper_title(name) or name


def cell_of(entries: Iterable[Entry], task: str, metric: str) -> Cell:
    """A figure of a model's runs: mean and spread over its seeds; an empty cell where no record has it."""
    found = [e.record.metrics[task] for e in entries if e.record and metric in e.record.metrics.get(task, {})]
    if not found:
        return Cell()
    values = [figures[metric] for figures in found]
    std = statistics.stdev(values) if len(values) > 1 else None
    return Cell(statistics.fmean(values), std, len(values), int(found[0]["n"]))


def reasons(entries: list[Entry]) -> list[str]:
    """Why runs are missing: one text for all seeds where they agree, else one a seed."""
    if not entries:
        return [ABSENT]
    absent = [e for e in entries if e.record is None]
    if len(absent) == len(entries) and len({e.reason for e in absent}) == 1:
        return [_worded(absent[0])]
    return [f"without seed {e.seed}: {_worded(e)}" for e in absent]


def explanation_reasons(entries: list[Entry], card: DatasetCard) -> list[str]:
    """Why figures of explanations are missing: because there is no run, nothing to explain, or no verdict."""
    if card.no_explanations and not card.explanations_fingerprint and not any(entry.obstacle for entry in entries):
        return [f"{_NOTHING} ({card.no_explanations})"] if entries else [ABSENT]
    found = [e.record for e in entries if e.record is not None and "explanation" not in e.record.metrics]
    return [*reasons(entries), *dict.fromkeys(map(_unjudged, found))]


def _unjudged(record: Record) -> str:
    if "explanation" not in record.content["identity"]["tasks"]:
        return _NOTHING
    if not (record.path / EXPLANATIONS).exists():
        return "its sentences are neither judged by this version nor here: run it again with --force"
    return "its sentences are not judged by this version yet: run without --report-only"


def _worded(entry: Entry) -> str:
    return f"failed: {entry.reason}" if entry.failed else entry.reason


def _marked(rows: list[Row], probes: set[str]) -> list[Row]:
    """Rows with best and second marked in every column, ours and the paper's apart; probes do not compete."""
    width = len(rows[0].cells) if rows else 0
    for column in range(width):
        ours = marks([None if row.model in probes else row.cells[column].value for row in rows])
        paper = marks([row.cells[column].paper for row in rows])
        for at, row in enumerate(rows):
            cell = replace(row.cells[column], mark=ours[at], paper_mark=paper[at])
            rows[at] = replace(row, cells=(*row.cells[:column], cell, *row.cells[column + 1 :]))
    return rows


def _improvement(rows: list[Row], footnotes: Footnotes, has_paper: bool, behind: list[str]) -> Row:
    """POD over the best of the paper's baselines, in percent, from unrounded means; the paper's from its figures.

    behind: what must be said of POD's figures, and so of these.
    """
    cells = []
    for column in range(len(rows[0].cells)):
        at = {row.model: row.cells[column] for row in rows}
        pod = at.pop(OURS, Cell())
        ours = improvement(pod.value, [cell.value for cell in at.values() if cell.value is not None])
        paper = improvement(pod.paper, [cell.paper for cell in at.values() if cell.paper is not None])
        cells.append(Cell(value=ours, paper=paper if has_paper else None))
    missing = [row.title for row in rows if row.model != OURS and row.cells[0].value is None]
    texts = [*behind, f"over the baselines that are here, without {', '.join(missing)}"] if missing else behind
    if all(cell.value is None for cell in cells):
        texts = ["no improvement without a result of POD and of a baseline"]
    notes = tuple(map(footnotes.add, texts))
    return Row("", "Improvement (%)", tuple(cells), notes, "improvement", PERCENT_DIGITS)


_SIZES = (
    ("users", "Users", 0),
    ("items", "Items", 0),
    ("interactions", "Interactions", 0),
    ("density", "Sparsity (%)", METRIC_DIGITS),
    ("evaluated", "Evaluated users", 0),
)


def _sizes(spec: TableSpec, plan: Plan, caption: str) -> Table:
    """Table 1: sizes of the dataset. What the paper calls sparsity is the filled share of the matrix."""
    card: DatasetCard = plan.card
    rows = []
    for name, title, digits in _SIZES:
        paper = paper_value(spec.number, card.name, "dataset", name)
        cell = Cell(value=float(getattr(card, name)), paper=paper)
        rows.append(Row(name, title, (cell,), kind="size", digits=digits))
    title = dataset_title(card.name)
    has_paper = paper_has(spec.number, card.name)
    panels = (Panel("", tuple(rows)),)
    return Table(spec.number, caption, card.name, plan.preset, (title,), panels, has_paper, size_notes(card, has_paper))
