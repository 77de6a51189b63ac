"""Pictures: lines as given, on the axes they belong to, and the same bytes for the same figures."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from bench.report.figures import Line, _panel, draw_panels

SCORES = [
    Line("HR@10", [1, 3, 50], [0.1, 0.3, 0.2], [0.01, 0.02, 0.03]),
    Line("NDCG@10", [1, 3, 50], [10.0, 20.0, 30.0], None, right=True),
]


def drawn(axes, lines):
    figure = Figure()
    left = figure.add_subplot()
    _panel(left, "Sequential", axes, lines)
    right = [axis for axis in figure.axes if axis is not left]
    return left, right[0] if right else None


def points(axis):
    """The points of the lines with markers of their own; ends of bars are lines too."""
    return [list(zip(*line.get_data(), strict=True)) for line in axis.get_lines() if line.get_marker() in "os^D"]


def test_two_axes_each_with_its_line_in_its_colour():
    left, right = drawn({"xlabel": "K", "ticks": "each", "ylabel": "HR@10", "right": "NDCG@10"}, SCORES)
    assert points(left)[0] == [(0, 0.1), (1, 0.3), (2, 0.2)], "K is evenly spaced"
    assert points(right)[0] == [(0, 10.0), (1, 20.0), (2, 30.0)]
    assert [text.get_text() for text in left.get_xticklabels()] == ["1", "3", "50"]
    assert left.get_ylabel().endswith("HR@10") and right.get_ylabel().endswith("NDCG@10")
    assert left.get_legend() is None and right.get_legend() is None
    for axis in (left, right):
        assert axis.yaxis.label.get_color() == axis.get_lines()[0].get_color()
    assert left.yaxis.label.get_color() != right.yaxis.label.get_color()


def test_bars_reach_as_far_as_the_spread():
    left, _ = drawn({}, SCORES[:1])
    low, high = (line.get_ydata() for line in left.get_lines() if line.get_marker() in "_|")
    assert sorted([*low, *high]) == pytest.approx(sorted([0.09, 0.11, 0.28, 0.32, 0.17, 0.23]))


def test_one_axis_has_a_legend_where_lines_have_names():
    left, right = drawn({}, [Line("packed", [1, 2], [3, 4]), Line("mixed", [1, 2], [4, 5])])
    assert right is None and [text.get_text() for text in left.get_legend().get_texts()] == ["packed", "mixed"]
    assert drawn({"from": "zero"}, [Line("", [1, 2], [3, 4])])[0].get_legend() is None
    assert drawn({"from": "zero"}, [Line("", [1, 2], [3, 4])])[0].get_ylim()[0] == 0


def test_the_same_figures_the_same_bytes(tmp_path):
    panels = [("one", {"ylabel": "HR@10", "right": "NDCG@10"}, SCORES), ("two", {}, SCORES[:1])]
    found = []
    for name in ("a", "b"):
        paths = draw_panels(panels, tmp_path / name)
        assert [path.suffix for path in paths] == [".png", ".pdf"]
        found.append([path.read_bytes() for path in paths])
    assert found[0] == found[1] and len(list(tmp_path.iterdir())) == 4
