r"""Tables in LaTeX: a fragment to \input where booktabs is loaded, and a document of its own for pdflatex."""

from __future__ import annotations

from bench.report.inert import latex_text
from bench.report.table import Cell, Mark, Panel, Row, Table, fixed

_HEAD = r"""%% Needs \usepackage{booktabs}; by itself this file is a whole document.
\ifdefined\section\else
  \documentclass{article}
  \usepackage{booktabs}
  \usepackage[margin=2cm]{geometry}
  \pagestyle{empty}
  \def\PodiumEnd{\end{document}}
  \begin{document}
  \setcounter{table}{%s}
\fi
\providecommand{\PodiumEnd}{}
"""
_COMMANDS: dict[Mark, str] = {"": "%s", "best": r"\textbf{%s}", "second": r"\underline{%s}"}


def latex_table(table: Table) -> str:
    """The table as LaTeX; everything that comes from data or models is escaped."""
    leads = "l" * len(table.leads)
    width = len(table.columns) * (2 if table.has_paper else 1)
    lines = [
        r"\begin{table*}[t]",
        rf"\centering{_size(table)}",
        rf"\caption{{{latex_text(table.caption)}.{_caption_end(table)}}}",
        rf"\begin{{tabular}}{{l{leads}*{{{width}}}{{r}}}}",
        r"\toprule",
        *_head(table),
    ]
    for panel in table.panels:
        lines += [r"\midrule", *_panel(panel, table, 1 + len(leads) + width)]
    lines += [r"\bottomrule", r"\end{tabular}", "", *_notes(table), r"\end{table*}", r"\PodiumEnd"]
    return _HEAD % _counter(table.number) + "\n".join(lines) + "\n"


def _counter(number: str) -> int:
    """What the table counter must stand at for the table to get its number."""
    return int(number) - 1 if number.isdigit() else 0


def _size(table: Table) -> str:
    """Letters and gaps that keep the widest tables, with spreads beside the paper's figures, on the page."""
    spread = any(cell.std is not None for panel in table.panels for row in panel.rows for cell in row.cells)
    tight = (spread and table.has_paper) or len(table.columns) * (2 if table.has_paper or spread else 1) > 10
    gap, letters = ("1.5pt", r"\scriptsize") if tight else ("3.5pt", r"\footnotesize")
    return rf"{letters}\setlength{{\tabcolsep}}{{{gap}}}"


def _caption_end(table: Table) -> str:
    cells = (cell for panel in table.panels for row in panel.rows for cell in row.cells)
    marks = " Best in bold, second underlined." if any(cell.mark or cell.paper_mark for cell in cells) else ""
    return (" Beside each figure of ours stands the paper's." if table.has_paper else "") + marks


def _head(table: Table) -> list[str]:
    names = [_heading(name, len(table.columns)) for name in table.columns]
    if not table.has_paper:
        return [" & ".join(["", *map(latex_text, table.leads), *names]) + r" \\"]
    over = " & ".join(rf"\multicolumn{{2}}{{c}}{{{name}}}" for name in names)
    rules = " ".join(rf"\cmidrule(lr){{{at}-{at + 1}}}" for at in range(2, 2 * len(names) + 2, 2))
    under = " & ".join(["ours & paper"] * len(names))
    return [rf" & {over} \\", rules, rf" & {under} \\"]


def _heading(name: str, columns: int) -> str:
    """A column's name, in two lines where there are many columns and it has several words."""
    first, _, rest = name.rpartition(" ")
    if columns <= 6 or not first:
        return latex_text(name)
    return rf"\shortstack[r]{{{latex_text(first)}\\{latex_text(rest)}}}"


def _panel(panel: Panel, table: Table, width: int) -> list[str]:
    lines = []
    over = panel.heading or (f"Protocol: {panel.protocol}" if panel.protocol else "")
    if over:
        lines.append(rf"\multicolumn{{{width}}}{{l}}{{\textit{{{latex_text(over)}}}}} \\")
    before = None
    for row in panel.rows:
        if before is not None and row.kind != before:
            lines.append(rf"\cmidrule{{1-{width}}}")
        lines.append(_row(row, table))
        before = row.kind
    return lines


def _row(row: Row, table: Table) -> str:
    numbers = ",".join(map(str, row.notes))
    cells = [latex_text(row.title) + (rf"\textsuperscript{{{numbers}}}" if numbers else "")]
    cells += map(latex_text, row.leads)
    for cell in row.cells:
        cells.append(_ours(cell, cell.decimals(row)))
        if table.has_paper:
            cells.append(_number(cell.paper, cell.decimals(row), cell.paper_mark))
    return " & ".join(cells) + r" \\"


def _ours(cell: Cell, digits: int) -> str:
    spread = rf"{{\tiny$\pm${fixed(cell.std, digits)}}}" if cell.std is not None else ""
    stars = rf"\textsuperscript{{{cell.stars}}}" if cell.stars else ""
    return _number(cell.value, digits, cell.mark) + stars + spread


def _number(value: float | None, digits: int, mark: Mark) -> str:
    return _COMMANDS[mark] % latex_text(fixed(value, digits))


def _notes(table: Table) -> list[str]:
    texts = [rf"\textsuperscript{{{at}}}~{latex_text(note)}." for at, note in enumerate(table.footnotes, start=1)]
    texts += [latex_text(note) for note in (*table.notes, *table.tested)]
    return [r"\smallskip", r"\begin{minipage}{0.95\textwidth}\scriptsize", *texts, r"\end{minipage}"]
