"""Figures of the report as PNG and PDF: lines in panels, the same bytes for the same figures."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.runs.record import whole_or_nothing

# Told apart in grey and by people who see colours otherwise (Okabe and Ito).
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = "os^Dvx*"
_SIGNS = "●■▲◆▼×*"


@dataclass(frozen=True)
class Line:
    """A line of a panel. spread: half the height of each point's bar; None: no bars. right: on the right axis."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    spread: Sequence[float] | None = None
    right: bool = False


# A panel: its title, what the axes are called ("xlabel", "ylabel", "right"; "ticks": "each" for one tick a value of x,
# evenly spaced; "from": "zero" for a left axis that begins there), and its lines.
PanelOf = tuple[str, Mapping[str, str], Sequence[Line]]


def draw_panels(panels: Sequence[PanelOf], stem: Path, columns: int = 3) -> list[Path]:
    """Draw panels into <stem>.png and <stem>.pdf; returns the paths."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(1.2 + 4.0 * columns, 3.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for at, (title, axes, lines) in enumerate(panels):
        _panel(figure.add_subplot(rows, columns, at + 1), title, axes, lines)
    written = []
    with rc_context({"pdf.fonttype": 42}):
        for kind, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None, "Producer": None})):
            path = stem.with_name(f"{stem.name}.{kind}")
            aside = path.with_name(f".tmp-{os.getpid()}-{path.name}")
            with whole_or_nothing(aside):
                figure.savefig(aside, format=kind, dpi=130, metadata=metadata)
                aside.replace(path)
            written.append(path)
    return written


def _panel(left: Any, title: str, axes: Mapping[str, str], lines: Sequence[Line]) -> None:
    left.set(title=title, xlabel=axes.get("xlabel", ""), ylabel=axes.get("ylabel", ""))
    right = left.twinx() if any(line.right for line in lines) else None
    if right is not None:
        right.set_ylabel(axes.get("right", ""))
    each = axes.get("ticks") == "each"
    places = {value: at for at, value in enumerate(sorted({x for line in lines for x in line.x}))}
    handles = []
    for at, line in enumerate(lines):
        x = [places[value] for value in line.x] if each else list(line.x)
        style = {"color": _COLOURS[at % len(_COLOURS)], "marker": _MARKERS[at % len(_MARKERS)], "markersize": 3.5}
        axis = right if line.right and right is not None else left
        handles.append(
            axis.errorbar(x, line.y, yerr=line.spread, label=line.label, linewidth=1.2, capsize=2.5, **style)
        )
    if each:
        left.set_xticks(list(places.values()), [f"{value:g}" for value in places])
    if axes.get("from") == "zero":
        left.set_ylim(bottom=0.0)
    left.grid(alpha=0.3)
    if right is not None:
        # A legend would lie on lines of either axis: labels in the lines' colours, with their markers, say the same.
        for axis in (left, right):
            own = [at for at, line in enumerate(lines) if line.right == (axis is right)]
            signs = "".join(_SIGNS[at % len(_SIGNS)] for at in own)
            axis.set_ylabel(f"{signs} {axis.get_ylabel()}", color=_COLOURS[own[0] % len(_COLOURS)] if own else "black")
    elif len(handles) > 1 or lines[0].label:
        left.legend(handles=handles, fontsize="small", frameon=False)
