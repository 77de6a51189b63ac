"""A run's learning curve, as numbers and as a picture."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

Row = dict[str, float]


def write_curve(path: Path, curve: Sequence[Row]) -> None:
    """Write one row per epoch; columns in the order in which they first appear."""
    columns = list(dict.fromkeys(name for row in curve for name in row))
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(curve)


def draw_curve(path: Path, curve: Sequence[Row]) -> None:
    """Draw losses on the left and other scores, where there are any, on the right, over epochs."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(name for row in curve for name in row))
    losses = [name for name in names if "loss" in name]
    scores = [name for name in names if name.startswith("validation") and name not in losses]
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    left = figure.add_subplot()
    left.set(xlabel="epoch", ylabel="loss")
    lines = [line for name in losses for line in left.plot(*_points(curve, name), label=_words(name))]
    if scores:
        right = left.twinx()
        right.set_ylabel("validation score")
        for name in scores:
            lines += right.plot(*_points(curve, name), "--", color="black", label=_words(name))
    left.grid(alpha=0.3)
    if lines:
        left.legend(handles=lines, fontsize="small", frameon=False)
    figure.savefig(path, format="png", dpi=110, metadata={"Software": None})


def _points(curve: Sequence[Row], name: str) -> tuple[list[float], list[float]]:
    """Where a column has values: epochs (or, without them, places) and values."""
    rows = [(row.get("epoch", float(place)), row[name]) for place, row in enumerate(curve, start=1) if name in row]
    return [x for x, _ in rows], [y for _, y in rows]


def _words(name: str) -> str:
    return name.replace("_", " ")
