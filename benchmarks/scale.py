"""How cost grows: with users, items, the length of histories, tokens and beams.

    python -m benchmarks.scale [--quick] [--rounds 5] [--out DIR]

Every operation runs at several sizes by turns, a round each, in one process of one thread; costs are CPU-seconds,
medians over rounds. The exponent is the slope of log cost over log amount by least squares, 1 where cost is in
proportion; beside it the range of the slopes of single rounds, and the slope between the two largest sizes, which a
fixed part of the cost hides least. With the length of histories, amounts are tokens; the fit ends where histories are
cut, at 20 items, and longer ones are shown beside it.
Searches are of a network of 2+2 layers and width 64 as in `benchmarks.decoding`, its encoder measured apart; the
catalogue's ids are as T5 cuts the numbers 1, 2, 3, ….

Bars: exponents of at most 1.1 in users and tokens, below 1 in items where search is held to the catalogue. Prints a
table; the exit status is how many bars are missed. --out: scale.csv, exponents.csv and scale.png.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.efficiency import keep_freed_memory
from bench.errors import UserError
from benchmarks.measure import Costs, figures

if TYPE_CHECKING:
    from benchmarks.scale_work import Growth, Prepared

LEAST = 0.02  # CPU-seconds of one measurement: shorter work is repeated within it
AXES = {"users": "users", "items": "items", "tokens": "tokens a step", "history": "tokens a batch", "beams": "beams"}


@dataclass(frozen=True)
class Found:
    """What one operation costs along one axis.

    sizes: as asked. amounts: of the axis' unit at each. rounds: for each round the CPU-seconds at each size.
    fitted: how many sizes the exponent is fitted to, from the smallest. bar, strict: as in `scale_work.Growth`.
    """

    operation: str
    axis: str
    sizes: list[int]
    amounts: list[float]
    rounds: list[list[float]]
    fitted: int
    bar: float | None
    strict: bool

    @property
    def costs(self) -> list[float]:
        """The median over rounds at each size, CPU-seconds."""
        return [median(each) for each in zip(*self.rounds, strict=True)]

    @property
    def slope(self) -> float:
        """The fitted exponent of the medians."""
        return exponent(self.amounts[: self.fitted], self.costs[: self.fitted])

    @property
    def noise(self) -> tuple[float, float]:
        """The smallest and the largest exponent of a single round."""
        slopes = [exponent(self.amounts[: self.fitted], costs[: self.fitted]) for costs in self.rounds]
        return min(slopes), max(slopes)

    @property
    def last(self) -> float:
        """The exponent between the two largest fitted sizes."""
        last = slice(self.fitted - 2, self.fitted)
        return exponent(self.amounts[last], self.costs[last])

    @property
    def verdict(self) -> str:
        """ "met" or "MISSED"; "" without a bar."""
        if self.bar is None:
            return ""
        return "met" if self.slope < self.bar or (self.slope == self.bar and not self.strict) else "MISSED"


def exponent(amounts: Sequence[float], costs: Sequence[float]) -> float:
    """The slope of log cost over log amount by least squares.

    Raises ValueError where there are fewer than two different amounts, or one of the numbers is not positive.
    """
    if len(set(amounts)) < 2 or min(*amounts, *costs) <= 0:
        raise ValueError("an exponent needs positive numbers and two different amounts")
    x, y = np.log(np.asarray(amounts, float)), np.log(np.asarray(costs, float))
    x -= x.mean()
    return float((x * (y - y.mean())).sum() / (x * x).sum())


def grown(growth: Growth, rounds: int, least: float = LEAST) -> Found:
    """Measure an operation at all its sizes by turns."""
    prepared = [growth.prepare(size) for size in growth.sizes]
    repeats = [_repeats(each, least) for each in prepared]
    costs = [Costs() for _ in prepared]
    for _ in range(rounds):
        for each, times, cost in zip(prepared, repeats, costs, strict=True):
            cost.run(lambda each=each, times=times: [each.work() for _ in range(times)], times)
    return Found(
        growth.operation,
        growth.axis,
        list(growth.sizes),
        [each.amount for each in prepared],
        [list(each) for each in zip(*(cost.cpu for cost in costs), strict=True)],
        growth.fitted or len(prepared),
        growth.bar,
        growth.strict,
    )


def _repeats(prepared: Prepared, least: float) -> int:
    """How often the work fits into `least` CPU-seconds, at least once; warms up on the way."""
    cost = Costs()
    for _ in range(2):
        cost.run(prepared.work)
    return max(1, round(least / max(cost.cpu[1], 1e-6)))


def measure(quick: bool, rounds: int) -> list[dict[str, Any]]:
    """All operations in this process, one after the other."""
    import torch

    from benchmarks.scale_work import QUICK, Sizes, growths

    torch.set_num_threads(1)
    keep_freed_memory()
    least = LEAST / 10 if quick else LEAST
    return [asdict(grown(growth, rounds, least)) for growth in growths(QUICK if quick else Sizes())]


def as_text(found: Sequence[Found]) -> list[str]:
    """The table: a line each, under a heading."""
    heading = f"{'operation':<21}{'grows with':<12}{'sizes':<24}{'CPU-ms at each':<40}"
    lines = [f"{heading}{'exponent':>8}  {'rounds':<16}{'last':>5}  {'bar':<7}"]
    for each in found:
        sizes = ", ".join(f"{size:,}" for size in each.sizes)
        costs = ", ".join(f"{1000 * cost:.3g}" if cost < 1 else f"{1000 * cost:,.0f}" for cost in each.costs)
        low, high = each.noise
        bar = "" if each.bar is None else f"{'< ' if each.strict else '<= '}{each.bar:g}"
        slopes = f"{each.slope:>8.2f}  {f'{low:.2f} to {high:.2f}':<16}{each.last:>5.2f}"
        lines.append(
            f"{each.operation:<21}{each.axis:<12}{sizes:<24}{costs:<40}{slopes}  {bar:<7}{each.verdict}".rstrip()
        )
    return lines


def write(found: Sequence[Found], folder: Path) -> None:
    """scale.csv (a row a size), exponents.csv (a row an operation and axis), scale.png; UserError where it cannot."""
    points, slopes = [], []
    for each in found:
        for place, size in enumerate(each.sizes):
            seconds = [costs[place] for costs in each.rounds]
            row = [each.operation, each.axis, size, f"{each.amounts[place]:g}", AXES[each.axis], len(seconds)]
            points.append([*row, *(f"{value:.6g}" for value in (median(seconds), min(seconds), max(seconds)))])
        figures = [f"{value:.3f}" for value in (each.slope, *each.noise, each.last)]
        slopes.append([each.operation, each.axis, *figures, "" if each.bar is None else each.bar, each.verdict])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        heading = ["operation", "axis", "size", "amount", "unit", "rounds", "cpu_s", "lowest", "highest"]
        _csv(folder / "scale.csv", heading, points)
        heading = ["operation", "axis", "exponent", "lowest", "highest", "last", "bar", "verdict"]
        _csv(folder / "exponents.csv", heading, slopes)
        draw(found, folder / "scale.png")
    except OSError as error:
        fix = "choose another --out"
        raise UserError(f"figures cannot be written ({error.strerror})", str(folder), fix) from error


def _csv(path: Path, heading: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows([heading, *rows])


def draw(found: Sequence[Found], path: Path) -> None:
    """A panel an axis: cost over amount, both as multiples of the smallest; dashed: in proportion; hollow: unfitted."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullLocator

    axes = [axis for axis in AXES if any(each.axis == axis for each in found)]
    figure = Figure(figsize=(2.9 * len(axes), 4.9), layout="constrained")
    FigureCanvasAgg(figure)
    operations = list(dict.fromkeys(each.operation for each in found))
    panels, keys = figure.subplots(2, len(axes), squeeze=False, height_ratios=[3, 2])
    for panel, key, axis in zip(panels, keys, axes, strict=True):
        ends = [1.0]
        for each in (each for each in found if each.axis == axis):
            x, y = np.array(each.amounts) / each.amounts[0], np.array(each.costs) / each.costs[0]
            colour, line = f"C{operations.index(each.operation)}", slice(0, each.fitted)
            panel.plot(x[line], y[line], "o-", color=colour, ms=4, lw=1.3, label=f"{each.slope:.2f} {each.operation}")
            panel.plot(x[each.fitted :], y[each.fitted :], "o", color=colour, ms=7, mfc="none")
            ends += [float(x.max())]
        panel.plot([1, max(ends)], [1, max(ends)], "--", color="0.6", lw=1)
        panel.set(xscale="log", yscale="log", xlabel=f"{AXES[axis]}, smallest = 1", title=f"by {axis}")
        for side in (panel.xaxis, panel.yaxis):
            low, high = side.get_view_interval()
            side.set_major_locator(LogLocator(10 if high / low > 50 else 2))
            side.set_major_formatter(FormatStrFormatter("%g"))
            side.set_minor_locator(NullLocator())
        panel.grid(alpha=0.25)
        key.axis("off")
        key.legend(
            *panel.get_legend_handles_labels(), title="exponent", fontsize=8, title_fontsize=8, loc="upper center"
        )
    panels[0].set_ylabel("CPU time, smallest = 1")
    figure.savefig(path, dpi=72, pil_kwargs={"optimize": True})


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; the number of bars that are missed is the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes: whether it runs, not how cost grows")
    parser.add_argument("--rounds", type=int, help="by default 5, with --quick 2")
    parser.add_argument("--out", type=Path, help="folder for scale.csv, exponents.csv and scale.png")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    rounds = (2 if args.quick else 5) if args.rounds is None else args.rounds
    if rounds < 1:
        parser.error("--rounds: at least 1")
    if args.measure:
        print(json.dumps({"found": measure(args.quick, rounds)}))
        return 0
    asked = ["--measure", "--rounds", str(rounds), *(["--quick"] if args.quick else [])]
    found = [Found(**each) for each in figures("benchmarks.scale", *asked)["found"]]
    print("\n".join(as_text(found)))
    missed = sum(each.verdict == "MISSED" for each in found)
    print(f"{sum(each.verdict == 'met' for each in found)} bars met, {missed} missed; medians of {rounds} rounds")
    if args.out:
        try:
            write(found, args.out)
        except UserError as error:
            print(error, file=sys.stderr)
            return 255
    return missed


if __name__ == "__main__":
    sys.exit(main())
