"""Tables for the terminal: aligned columns, marks as signs."""

from __future__ import annotations

from bench.report.inert import plain
from bench.report.table import Cell, Panel, Row, Table, fixed

_SIGNS = {"": "", "best": "*", "second": "+"}


def text_table(table: Table) -> str:
    """A table in aligned columns with its notes; `*` the best of a column, `+` the second."""
    lines = [f"{table.label}. {plain(table.caption)}"]
    for panel in table.panels:
        over = panel.heading or panel.protocol
        lines.append(f"[{plain(over)}]" if over else "")
        lines.extend(_ruled(_aligned([_head(table), *(_line(row, table) for row in panel.rows)]), panel))
    lines.extend(f"  ({number}) {plain(note)}" for number, note in enumerate(table.footnotes, start=1))
    lines.extend(f"  {plain(note)}" for note in table.notes)
    return "\n".join(line for line in lines if line) + "\n"


def _ruled(lines: list[str], panel: Panel) -> list[str]:
    """The lines of a panel, head first, with a rule under the head and where the kind of row changes."""
    rule = "  " + "-" * (max(map(len, lines)) - 2)
    shown = [lines[0], rule]
    for at, line in enumerate(lines[1:]):
        if at and panel.rows[at].kind != panel.rows[at - 1].kind:
            shown.append(rule)
        shown.append(line)
    return shown


def _head(table: Table) -> list[str]:
    columns = [[plain(name), "paper"] if table.has_paper else [plain(name)] for name in table.columns]
    return ["", *map(plain, table.leads), *(name for pair in columns for name in pair)]


def _line(row: Row, table: Table) -> list[str]:
    numbers = "".join(f" ({number})" for number in row.notes)
    cells = [f"{plain(row.title)}{numbers}", *map(plain, row.leads)]
    for cell in row.cells:
        cells.append(_ours(cell, cell.decimals(row)))
        if table.has_paper:
            cells.append(fixed(cell.paper, cell.decimals(row)) + (_SIGNS[cell.paper_mark] or " "))
    return cells


def _ours(cell: Cell, digits: int) -> str:
    spread = f" ±{fixed(cell.std, digits)}" if cell.std is not None else ""
    return f"{fixed(cell.value, digits)}{spread}{_SIGNS[cell.mark] or ' '}"


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column].rstrip()) for row in rows) + 1 for column in range(len(rows[0]))]
    rows = [[cell if cell.endswith((" ", "*", "+")) else f"{cell} " for cell in row] for row in rows]
    shown = []
    for first, *others in rows:
        parts = [f"{first:<{widths[0]}}"]
        parts += [f"{cell:>{width + 1}}" for cell, width in zip(others, widths[1:], strict=True)]
        shown.append(f"  {' '.join(parts)}".rstrip())
    return shown
