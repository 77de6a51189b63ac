"""The page's building stones against the standard library's parser of HTML and XML, and against hostile texts."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report.figures import Line
from bench.report.page.chart import HEIGHT, WIDTH, bar, line_chart
from bench.report.page.contents import duration
from bench.report.page.markup import Html, address, escape, facts, grid, join, listing, named, tag
from bench.report.page.runs import without_folders

HOSTILE = ["<script>alert(1)</script>", '" onmouseover="x', "'><img src=x>", "a\u202eb", "&lt;", "</style>", "]]>"]


class Reader(HTMLParser):
    """Collects elements and text."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.text = [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_text(text):
    read = Reader(tag("p", text, title=text))
    assert [name for name, _ in read.elements] == ["p"]
    assert list(read.elements[0][1]) == ["title"]
    assert read.text == read.elements[0][1]["title"] == text.replace("\u202e", "[U+202E]")


@given(st.text(), st.text())
def test_any_text_makes_one_element(child, value):
    read = Reader(tag("b", child, data_v=value))
    assert [(name, list(attrs)) for name, attrs in read.elements] == [("b", ["data-v"])]


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_tables_keep_their_shape(texts):
    root = ElementTree.fromstring(grid(texts, [texts, texts], "caption"))
    assert [len(row) for row in root.iter("tr")] == [len(texts)] * 3


def test_markup_is_kept_and_none_is_nothing():
    inner = tag("i", "x")
    assert tag("p", inner, None, [inner, "<"]) == "<p><i>x</i><i>x</i>&lt;</p>"
    assert join(None) == "" and listing([]) is None
    assert tag("a", "b", cls="c", hidden=True, title=None, href=False) == '<a class="c" hidden>b</a>'


def test_joined_markup_as_a_plain_string_is_escaped_again():
    assert tag("p", str.__str__(tag("b"))) != "<p><b></b></p>" or isinstance(tag("b"), Html)
    assert tag("p", "".join([tag("b")])) == "<p>&lt;b&gt;&lt;/b&gt;</p>"


def test_lists_of_facts_escape_both_sides():
    assert facts([("<a>", "<b>")]) == "<dl><div><dt>&lt;a&gt;</dt><dd>&lt;b&gt;</dd></div></dl>"


def test_addresses_stay_below():
    assert address("a b", "../x", "javascript:1") == "./a%20b/..%2Fx/javascript%3A1"


def test_names_for_anchors():
    assert named("Table 2") == "table-2"
    assert named("<…>") == "part"


def test_escape_is_one_line():
    assert escape("a\n b\t<") == "a b &lt;"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('File "/home/someone/code/model.py", line 3', 'File "…/model.py", line 3'),
        (r"C:\Users\someone\x.py failed", "…/x.py failed"),
        ("no such file: /data/a/b.txt", "no such file: …/b.txt"),
        ("loss is nan after 3/4 epochs", "loss is nan after 3/4 epochs"),
    ],
)
def test_folders_of_the_machine_are_left_out(text, shown):
    assert without_folders(text) == shown


@pytest.mark.parametrize(
    ("seconds", "words"), [(4.24, "4.2 s"), (31.4, "31 s"), (724, "12 min 4 s"), (12_000, "3 h 20 min")]
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def chart(*lines, **more):
    made = line_chart("title", "x", "y", lines, **more)
    assert made is not None
    return ElementTree.fromstring(made)


def points(root):
    lines = [each.get("points").split() for each in root.iter("polyline")]
    return [[tuple(map(float, point.split(","))) for point in line] for line in lines]


def test_a_chart_is_well_formed_and_its_points_in_order():
    (places,) = points(chart(Line("a", [1, 2, 3], [5.0, 7.0, 6.0])))
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    heights = [y for _, y in places]
    assert heights[0] > heights[2] > heights[1]  # downwards on a screen


@given(st.lists(st.tuples(st.integers(0, 1000), st.floats(-1e6, 1e6, allow_subnormal=False)), min_size=1, max_size=300))
def test_charts_keep_inside_and_are_no_longer_than_needed(data):
    data = sorted(data)
    (places,) = points(chart(Line("a", [float(x) for x, _ in data], [y for _, y in data])))
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places)
    assert len(places) <= 201


def test_values_that_are_none_are_left_out():
    nan = float("nan")
    (places,) = points(chart(Line("a", [1, 2, 3], [1.0, nan, 2.0])))
    assert len(places) == 2
    assert line_chart("title", "x", "y", [Line("a", [1], [nan])]) is None
    assert line_chart("title", "x", "y", []) is None


def test_the_right_axis_has_its_own_scale():
    root = chart(Line("loss", [1, 2], [5.0, 4.0]), Line("score", [1, 2], [0.01, 0.02], right=True), right="NDCG")
    (loss, score) = points(root)
    assert loss[0][1] == score[1][1] and loss[1][1] == score[0][1]
    assert "NDCG (right axis)" in "".join(root.itertext())


def test_titles_of_charts_are_escaped():
    made = line_chart("<script>", "<x>", "<y>", [Line("<l>", [1], [1.0])])
    assert {name for name, _ in Reader(made).elements}.isdisjoint({"script", "x", "y", "l"})


def test_bars_are_shares():
    (rect,) = ElementTree.fromstring(bar(25.0, 50.0))
    assert rect.get("width") == "50"
    (none,) = ElementTree.fromstring(bar(0.0, 0.0))
    assert none.get("width") == "0"
