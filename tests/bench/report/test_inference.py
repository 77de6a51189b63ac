"""Table 6 and the times of Figure 4: savings, medians and remarks from times written by hand."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest
from made_up import Bench, info, tied

from bench.protocols import PROTOCOLS
from bench.report.inference import apart_note, build_inference, first_figures, timing_notes, unsteady_note
from bench.report.sensitivity import build_sensitivity
from bench.report.specs import TABLES
from bench.report.text import text_table
from bench.runs.plan import Variants, attach, variant_plan
from bench.runs.record import timing_path
from bench.runs.timed import write_json

WAYS = {"plain": "as released", "ours": "encoded once"}
MACHINE = {"device": "cpu", "threads": 2}
TASKS = ("sequential", "topn")


def repeat(wall, passes=1, load=0.5):
    return {
        "wall": wall,
        "cpu": wall / 2,
        "passes": passes,
        "peak_mib": 100.0,
        "encoded": 50,
        "decoded": 10,
        "load_average": [load, 0.0, 0.0],
    }


def put_times(record, ways, users=10, same=None, machine=None):
    """ways: way -> seconds of the three repeats, for both tasks alike."""
    times = {f"{way} {task}": list(map(repeat, walls)) for way, walls in ways.items() for task in TASKS}
    content = {
        "version": 1,
        "key": record.key,
        "machine": {**MACHINE, **(machine or {})},
        "users": dict.fromkeys(TASKS, users),
    }
    write_json(timing_path(record.path), {**content, "times": times, "same": same or {}})


@pytest.fixture
def bench(tmp_path):
    """POD with and without words under both protocols; their records lie in the test's folder."""
    apart = {"ways": WAYS, "protocol_settings": ("item_numbering",)}
    models = [info("pod-discrete", "POD (with words)", **apart), info("pod", "POD", **apart)]
    made = Bench(models, {"pod": 0.05, "pod-discrete": 0.06})
    for entry in made.plan.entries:
        entry.record = replace(entry.record, path=tmp_path / "runs" / entry.job.folder)
    return made


def entry_of(bench, model, protocol="published"):
    return bench.plan.of(model, PROTOCOLS[protocol])[0]


def values(table, panel, title):
    (row,) = (row for row in table.panels[panel].rows if row.title == title)
    return [cell.value for cell in row.cells]


def test_what_is_saved_is_a_share_of_the_medians(bench, tmp_path):
    put_times(entry_of(bench, "pod-discrete").record, {"plain": (0.1, 0.1, 0.101), "ours": (0.02, 0.02, 0.02)})
    put_times(entry_of(bench, "pod").record, {"plain": (0.08, 0.079, 0.081), "ours": (0.01, 0.01, 0.01)})
    table, paths = build_inference(TABLES["6"], bench.plan, tmp_path, "")
    assert [len(panel.rows) for panel in table.panels] == [7, 7]
    words = values(table, 0, "POD (with words), as released")
    assert words[:2] == [0.06, 0.06] and words[2] == pytest.approx(10.0)
    for title, share in (
        ("Words left out, as released: saved (%)", 20.0),
        ("Words left out, encoded once: saved (%)", 50.0),
        ("Encoded once: saved (%)", 87.5),
    ):
        assert values(table, 0, title)[2] == pytest.approx(share), title
        # Nothing was timed under the other protocol, and nothing is made up.
        assert values(table, 1, title) == [None] * 6
    assert {path.name for path in paths} >= {"table6.csv", "table6.tex", "inference_times.csv"}


def test_times_are_written_a_user_and_of_one_pass(bench, tmp_path):
    put_times(entry_of(bench, "pod").record, {"plain": (0.4, 0.2, 0.3), "ours": (0.01, 0.01, 0.01)}, users=20)
    build_inference(TABLES["6"], bench.plan, tmp_path, "")
    with (tmp_path / "inference_times.csv").open(newline="") as stream:
        found = {(row["way"], row["task"]): row for row in csv.DictReader(stream)}
    assert len(found) == 4
    plain = found["plain", "topn"]
    assert (plain["users"], plain["repeats"], plain["protocol"]) == ("20", "3", "published")
    assert float(plain["seconds_per_user"]) == pytest.approx(0.3 / 20)
    assert float(plain["users_per_second"]) == pytest.approx(20 / 0.3, rel=1e-3)
    assert float(plain["spread"]) == pytest.approx((0.4 - 0.2) / 0.3, abs=1e-3) and plain["unsteady"]
    assert (float(plain["encoded_tokens"]), float(plain["decoded_tokens"])) == (2.5, 0.5)
    assert not found["ours", "topn"]["unsteady"]


def test_what_is_not_timed_says_so(bench, tmp_path):
    put_times(entry_of(bench, "pod").record, {"plain": (0.1, 0.1), "ours": (0.1, 0.1, 0.1)})
    text = text_table(build_inference(TABLES["6"], bench.plan, tmp_path, "")[0])
    assert "not timed yet (run without --report-only" in text
    assert first_figures([entry_of(bench, "pod")], "plain", "topn") is None, "two repeats are no measurement"
    assert first_figures([entry_of(bench, "pod")], "ours", "topn") is not None


@pytest.mark.parametrize(("walls", "told"), [((1.0, 1.19, 1.0), False), ((1.0, 1.21, 1.0), True)])
def test_repeats_that_disagree_by_a_fifth_are_marked(bench, walls, told):
    entry = entry_of(bench, "pod")
    put_times(entry.record, {"ours": walls})
    assert bool(unsteady_note([entry], "ours", bench.plan)) == told
    assert unsteady_note([entry], "plain", bench.plan) == []


def test_the_note_tells_how_times_were_taken(bench):
    entry = entry_of(bench, "pod")
    assert timing_notes([entry]) == []
    put_times(entry.record, {"ours": (0.4, 0.5, 0.6)})
    path = timing_path(entry.record.path)
    path.write_text(path.read_text().replace('"passes": 1', '"passes": 3'))
    (note,) = timing_notes([entry])
    assert "the median of 3 repeats by turns (the shortest lasted 1.2 s)" in note
    assert "over 10 users (sequential), 10 users (top-N)" in note
    assert "cpu, threads: 2" in note and "load average 0.5 to 0.5" in note


def test_equal_lists_are_told_of_the_model_that_has_fewest(bench, tmp_path):
    put_times(entry_of(bench, "pod").record, {"ours": (1.0, 1.0, 1.0)}, same={"sequential": 1.0, "topn": 0.995})
    put_times(entry_of(bench, "pod-discrete").record, {"ours": (1.0, 1.0, 1.0)}, same={"sequential": 0.98})
    text = text_table(build_inference(TABLES["6"], bench.plan, tmp_path, "")[0])
    assert "sequential 98.0 %, top-N 99.5 %" in text


def figure_four(tmp_path, seeds, figures):
    """A plan of Figure 4 under `sound`. figures: (K, seed) -> value of every metric."""
    model = Bench([info("pod", "POD", ways=WAYS, settings=tied("scratch:none", prompts=""))], {}, seeds=seeds)
    variants = Variants("pod", "prompts", ("1", "3", "10"))
    plan = variant_plan(model.card, "laptop", variants, model.registry, [PROTOCOLS["sound"]], list(seeds))
    records = []
    for entry in plan.entries:
        value = figures.get((entry.variant, entry.seed))
        if value is not None:
            made = Bench([entry.info], {"pod": value}).records[0]
            content = {**made.content, "key": entry.job.key, "identity": entry.job.identity}
            records.append(replace(made, path=tmp_path / "runs" / entry.job.folder, content=content))
    return attach(plan, records)


def test_figure_four_has_a_row_a_number_and_a_spread_over_seeds(tmp_path):
    values_of = {("1", 0): 0.1, ("1", 1): 0.2, ("3", 0): 0.3, ("3", 1): 0.3, ("10", 0): 0.4}
    plan = figure_four(tmp_path, (0, 1), values_of)
    table, paths = build_sensitivity(TABLES["fig4"], plan, tmp_path, "")
    assert [row.title for row in table.panels[0].rows] == ["K = 1", "K = 3", "K = 10"]
    first, third, tenth = (row.cells[0] for row in table.panels[0].rows)
    assert first.value == pytest.approx(0.15) and first.std == pytest.approx(0.0707, abs=1e-4)
    assert (third.value, third.std) == (pytest.approx(0.3), pytest.approx(0.0))
    assert (tenth.value, tenth.std, tenth.n_seeds) == (0.4, None, 1)
    assert {path.name for path in paths} >= {"fig4.csv", "fig4_sound.png", "fig4_sound_scaled.pdf"}


def test_a_figure_without_any_run_has_no_picture(tmp_path):
    plan = figure_four(tmp_path, (0,), {})
    table, paths = build_sensitivity(TABLES["fig4"], plan, tmp_path, "")
    assert not any("png" in path.name for path in paths)
    assert "not run yet" in text_table(table)


def test_times_of_seeds_that_are_not_shown_are_not_told(tmp_path):
    """Rows show the times of their first seed that has some: other seeds may be of any machine."""
    found = dict.fromkeys([("1", 0), ("1", 1), ("3", 0), ("3", 1)], 0.1)
    plan = figure_four(tmp_path, (0, 1), found)
    for entry in plan.entries:
        if entry.record:
            put_times(entry.record, {"ours": (1.0, 1.0, 1.0)}, machine={"device": f"cpu of seed {entry.seed}"})
    first, third, tenth = (
        [entry for entry in plan.entries if entry.variant == variant] for variant in ("1", "3", "10")
    )
    assert [apart_note(row, plan) for row in (first, third, tenth)] == [[], [], []]
    (note,) = timing_notes(plan.entries)
    assert "seed: 0; cpu of seed 0, threads: 2" in note and "seed 1" not in note
    # The first row's times are now those of its second seed, and so of another machine.
    plan.entries = [replace(e, record=None) if (e.variant, e.seed) == ("1", 0) else e for e in plan.entries]
    first = [entry for entry in plan.entries if entry.variant == "1"]
    assert "timed on cpu of seed 1" in apart_note(first, plan)[0]
    assert "timed on cpu of seed 0" in apart_note(third, plan)[0]
    assert "seed: 0, 1; cpu of seed 0, threads: 2 and cpu of seed 1, threads: 2" in timing_notes(plan.entries)[0]
