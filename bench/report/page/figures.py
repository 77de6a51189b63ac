"""The page's figures: learning curves, what K brings, training strategies over time, time and padding of each run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.report.figures import Line
from bench.report.machines import machine_in_words
from bench.report.page.chart import bar, line_chart
from bench.report.page.contents import Contents, curve_of, duration, seconds_of
from bench.report.page.markup import Html, grid, tag
from bench.report.table import Table
from bench.runs.record import Record


def figure_sections(contents: Contents) -> Iterator[Html]:
    """Every figure there is something to draw of; what there is nothing of is said with its reason."""
    yield _section("learning", "Learning curves", _learning(contents), "no run here has a learning curve")
    yield _section("times", "Time of each run", _times(contents), "no run here has recorded times")
    why = "no learning curve here counts padding (those of text models trained with batches do)"
    yield _section("padding", "Padding in training", _padding(contents), why)
    if "fig4" in (spec.number for spec in contents.specs):
        tables = [table for table in contents.tables if table.number == "fig4"]
        charts = [chart for table in tables for chart in k_curves(table)]
        yield _section("k-curves", "Figure 4: the number of prompt vectors K", charts, "none of its runs is here")
    if "5" in contents.own:
        yield _section("strategies", "Table 5 over time", _strategies(contents), "none of its runs is here")


def _section(name: str, title: str, parts: Sequence[Html | None], why_not: str) -> Html:
    shown = [part for part in parts if part is not None]
    body = tag("div", shown, cls="charts") if shown else tag("p", f"Nothing to show: {why_not}.", cls="missing")
    return tag("section", tag("h3", title), body, id=name)


def _learning(contents: Contents) -> list[Html | None]:
    """A chart a run: losses on the left axis, a score of validation on the right."""
    return [_curve(contents.label(record), curve_of(record)) for record in contents.records]


def _curve(title: str, curve: Sequence[dict[str, float]]) -> Html | None:
    names = list(dict.fromkeys(name for row in curve for name in row))
    losses = [name for name in ("loss", "validation_loss") if name in names]
    scores = [name for name in names if name == "validation"]
    lines = [_column(curve, name, right=name in scores) for name in (*losses, *scores)]
    return line_chart(title, "epoch", "", lines, "validation score" if scores else "")


def _column(curve: Sequence[dict[str, float]], name: str, *, right: bool) -> Line:
    rows = [(row.get("epoch", float(at)), row[name]) for at, row in enumerate(curve, start=1) if name in row]
    label = "" if right else name.replace("_", " ")
    return Line(label, [x for x, _ in rows], [y for _, y in rows], right=right)


def _times(contents: Contents) -> list[Html | None]:
    runs = [(record, *seconds_of(record)) for record in contents.records]
    most = max((max(fit, ask) for _, fit, ask in runs), default=0.0)
    if not runs:
        return []
    rows = [(contents.label(r), f"{fit:,.1f}", bar(fit, most), f"{ask:,.1f}", bar(ask, most)) for r, fit, ask in runs]
    note = f"Wall seconds as recorded, on {'; '.join(devices(contents.records))}. Bars share one scale."
    head = ("run", "fit, s", "", "asking, s", "")
    return [grid(head, rows, note, numbers=(1, 3))]


def devices(records: Sequence[Record]) -> list[str]:
    """What runs ran on, each machine once, in words."""
    return sorted({machine_in_words(record.content) for record in records})


def _padding(contents: Contents) -> list[Html | None]:
    found = [(record, curve[-1]["padding"]) for record in contents.records if (curve := _padded(record))]
    rows = [
        (contents.label(r), str(r.content.get("facts", {}).get("strategy", "–")), f"{100 * share:.1f}", bar(share, 1.0))
        for r, share in found
    ]
    caption = "Share of the tokens that training steps computed which was padding, in percent."
    return [grid(("run", "strategy", "padding, %", ""), rows, caption, numbers=(2,))] if rows else []


def _padded(record: Record) -> list[dict[str, float]]:
    curve = curve_of(record)
    return curve if curve and "padding" in curve[-1] else []


def k_curves(table: Table) -> Iterator[Html]:
    """The columns of Figure 4's table over K, a chart a column and protocol, with one standard deviation where there is
    one.
    """
    for panel in table.panels:
        for at, column in enumerate(table.columns):
            found = [(float(row.model.removeprefix("K=")), row.cells[at]) for row in panel.rows]
            points = [(k, cell.value, cell.std or 0.0) for k, cell in found if cell.value is not None]
            spread = [p[2] for p in points]
            line = Line("", [p[0] for p in points], [p[1] for p in points], spread if any(spread) else None)
            label = "wall ms a user or pair" if column == "ms" else column
            title = f"{_before(table.columns, at)}, {panel.protocol}"
            if chart := line_chart(title, "K", label, [line]):
                yield chart


def _before(columns: Sequence[str], at: int) -> str:
    """What a column is of: times stand behind the figures of their task."""
    return columns[at] if columns[at] != "ms" or not at else f"{columns[at - 1].split()[0]} time"


def _strategies(contents: Contents) -> list[Html | None]:
    """Validation loss over seconds of training, a line a strategy, a chart a seed."""
    charts: list[Html | None] = []
    for seed in contents.plan.seeds:
        lines = []
        for entry in contents.own["5"].entries:
            if entry.record is not None and entry.seed == seed:
                rows = [r for r in curve_of(entry.record) if {"seconds", "validation_loss"} <= r.keys()]
                lines.append(Line(entry.variant, [r["seconds"] for r in rows], [r["validation_loss"] for r in rows]))
        charts.append(line_chart(f"Training strategies, seed {seed}", "wall s", "validation loss", lines))
    return charts


def total_time(records: Sequence[Record]) -> str:
    """Wall time of runs one after another, in words."""
    fit, ask = (sum(parts) for parts in zip(*map(seconds_of, records), strict=True)) if records else (0.0, 0.0)
    return f"{duration(fit + ask)} ({duration(fit)} of fitting, {duration(ask)} of asking)"
