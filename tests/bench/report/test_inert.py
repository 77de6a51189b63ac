"""Hostile text stays text, in LaTeX, in spreadsheets and on terminals."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report.inert import csv_text, latex_text, plain


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        (r"\input{x}", r"\textbackslash{}input\{x\}"),
        ("50% of $5 & #1_a^b~c", r"50\% of \$5 \& \#1\_a\textasciicircum{}b\textasciitilde{}c"),
        ("a<b>c|d", r"a\textless{}b\textgreater{}c\textbar{}d"),
        ("naïve Åse, Ñu, façade, Žižek", r"na\"{\i}ve \r{A}se, \~{N}u, fa\c{c}ade, \v{Z}i\v{z}ek"),
        ("0.1 ± 0.2 – …", r"0.1 $\pm$ 0.2 -- \dots{}"),
        ("数 α", "[U+6570] [U+03B1]"),
        ("line\nbreak\ttab", "line break tab"),
        ("", ""),
    ],
)
def test_latex(text, latex):
    assert latex_text(text) == latex


@given(st.text())
def test_latex_is_ascii_without_a_live_command(text):
    found = latex_text(text)
    assert found.isascii() and "\n" not in found
    # What is left after the macros of ours are taken away holds no active character.
    ours = (
        r"\\(?:text[a-z]+|dots|ss|ae|o|l|i|j)(?![a-zA-Z])(?:\{\})?|\\[{}$&#%_'`^~\"]|\\[rvc](?=\{)|\$\\(?:pm|times)\$"
    )
    rest = re.sub(ours, "", found)
    assert not set(rest) & set("\\$&#%_^~")
    assert rest.count("{") == rest.count("}")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'=1"),
        ("\r\n@x", "'@x"),
        ("\u202e=1", "[U+202E]=1"),
        ("a=1", "a=1"),
        ("", ""),
    ],
)
def test_spreadsheets(text, shown):
    assert csv_text(text) == shown


@given(st.text())
def test_no_cell_is_a_formula_or_breaks_its_line(text):
    found = csv_text(text)
    assert not found.startswith(("=", "+", "-", "@", "\t", "\r")) and "\n" not in found and "\r" not in found


def test_marks_that_turn_or_hide_text_are_shown():
    assert plain("a\u202eb\u2066c\u200bd\u2028e\x1b[31mf") == "a[U+202E]b[U+2066]c[U+200B]d e[U+001B][31mf"
    assert plain("\ud800") == "[U+D800]" and plain("  a \n b ") == "a b"
