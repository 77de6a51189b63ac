"""Small charts as SVG, a few kB each: their colours are the page's, so they follow it into the dark and onto paper.

matplotlib's SVG, which the other figures would suggest, holds each glyph as a path, some 30 kB a chart, and fixed
colours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.report.figures import Line
from bench.report.page.markup import Html, tag

WIDTH, HEIGHT = 320, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 34
_COLOURS = 7
_POINTS = 200
_DASHES = (None, "5 3", "2 2", "7 2 2 2")


def line_chart(title: str, xlabel: str, ylabel: str, lines: Sequence[Line], right: str = "") -> Html | None:
    """Lines over a common x axis; None where no line has a point.

    xlabel, ylabel: with their units. right: what the axis of lines with `right` is called; it is drawn where there are
    any. Points that are not finite are left out; of long lines every nth is drawn, the last always.
    """
    lines = [kept for kept in map(_finite, lines) if kept.x]
    if not lines:
        return None
    margin = 48 if any(line.right for line in lines) else _RIGHT
    x = _Axis([value for line in lines for value in line.x], _LEFT, WIDTH - margin, whole=True)
    axes = {side: _vertical([line for line in lines if line.right == side]) for side in (False, True)}
    parts = [_frame(x, margin), *_ticks(x, axes, margin)]
    for at, line in enumerate(lines):
        axis = axes[line.right]
        if axis is not None:
            parts += _drawn(line, at, x, axis)
    parts.append(_words((_LEFT + WIDTH - margin) / 2, HEIGHT - 4, xlabel, "middle"))
    svg = tag("svg", tag("title", title), parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", cls="chart")
    keys = [_key(line, at, ylabel, right) for at, line in enumerate(lines)]
    return tag("figure", tag("figcaption", title), svg, tag("ul", keys, cls="legend"))


def bar(value: float, most: float) -> Html:
    """A bar of value / most of the width; for the eye alone, the number stands beside it."""
    width = 100.0 * value / most if most > 0 and math.isfinite(value) else 0.0
    rect = tag("rect", width=round(width, 2), height=10, cls="bar")
    return tag("svg", rect, viewBox="0 0 100 10", preserveAspectRatio="none", cls="bars", aria_hidden="true")


class _Axis:
    """Values to places. whole: ticks at whole numbers only, where values are whole."""

    def __init__(self, values: Sequence[float], start: float, end: float, whole: bool = False) -> None:
        low, high = min(values), max(values)
        if low == high:
            room = 0.05 * abs(low) or 1.0
            low, high = low - room, high + room
        self.low, self.high, self.start, self.end = low, high, start, end
        self.whole = whole and all(value.is_integer() for value in map(float, values))

    def at(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    @property
    def ticks(self) -> list[float]:
        """Three to six round numbers in the range."""
        rough = (self.high - self.low) / 4
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
        step = max(1.0, step) if self.whole else step
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def _vertical(lines: Sequence[Line]) -> _Axis | None:
    values = [
        value + sign * spread
        for line in lines
        for value, spread in zip(line.y, line.spread or [0.0] * len(line.y), strict=True)
        for sign in (-1, 1)
    ]
    return _Axis(values, HEIGHT - _BOTTOM, _TOP) if values else None


def _finite(line: Line) -> Line:
    spreads = line.spread or [None] * len(line.y)
    points = [p for p in zip(line.x, line.y, spreads, strict=True) if math.isfinite(p[0]) and math.isfinite(p[1])]
    step = -(-len(points) // _POINTS) or 1
    points = points[:-1][::step] + points[-1:]
    spread = [p[2] or 0.0 for p in points] if line.spread else None
    return Line(line.label, [p[0] for p in points], [p[1] for p in points], spread, line.right)


def _frame(x: _Axis, margin: float) -> Html:
    return tag("path", d=f"M{x.start} {_TOP}V{HEIGHT - _BOTTOM}H{WIDTH - margin}", cls="axis")


def _ticks(x: _Axis, axes: dict[bool, _Axis | None], margin: float) -> list[Html]:
    parts = [_words(x.at(value), HEIGHT - _BOTTOM + 13, f"{value:g}", "middle") for value in x.ticks]
    for side, axis in axes.items():
        if axis is None:
            continue
        for value in axis.ticks:
            place = axis.at(value)
            if not side:
                parts.append(tag("path", d=f"M{_LEFT} {place}H{WIDTH - margin}", cls="rule"))
            at, anchor = (WIDTH - margin + 4, "start") if side else (_LEFT - 4, "end")
            parts.append(_words(at, place + 3, f"{value:.5g}", anchor))
    return parts


def _drawn(line: Line, at: int, x: _Axis, y: _Axis) -> list[Html]:
    places = [(x.at(a), y.at(b)) for a, b in zip(line.x, line.y, strict=True)]
    colour = f"c{at % _COLOURS}"
    points = " ".join(f"{a:g},{b:g}" for a, b in places)
    parts = [tag("polyline", points=points, cls=f"line {colour}", stroke_dasharray=_DASHES[at % len(_DASHES)])]
    if len(places) <= 12:
        parts += [tag("circle", cx=a, cy=b, r=2.5, cls=f"dot {colour}") for a, b in places]
    for (a, _), value, spread in zip(places, line.y, line.spread or [], strict=False):
        parts.append(tag("path", d=f"M{a:g} {y.at(value - spread):g}V{y.at(value + spread):g}", cls=f"line {colour}"))
    return parts


def _key(line: Line, at: int, ylabel: str, right: str) -> Html:
    colour = f"c{at % _COLOURS}"
    sample = tag("path", d="M0 5H24", cls=f"line {colour}", stroke_dasharray=_DASHES[at % len(_DASHES)])
    side = f"{right} (right axis)" if line.right else ylabel
    words = f"{line.label}: {side}" if line.label and side and line.label != side else line.label or side
    return tag("li", tag("svg", sample, viewBox="0 0 24 10", cls="sample", aria_hidden="true"), " ", words)


def _words(x: float, y: float, text: str, anchor: str) -> Html:
    return tag("text", text, x=round(x, 1), y=round(y, 1), text_anchor=anchor)
