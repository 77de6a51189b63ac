"""Figure 4: what the number of prompt vectors K brings and costs (POD section 5.5).

The paper's figure scales its metrics onto one axis and prints no numbers. Here every metric has its own axis; the
scaled look is a second file.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.explanation_judge import figure
from bench.protocols import Protocol
from bench.report.build import cell_of, dataset_title, explanation_reasons, reasons
from bench.report.figures import Line, PanelOf, draw_panels
from bench.report.files import write_table
from bench.report.inference import (
    apart_note,
    first_figures,
    tasks_of,
    time_cell,
    timing_notes,
    unsteady_note,
    write_times,
)
from bench.report.notes import changed_settings, data_notes, protocol_in_words, run_notes, seed_note
from bench.report.specs import TableSpec
from bench.report.table import Cell, Footnotes, Panel, Row, Table
from bench.report.text_models import model_notes, scratch_mark
from bench.runs.plan import Entry, Plan
from bench.runs.timed import OURS_WAY

_METRICS = {
    "sequential": ("HR@10", "NDCG@10"),
    "topn": ("HR@10", "NDCG@10"),
    "explanation": ("BLEU-4", "ROUGE-L"),
}
_TITLES = {"sequential": "Sequential", "topn": "Top-N", "explanation": "Explanation"}


def build_sensitivity(spec: TableSpec, plan: Plan, folder: Path, suffix: str) -> tuple[Table, list[Path]]:
    """The numbers of Figure 4 as a table, written with the figure, its scaled look, and the times."""
    footnotes = Footnotes()
    plan = _shown(plan)
    panels = tuple(_panel(plan, protocol, footnotes) for protocol in plan.protocols)
    columns = tuple(
        column for task in tasks_of(plan) for column in (*(f"{_TITLES[task]} {m}" for m in _METRICS[task]), "ms")
    )
    notes = (
        *run_notes(plan),
        seed_note(plan),
        *(f"Protocol {each.name}: {protocol_in_words(each, text_models=True)}." for each in plan.protocols),
        *changed_settings(plan),
        *model_notes(plan.entries, None),
        *timing_notes(plan.entries),
        "Bars in the picture: one standard deviation over seeds; of times, half the range of the repeats.",
        "The paper's Figure 4 (Sports) prints no numbers; its text says that recommendation generally grows with K "
        "and explanation is at its best at K = 1 or 3.",
        *data_notes(plan.card),
    )
    caption = f"{spec.caption}: {dataset_title(plan.card.name)}"
    table = Table(
        spec.number, caption, plan.card.name, plan.preset, columns, panels, False, notes, tuple(footnotes.texts)
    )
    paths = write_table(table, folder, suffix)
    paths += write_times(plan.entries, plan, folder / f"fig4_times{suffix}.csv")
    for protocol in plan.protocols:
        paths += _draw(plan, protocol, folder / f"fig4_{protocol.name}{suffix}")
    return table, paths


def _shown(plan: Plan) -> Plan:
    """The plan without protocols of which nothing is to be run and but one K is there, from another table."""
    there = {each: {e.variant for e in plan.entries if e.protocol == each and e.record} for each in plan.protocols}
    asked = {entry.protocol for entry in plan.entries if entry.asked}
    told = [each for each in plan.protocols if each in asked or len(there[each]) > 1]
    return replace(plan, protocols=told, entries=[entry for entry in plan.entries if entry.protocol in told])


def _values(plan: Plan) -> list[str]:
    return list(dict.fromkeys(entry.variant for entry in plan.entries))


def _entries(plan: Plan, protocol: Protocol, value: str) -> list[Entry]:
    return [entry for entry in plan.entries if entry.protocol == protocol and entry.variant == value]


def _name(task: str, metric: str, protocol: Protocol) -> str:
    return figure(metric, protocol.text_metrics) if task == "explanation" else metric


def _panel(plan: Plan, protocol: Protocol, footnotes: Footnotes) -> Panel:
    rows = []
    for value in _values(plan):
        entries = _entries(plan, protocol, value)
        cells: list[Cell] = []
        for task in tasks_of(plan):
            cells += [cell_of(entries, task, _name(task, metric, protocol)) for metric in _METRICS[task]]
            cells.append(time_cell(entries, OURS_WAY, task))
        texts = [*scratch_mark(entries), *reasons(entries)]
        if plan.card.explanations_fingerprint:
            texts += [text for text in explanation_reasons(entries, plan.card) if text not in texts]
        texts += [*unsteady_note(entries, OURS_WAY, plan), *apart_note(entries, plan)]
        rows.append(Row(f"K={value}", f"K = {value}", tuple(cells), tuple(map(footnotes.add, texts)), "added"))
    return Panel(protocol.name, tuple(rows))


def _draw(plan: Plan, protocol: Protocol, stem: Path) -> list[Path]:
    """The figure and its scaled look of what is there under a protocol; nothing where nothing is."""
    panels: list[PanelOf] = []
    times: list[PanelOf] = []
    scaled: list[PanelOf] = []
    for task in tasks_of(plan):
        lines = [_line(plan, protocol, task, metric, at == 1) for at, metric in enumerate(_METRICS[task])]
        lines = [line for line in lines if line.x]
        if not lines:
            continue
        first, second = (_METRICS[task][0], _METRICS[task][1])
        axes = {"xlabel": "K", "ticks": "each", "ylabel": first, "right": second}
        panels.append((f"{_TITLES[task]} ({protocol.name})", axes, lines))
        scaled.append((f"{_TITLES[task]}, scaled", {"xlabel": "K", "ticks": "each"}, [_scaled(line) for line in lines]))
        cost = _times(plan, protocol, task)
        if cost.x:
            unit = "ms a pair" if task == "explanation" else "ms a user"
            times.append(("", {"xlabel": "K", "ticks": "each", "ylabel": unit, "from": "zero"}, [cost]))
    if not panels:
        return []
    return [
        *draw_panels([*panels, *times], stem, len(panels)),
        *draw_panels(scaled, stem.with_name(f"{stem.name}_scaled")),
    ]


def _line(plan: Plan, protocol: Protocol, task: str, metric: str, right: bool) -> Line:
    """A metric over K: means over seeds, bars of one standard deviation where there are several."""
    x, y, spread = [], [], []
    for value in _values(plan):
        cell = cell_of(_entries(plan, protocol, value), task, _name(task, metric, protocol))
        if cell.value is not None:
            x.append(float(value))
            y.append(cell.value)
            spread.append(cell.std or 0.0)
    return Line(metric, x, y, spread if any(spread) else None, right)


def _scaled(line: Line) -> Line:
    """On the way from the smallest to the largest value, as the paper draws it."""
    low, high = min(line.y), max(line.y)
    return Line(line.label, line.x, [(value - low) / (high - low) if high > low else 0.5 for value in line.y])


def _times(plan: Plan, protocol: Protocol, task: str) -> Line:
    """Milliseconds a query over K: medians, bars of half the range of the repeats."""
    x, y, spread = [], [], []
    for value in _values(plan):
        found = first_figures(_entries(plan, protocol, value), OURS_WAY, task)
        if found is not None:
            x.append(float(value))
            y.append(1000.0 * found.seconds)
            spread.append(500.0 * found.seconds * found.spread)
    return Line("", x, y, spread)
