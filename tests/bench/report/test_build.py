"""Tables from records: every cell, mark, note and row."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from made_up import Bench, LlmSettings, card, flat, info

from bench.errors import UserError
from bench.models import Registry
from bench.protocols import PROTOCOLS, with_numbering
from bench.report.build import ABSENT, build_table, rows_of
from bench.report.specs import TABLES, models_of, table
from bench.report.table import Footnotes, fixed, marks
from bench.runs.plan import NOT_RUN, attach, make_plan

SOUND = (PROTOCOLS["sound"],)


def rows(built, panel=0):
    return {row.model or "improvement": row for row in built.panels[panel].rows}


def values(row):
    return [cell.value for cell in row.cells]


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.02685, 4, "0.0268"),  # its binary value lies below the half
        (0.5, 4, "0.5000"),
        (0.00004, 4, "0.0000"),
        (-0.00004, 4, "0.0000"),
        (-0.004, 2, "0.00"),
        (-1.005, 2, "-1.00"),
        (1234567.0, 0, "1,234,567"),
        (0.0, 0, "0"),
        (None, 4, "–"),
        (math.nan, 4, "–"),
    ],
)
def test_rounding(value, digits, text):
    assert fixed(value, digits) == text


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ([0.1, 0.3, 0.2], ["", "best", "second"]),
        ([0.3, 0.3, 0.2, 0.1], ["best", "best", "second", ""]),
        ([0.30001, 0.30004, 0.2], ["best", "best", "second"]),
        ([None, 0.3, math.nan, 0.2], ["", "best", "", "second"]),
        ([0.3, None], ["", ""]),
        ([0.2, 0.2], ["best", "best"]),
        ([], []),
    ],
)
def test_marks(column, expected):
    assert marks(column) == expected


def test_the_papers_rows_in_its_order_then_improvement_then_the_added(paper_models):
    bench = Bench(paper_models, {}, protocols=SOUND)
    built = build_table(TABLES["2"], bench.plan)
    found = [(row.model, row.kind) for row in built.panels[0].rows]
    paper = ("caser", "hgn", "gru4rec", "bert4rec", "fdsa", "sasrec", "s3rec", "p5", "pod")
    assert found[:10] == [*((name, "paper") for name in paper), ("", "improvement")]
    assert found[10:] == [(name, "added") for name in TABLES["2"].added]
    assert built.columns == ("HR@5", "NDCG@5", "HR@10", "NDCG@10")


def test_cells_marks_and_improvement_by_hand(paper_models):
    results = {"caser": 0.01, "sasrec": 0.04, "p5": 0.03, "pod": 0.05, "popularity": 0.045, "id-order": 0.9}
    built = build_table(TABLES["2"], Bench(paper_models, results, protocols=SOUND).plan)
    found = rows(built)
    cell = found["sasrec"].cells[0]
    assert (cell.value, cell.std, cell.n_seeds, cell.n_users, cell.paper) == (0.04, None, 1, 22360, 0.0387)
    assert found["pod"].cells[0].mark == "best" and found["popularity"].cells[0].mark == "second"
    assert found["id-order"].cells[0].value == 0.9 and found["id-order"].cells[0].mark == ""
    assert values(found["improvement"]) == pytest.approx([25.0] * 4), "over SASRec, not over the added rule"
    assert [fixed(cell.paper, 2) for cell in found["improvement"].cells] == ["6.76", "6.76", "4.40", "5.23"]
    assert found["pod"].cells[0].paper_mark == "best" and found["p5"].cells[0].paper_mark == "second"
    note = built.footnotes[found["improvement"].notes[0] - 1]
    assert note == "over the baselines that are here, without HGN, GRU4REC, BERT4REC, FDSA, S3REC"


def test_several_seeds(paper_models):
    results = {"sasrec": {0: 0.1, 1: 0.2, 2: 0.6}, "caser": {0: 0.1, 1: "out of memory", 2: 0.3}, "popularity": 0.1}
    built = build_table(TABLES["2"], Bench(paper_models, results, seeds=(0, 1, 2), protocols=SOUND).plan)
    found = rows(built)
    cell = found["sasrec"].cells[0]
    assert cell.value == pytest.approx(0.3) and cell.n_seeds == 3
    assert cell.std == pytest.approx(math.sqrt((0.04 + 0.01 + 0.09) / 2))
    assert found["caser"].cells[0].value == pytest.approx(0.2) and found["caser"].cells[0].n_seeds == 2
    assert [built.footnotes[n - 1] for n in found["caser"].notes] == ["without seed 1: failed: out of memory"]
    assert found["popularity"].cells[0].std is None and found["popularity"].notes == ()
    assert any("mean ± standard deviation" in note for note in built.notes)


def test_one_seed_says_so(paper_models):
    built = build_table(TABLES["2"], Bench(paper_models, {}, seeds=(3,)).plan)
    assert "Seed: 3; one run each, so no spread is given." in built.notes


def test_a_model_that_this_version_does_not_have():
    built = build_table(TABLES["2"], Bench([info("sasrec", "SASRec")], {"sasrec": 0.1}, protocols=SOUND).plan)
    pod = rows(built)["pod"]
    assert pod.title == "POD" and values(pod) == [None] * 4 and pod.cells[0].paper == 0.0537
    assert built.footnotes[pod.notes[0] - 1] == ABSENT
    improvement = rows(built)["improvement"]
    assert values(improvement) == [None] * 4
    assert "no improvement without a result of POD" in built.footnotes[improvement.notes[0] - 1]


def test_equal_reasons_share_a_footnote(paper_models):
    results = {"caser": "the loss became nan", "hgn": "the loss became nan"}
    built = build_table(TABLES["2"], Bench(paper_models, results).plan)
    for panel in (0, 1):
        found = rows(built, panel)
        assert found["caser"].notes == found["hgn"].notes != found["sasrec"].notes
    assert built.footnotes.count("failed: the loss became nan") == 1 and NOT_RUN in built.footnotes
    notes = Footnotes()
    assert (notes.add("a"), notes.add("b"), notes.add("a")) == (1, 2, 1)


def test_obstacles_are_footnotes():
    fdsa = info("fdsa", "FDSA", needs=("attributes",))
    built = build_table(TABLES["2"], Bench([fdsa], {}, protocols=SOUND).plan)
    assert built.footnotes[rows(built)["fdsa"].notes[0] - 1].startswith("needs item attributes")


def test_one_panel_a_protocol_and_one_run_for_both(paper_models):
    probe = replace(paper_models[-1], protocol_settings=("item_numbering",))
    results = {"sasrec": 0.1, "id-order": {("published", 0): 0.4, ("sound", 0): 0.01}}
    bench = Bench([*paper_models[:-1], probe], results)
    built = build_table(TABLES["3"], bench.plan)
    assert [panel.protocol for panel in built.panels] == ["published", "sound"]
    assert [rows(built, panel)["sasrec"].cells[0].value for panel in (0, 1)] == [0.1, 0.1]
    assert [rows(built, panel)["id-order"].cells[0].value for panel in (0, 1)] == [0.4, 0.01]
    assert len(bench.records) == 3


def test_conditions_stand_in_the_notes(paper_models):
    renumbered = tuple(with_numbering(protocol, "random") for protocol in PROTOCOLS.values())
    overrides = {"pod": {"backbone": "t5-base"}}
    bench = Bench(paper_models, {"pod": 0.1, "caser": 0.2}, protocols=renumbered, overrides=overrides)
    text = " ".join(build_table(TABLES["2"], bench.plan).notes)
    for words in (
        "beauty (authors' folder)",
        "22,360 users",
        "Preset: laptop (",
        "Device: cpu.",
        "Protocol published+random-ids: items numbered at random",
        "Protocol sound+random-ids: items numbered at random; no list holds history items",
        "Backbone: POD on t5-base.",
        "Settings changed from the preset's: pod.backbone=t5-base.",
        "Id order learns nothing and takes no part",
        "Table 2 of POD (CIKM 2023)",
        "those of the S3-Rec paper",
        "Data: 12 repeated user-item pairs dropped.",
    ):
        assert words in text
    assert "of nothing" not in text and "P5 on" not in text


def test_a_dataset_that_the_paper_does_not_have(paper_models):
    other = card("demo", "generated", ())
    made = Bench(paper_models, {"pod": 0.1}, dataset=other, seeds=(0, 1))
    built = build_table(TABLES["2"], made.plan)
    assert not built.has_paper and all(cell.paper is None for cell in rows(built)["pod"].cells)
    assert not any(note.startswith(("Paper:", "Data:")) for note in built.notes)
    assert "Device: cpu." in built.notes[1]
    entry = next(e for e in made.plan.entries if e.record)
    entry.record.content["environment"] = {"processor": "Abacus 3", "cores": "2", "gpu": "Sand H1"}
    assert "Device: cpu and cpu (Abacus 3, 2 cores)." in build_table(TABLES["2"], made.plan).notes[1]
    entry.record.content["device"] = "cuda"
    assert "Device: cpu and cuda (Sand H1)." in build_table(TABLES["2"], made.plan).notes[1]
    nothing = build_table(TABLES["2"], Bench(paper_models, {}, dataset=other).plan)
    assert "Device: none yet." in nothing.notes[1]


def test_sizes():
    built = build_table(TABLES["1"], Bench([], {}).plan)
    found = {row.title: (fixed(row.cells[0].value, row.digits), row.cells[0].paper) for row in built.panels[0].rows}
    assert found == {
        "Users": ("22,363", 22363),
        "Items": ("12,101", 12101),
        "Interactions": ("198,502", 198502),
        "Sparsity (%)": ("0.0733", 0.0734),
        "Evaluated users": ("22,360", None),
    }
    assert built.columns == ("Beauty",) and "Data: 12 repeated user-item pairs dropped." in built.notes


def test_models_asked_for_beside_the_table_get_a_row():
    plugin, narrow = info("plugin"), replace(info("narrow"), tasks=("topn",))
    plan = Bench([plugin, narrow], {"plugin": 0.2, "narrow": 0.1}, protocols=SOUND).plan
    assert rows_of(TABLES["2"], plan)[-1] == ("plugin", "added")
    assert rows(build_table(TABLES["3"], plan))["narrow"].cells[0].value == 0.1
    elsewhere = Bench([info("caser")], {"caser": 0.1}, protocols=SOUND).plan
    assert "caser" not in rows(build_table(TABLES["3"], elsewhere)), "it has its row in Table 2"


def test_a_model_known_from_its_records_alone():
    bench = Bench([info("pod", "POD here", "llm", LlmSettings)], {"pod": 0.1}, protocols=SOUND)
    bare = make_plan(bench.card, "laptop", ["pod"], Registry({}, {}), list(SOUND), [0])
    attach(bare, bench.records, (), ["pod"])
    row = rows(build_table(TABLES["2"], bare))["pod"]
    assert row.title == "POD here" and row.cells[0].value == 0.1


def test_every_table_is_known_by_its_number():
    assert table("2") is TABLES["2"]
    with pytest.raises(UserError, match="unknown table '9'; there are tables 1, 2, 3"):
        table("9")
    with pytest.raises(UserError, match="did you mean '2'"):
        table("22")
    assert models_of([TABLES["1"]]) == [] and models_of([TABLES["3"], TABLES["3"]])[0] == "mf"
    assert flat(1.0)["HR@1"] == 1.0
