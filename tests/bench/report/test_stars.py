"""Stars of significance in tables."""

from bench.report.latex import latex_table
from bench.report.table import Cell, Panel, Row, Table, starred
from bench.report.text import text_table


def test_stars_reach_latex_with_their_note_and_not_the_terminal():
    cells = (Cell(0.5), Cell(0.25))
    rows = (Row("pod", "POD", cells), Row("mf", "MF", cells))
    table = Table("2", "Caption", "shop", "smoke", ("HR@5", "HR@10"), (Panel("sound", rows),), False)
    marked = starred(
        table, lambda protocol, model, metric: "**" if (model, metric) == ("pod", "HR@5") else "", ["Two: sure."]
    )
    tex = latex_table(marked)
    assert r"POD & 0.5000\textsuperscript{**} & 0.2500 \\" in tex and tex.count("textsuperscript{*") == 1
    assert "Two: sure." in tex and text_table(marked) == text_table(table)
