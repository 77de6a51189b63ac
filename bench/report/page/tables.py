"""A table as HTML: the same figures, marks, stars and notes as in its CSV and LaTeX."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report.page.markup import Child, Html, named, scrolling, tag
from bench.report.table import Cell, Panel, Row, Table, fixed

LEGEND = "Bold: best of its column; underlined: second."


def table_section(table: Table) -> Html:
    """A table with a panel a protocol, its footnotes and its notes."""
    name = named(table.label)
    panels = [_panel(table, panel, name) for panel in table.panels]
    footnotes = [
        tag("li", text, id=f"{name}-note-{number}", value=number)
        for number, text in enumerate(table.footnotes, start=1)
    ]
    notes = [LEGEND, *table.tested, *table.notes]
    return tag(
        "section",
        tag("h3", f"{table.label}. {table.caption}"),
        panels,
        tag("ol", footnotes, cls="notes") if footnotes else None,
        tag("details", tag("summary", "How to read it"), tag("ul", [tag("li", note) for note in notes], cls="notes")),
        id=name,
    )


def _panel(table: Table, panel: Panel, name: str) -> Html:
    over = panel.heading or (f"Protocol {panel.protocol}" if panel.protocol else table.caption)
    heads = [tag("th", "", scope="col")] + [tag("th", lead, scope="col") for lead in table.leads]
    for column in table.columns:
        heads.append(tag("th", column, scope="col", cls="num"))
        if table.has_paper:
            heads.append(tag("th", "paper", scope="col", cls="num paper", aria_label=f"{column}, the paper's"))
    rows = [row for row in panel.rows if row.kind != "improvement"]
    below = [row for row in panel.rows if row.kind == "improvement"]
    made = tag(
        "table",
        tag("caption", over),
        tag("thead", tag("tr", heads)),
        tag("tbody", [_row(table, row, name) for row in rows]),
        # What is no model is not sorted with the models.
        tag("tfoot", [_row(table, row, name) for row in below]) if below else None,
        cls="sortable",
    )
    return scrolling(made, f"{table.label}, {over}")


def _row(table: Table, row: Row, name: str) -> Html:
    links = [tag("a", number, href=f"#{name}-note-{number}") for number in map(str, row.notes)]
    cells: list[Child] = [tag("th", row.title, tag("sup", _spaced(links)) if links else None, scope="row")]
    cells += [tag("td", lead) for lead in row.leads]
    for column, cell in zip(table.columns, row.cells, strict=True):
        cells.append(_ours(table, row, column, cell))
        if table.has_paper:
            shown = _marked(fixed(cell.paper, cell.decimals(row)), cell.paper_mark)
            cells.append(tag("td", shown, cls="num paper", data_v=_raw(cell.paper)))
    return tag("tr", cells, cls=f"row-{row.kind}")


def _ours(table: Table, row: Row, column: str, cell: Cell) -> Html:
    digits = cell.decimals(row)
    spread = tag("small", f" ±{fixed(cell.std, digits)}") if cell.std is not None else None
    stars = tag("sup", cell.stars, cls="stars") if cell.stars else None
    return tag(
        "td",
        _marked(fixed(cell.value, digits), cell.mark),
        spread,
        stars,
        cls="num",
        data_v=_raw(cell.value),
        title=_hover(column, cell, digits) if table.has_paper else None,
    )


def _hover(column: str, cell: Cell, digits: int) -> str:
    paper = f"the paper prints {fixed(cell.paper, digits)}" if cell.paper is not None else "the paper prints nothing"
    return f"{column}: {paper}; here {_runs(cell)}"


def _runs(cell: Cell) -> str:
    if cell.value is None:
        return "no figure"
    users = f" of {cell.n_users:,} each" if cell.n_users else ""
    return f"{cell.n_seeds} {'run' if cell.n_seeds == 1 else 'runs'}{users}" if cell.n_seeds else "no run needed"


def _marked(text: str, mark: str) -> Child:
    return tag("strong", text) if mark == "best" else tag("u", text) if mark == "second" else text


def _raw(value: float | None) -> str | None:
    # Twelve digits: processors differ in the last ones, and the same records should make the same page anywhere.
    return None if value is None else f"{float(value):.12g}"


def _spaced(links: Sequence[Html]) -> list[Child]:
    return [part for at, link in enumerate(links) for part in ((" ", link) if at else (link,))]
