"""What a table is before it becomes CSV, LaTeX or text, and the one way of rounding."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

Mark = Literal["", "best", "second"]
Kind = Literal["paper", "added", "improvement", "size"]

MISSING = "–"
PERCENT_DIGITS = 2
METRIC_DIGITS = 4


@dataclass(frozen=True)
class Cell:
    """One figure of ours and the paper's.

    value:   the mean over seeds; None where there is none.
    std:     what stands behind ±: the standard deviation over seeds (n - 1 in the denominator), None for one seed; in
             the leak table the standard error over users.
    n_seeds: runs behind the mean.
    n_users: users behind each run's figure.
    paper:   what the paper prints in this place; None where it prints nothing.
    stars:   how sure a paired test is that our model's figure is another than the best baseline's; see `Table.tested`.
    digits:  decimals, where they are not the row's.
    """

    value: float | None = None
    std: float | None = None
    n_seeds: int = 0
    n_users: int = 0
    paper: float | None = None
    mark: Mark = ""
    paper_mark: Mark = ""
    stars: str = ""
    digits: int | None = None

    def decimals(self, row: Row) -> int:
        """How many to show."""
        return row.digits if self.digits is None else self.digits


@dataclass(frozen=True)
class Row:
    """One line of a table.

    model:  the name in files; "" where the row is none.
    cells:  one a column.
    notes:  numbers (from 1) of the table's footnotes that explain it.
    kind:   a row that the paper has, one it has not, the improvement, or a size (Table 1).
    digits: decimals; 0: whole numbers with separators.
    leads:  texts between title and cells, one a lead column of the table.
    """

    model: str
    title: str
    cells: tuple[Cell, ...]
    notes: tuple[int, ...] = ()
    kind: Kind = "paper"
    digits: int = METRIC_DIGITS
    leads: tuple[str, ...] = ()


@dataclass(frozen=True)
class Panel:
    """The rows under one protocol; protocol "": the table knows none. heading: what else its rows have in common."""

    protocol: str
    rows: tuple[Row, ...]
    heading: str = ""


@dataclass(frozen=True)
class Table:
    """A table of one dataset and preset.

    columns:   metrics, or what Table 1 has in their place.
    has_paper: whether the paper prints figures for this dataset.
    notes:     sentences for all of it.
    footnotes: texts that rows refer to by number.
    leads:     heads of the columns of text between titles and figures; none where the paper has figures.
    tested:    sentences on the stars of its cells, for those who draw them: on the terminal a star marks the best.
    """

    number: str
    caption: str
    dataset: str
    preset: str
    columns: tuple[str, ...]
    panels: tuple[Panel, ...]
    has_paper: bool
    notes: tuple[str, ...] = ()
    footnotes: tuple[str, ...] = ()
    leads: tuple[str, ...] = ()
    tested: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """How it is called where it has no number of its own."""
        if self.number.startswith("fig"):
            return f"Figure {self.number.removeprefix('fig')} in numbers"
        if self.number.isdigit():
            return f"Table {self.number}"
        kind, dash, name = self.number.partition("-")
        return f"{kind.capitalize()} table" + (f", {name.replace('-', ' ')}" if dash else "")


def starred(table: Table, stars: Callable[[str, str, str], str], notes: Iterable[str]) -> Table:
    """The table with the stars of each cell, and what they mean under it.

    stars: of a protocol, model and metric.
    """
    panels = []
    for panel in table.panels:
        rows = []
        for row in panel.rows:
            marked = (stars(panel.protocol, row.model, metric) for metric in table.columns)
            cells = (replace(cell, stars=each) for cell, each in zip(row.cells, marked, strict=True))
            rows.append(replace(row, cells=tuple(cells)))
        panels.append(replace(panel, rows=tuple(rows)))
    return replace(table, panels=tuple(panels), tested=tuple(notes))


@dataclass
class Footnotes:
    """Collects footnotes; equal texts share a number."""

    texts: list[str] = field(default_factory=list)

    def add(self, text: str) -> int:
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1


def fixed(value: float | None, digits: int = METRIC_DIGITS) -> str:
    """A number as every table shows it: correctly rounded, never "-0.0000"; a dash for none or nan."""
    if value is None or math.isnan(value):
        return MISSING
    text = f"{value:,.0f}" if digits == 0 else f"{value:.{digits}f}"
    return text.lstrip("-") if not any(digit in text for digit in "123456789") else text


def marks(values: Sequence[float | None], digits: int = METRIC_DIGITS) -> list[Mark]:
    """Best and second best of a column as printed: values equal after rounding share a mark.

    None never gets one, and a single value has nothing to be best of.
    """
    shown = [None if value is None or math.isnan(value) else float(fixed(value, digits)) for value in values]
    present = [value for value in shown if value is not None]
    if len(present) < 2:
        return [""] * len(values)
    ladder = sorted(set(present), reverse=True)[:2]
    names: dict[float | None, Mark] = dict(zip(ladder, ("best", "second"), strict=False))
    return [names.get(value, "") for value in shown]
