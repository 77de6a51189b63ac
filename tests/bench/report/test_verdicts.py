"""Verdicts on the paper's figures: the rule against simulation and hand cases, the reasons, and the file."""

from __future__ import annotations

import csv
import tomllib
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
from made_up import BOTH, LlmSettings, card, flat, info, record, tied
from scipy import stats

from bench.models import Registry
from bench.report.comparisons import Measured, Standing
from bench.report.explained import STATISTICS
from bench.report.specs import TABLES
from bench.report.verdicts import (
    ABOVE,
    BELOW,
    CHANGED,
    PRESET,
    RECORDS,
    SCRATCH,
    VERDICT_COLUMNS,
    WITHIN,
    expected,
    has_authors_records,
    judged,
    pooled_spread,
    verdicts,
    write_verdicts,
)
from bench.runs.failure import Failure
from bench.runs.plan import attach, make_plan

SPECS = [TABLES[number] for number in ("1", "2", "3", "4")]
PAPER = tomllib.loads(files("bench.report").joinpath("published.toml").read_text(encoding="utf-8"))["tables"]


def measured(model, metric, value, protocol="sound", half=0.001, per_seed=None):
    return Measured(protocol, model, metric, value, value - half, value + half, 22363, tuple(per_seed or (value,)))


def plan_of(names=("caser", "sasrec", "pod"), *, preset="paper", dataset="beauty", backbone="t5-small", **more):
    """A plan whose runs are all there but SASRec's, which failed."""
    registry = {}
    for name in names:
        settings = {"settings": LlmSettings if backbone == "t5-small" else tied(backbone)}
        registry[name] = info(name, name.title(), **(settings if name in ("pod", "p5") else {}))
    plan = make_plan(card(dataset), preset, names, Registry(registry, {}), list(BOTH), [0], **more)
    failed = [Failure(e.job.key, e.info.name, "out of memory") for e in plan.entries if e.info.name == "sasrec"]
    return attach(plan, [record(e.job, flat(0.1)) for e in plan.entries if e.info.name != "sasrec"], failed)


def standing(**values):
    """Table 2 with a figure of every metric: model -> what is added to the paper's."""
    columns, printed = PAPER["2"]["columns"], PAPER["2"]["beauty"]
    return Standing(
        "2",
        tuple(
            measured(model, metric, paper + more, protocol.name)
            for protocol in BOTH
            for model, more in values.items()
            for metric, paper in zip(columns, printed[model], strict=True)
        ),
    )


def said(plan, standings, specs=SPECS, **more):
    return {(v.protocol, v.table, v.model, v.metric): v for v in verdicts(specs, plan, standings, **more)}


def test_judged_by_hand():
    assert [judged(0.0205, low, high) for low, high in ((0.02, 0.021), (0.021, 0.022), (0.01, 0.02))] == [
        WITHIN,
        ABOVE,
        BELOW,
    ]
    # .0205 is printed for all that lies between .02045 and .02055.
    assert judged(0.0205, 0.02055, 0.03) == WITHIN and judged(0.0205, 0.02056, 0.03) == ABOVE
    assert judged(0.0205, 0.01, 0.02045) == WITHIN and judged(0.0205, 0.01, 0.02044) == BELOW
    assert judged(22363, 22363, 22363, 0) == WITHIN and judged(22363, 22364, 22364, 0) == ABOVE
    assert judged(0.0734, 0.07335, 0.07335) == WITHIN, "an edge that no binary fraction is"


def test_the_spread_over_seeds_is_pooled_within_models():
    runs = {"a": [0.1, 0.2, 0.3], "b": [0.5, 0.7], "c": [0.9]}
    frame = pd.DataFrame([(model, value) for model, values in runs.items() for value in values], columns=["m", "v"])
    within = frame["v"] - frame.groupby("m")["v"].transform("mean")
    s, freedom = pooled_spread(runs.values())
    assert (s, freedom) == (pytest.approx(np.sqrt((within**2).sum() / 3)), 3)
    assert pooled_spread([[0.1], [0.4]]) is None and pooled_spread([]) is None


def test_expected_by_hand():
    one = measured("caser", "HR@5", 0.05, half=0.003)
    assert expected(one, None) == pytest.approx((0.047, 0.053)), "no seeds: users alone"
    lopsided = replace(one, low=0.049, per_seed=(0.04, 0.05, 0.06))
    seeds = stats.t.ppf(0.975, 4) * 0.002 * np.sqrt(4 / 3)
    low, high = expected(lopsided, (0.002, 4))
    assert low == pytest.approx(0.05 - np.sqrt(0.001**2 + seeds**2))
    assert high == pytest.approx(0.05 + np.sqrt(0.003**2 + seeds**2))
    assert expected(one, (0.0, 1)) == pytest.approx((0.047, 0.053))


@pytest.mark.parametrize("seeds", [2, 3])
def test_another_run_is_called_within_its_noise_as_often_as_promised(seeds):
    # The paper's run and ours from the same four models, differing by seed alone: 95 of 100 are to lie within.
    rng, inside, rounds = np.random.default_rng(0), 0, 2000
    for _ in range(rounds):
        runs = rng.normal(0.05, 0.002, (4, seeds))
        figure = Measured("sound", "m", "HR@5", runs[0].mean(), runs[0].mean(), runs[0].mean(), 9, tuple(runs[0]))
        low, high = expected(figure, pooled_spread(runs.tolist()))
        inside += judged(round(rng.normal(0.05, 0.002), 4), low, high) == WITHIN
    assert inside / rounds == pytest.approx(0.95, abs=0.015)


def test_verdicts_are_those_of_the_rule():
    found = said(plan_of(), [standing(caser=0.0005, pod=-0.002)])
    assert {v.verdict for key, v in found.items() if key[2] == "caser" and key[1] == "2"} == {WITHIN}
    assert {v.verdict for key, v in found.items() if key[2] == "pod" and key[1] == "2"} == {BELOW}
    up = said(plan_of(), [standing(caser=0.002)])["sound", "2", "caser", "HR@5"]
    assert up.verdict == ABOVE and (up.paper, up.digits, up.seeds) == (0.0205, 4, 1)
    assert (up.measured, up.low, up.high) == pytest.approx((0.0225, 0.0215, 0.0235))


def test_seeds_widen_what_is_expected():
    seeds = (0.0220, 0.0230)
    figures = (measured("caser", "HR@5", 0.0225, per_seed=seeds), measured("pod", "HR@5", 0.06, per_seed=(0.05, 0.07)))
    one = said(plan_of(), [Standing("2", figures[:1])])["sound", "2", "caser", "HR@5"]
    spread = stats.t.ppf(0.975, 1) * np.std(seeds, ddof=1) * np.sqrt(1.5)
    assert one.high - one.measured == pytest.approx(np.hypot(0.001, spread)) and one.verdict == WITHIN
    both = said(plan_of(), [Standing("2", figures)])["sound", "2", "caser", "HR@5"]
    pooled = np.sqrt((np.var(seeds, ddof=1) + np.var((0.05, 0.07), ddof=1)) / 2)
    wide = stats.t.ppf(0.975, 2) * pooled * np.sqrt(1.5)
    assert both.high - both.measured == pytest.approx(np.hypot(0.001, wide)) and both.seeds == 2


def test_every_printed_figure_has_one_line_a_protocol():
    found = list(verdicts(SPECS, plan_of(), []))
    keys = [(v.protocol, v.table, v.model, v.metric) for v in found]
    assert len(set(keys)) == len(keys)
    expected = {("", "1", "dataset", metric) for metric in PAPER["1"]["columns"]}
    for number in ("2", "3", "4"):
        for protocol in ("published", "sound"):
            expected |= {
                (protocol, number, model, metric)
                for model in PAPER[number]["beauty"]
                for metric in PAPER[number]["columns"]
            }
    assert set(keys) == expected and len(keys) == 4 + 2 * (36 + 20 + 16)
    for v in found:
        row = PAPER[v.table]["beauty"][v.model]
        assert v.paper == row[PAPER[v.table]["columns"].index(v.metric)]


def test_why_figures_are_missing():
    found = said(plan_of(), [standing(caser=0.0)])
    assert found["sound", "2", "sasrec", "HR@5"].verdict == "not run: failed: out of memory"
    assert found["sound", "2", "hgn", "HR@5"].verdict == "not run: this version has no such model"
    assert found["sound", "2", "sasrec", "HR@5"].measured is None
    # A run is there, but nobody looked at its scores.
    assert found["sound", "2", "pod", "HR@5"].verdict == "not run: no scores are here"


def test_scratch_backbones_neither_agree_nor_disagree():
    for preset in ("paper", "laptop"):
        plan = plan_of(backbone="scratch:mini", preset=preset)
        found = said(plan, [standing(pod=0.0, caser=0.0)])
        assert {v.verdict for key, v in found.items() if key[1:3] == ("2", "pod")} == {SCRATCH}
        assert found["sound", "2", "pod", "HR@5"].measured == pytest.approx(0.0537), "it is shown all the same"
        assert found["sound", "2", "caser", "HR@5"].verdict == (WITHIN if preset == "paper" else PRESET)


@pytest.mark.parametrize("preset", ["laptop", "smoke"])
def test_other_presets_are_not_the_papers(preset):
    found = said(plan_of(preset=preset), [standing(pod=0.0, caser=0.5)])
    assert {v.verdict for v in found.values() if v.measured is not None and v.table == "2"} == {PRESET}
    assert found["", "1", "dataset", "users"].verdict == WITHIN, "sizes are of no preset"


def test_changed_settings_are_not_the_papers():
    plan = plan_of(overrides={"pod": {"backbone": "t5-base"}})
    found = said(plan, [standing(pod=0.0, caser=0.0)])
    assert found["sound", "2", "pod", "HR@5"].verdict == CHANGED
    assert found["sound", "2", "caser", "HR@5"].verdict == WITHIN


def test_explanations_made_from_reviews_are_not_the_papers():
    four = Standing("4", (measured("pod", "ROUGE-1", 15.2517, half=0.1),))
    plan = plan_of()
    assert said(plan, [four])["sound", "4", "pod", "ROUGE-1"].verdict == RECORDS
    assert said(plan, [four], authors_records=True)["sound", "4", "pod", "ROUGE-1"].verdict == WITHIN
    assert said(plan, [four])["sound", "4", "att2seq", "BLEU-4"].verdict == "not run: this version has no such model"


def test_whose_records_they_are(tmp_path):
    assert not has_authors_records(tmp_path)
    for origin, own in (("explanation.json, SHA-256 0123456789abcdef", True), ("sentences of reviews, rule 1", False)):
        (tmp_path / STATISTICS).write_text(f'statistic,value\norigin,"{origin}"\nrecords,8\n')
        assert has_authors_records(tmp_path) is own
    (tmp_path / STATISTICS).write_text("")
    assert not has_authors_records(tmp_path)


def test_sizes_are_the_papers_to_the_last_digit_or_not():
    found = said(plan_of(), [])
    assert {v.verdict for key, v in found.items() if key[1] == "1"} == {WITHIN}
    other = plan_of()
    other.card = replace(other.card, users=22000, density=0.0801)
    verdict_on = {key[3]: v for key, v in said(other, []).items() if key[1] == "1"}
    assert verdict_on["users"].verdict == BELOW and verdict_on["density"].verdict == ABOVE
    assert verdict_on["items"].verdict == WITHIN and verdict_on["items"].protocol == ""


def read(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_the_file(tmp_path):
    folder = tmp_path / "beauty" / "paper"
    (path,) = write_verdicts(SPECS, plan_of(), [standing(caser=0.002, pod=0.0)], folder, "-random-ids")
    assert path == folder / "verdicts-random-ids.csv"
    rows = read(path)
    assert tuple(rows[0]) == VERDICT_COLUMNS and len(rows) == 4 + 2 * 72
    assert (rows[0]["paper"], rows[0]["measured"], rows[0]["verdict"]) == ("22363", "22363", WITHIN)
    caser = next(r for r in rows if (r["protocol"], r["model"], r["metric"]) == ("sound", "caser", "NDCG@10"))
    assert (caser["paper"], caser["measured"], caser["low"], caser["verdict"]) == ("0.0176", "0.0196", "0.0186", ABOVE)
    absent = next(r for r in rows if r["model"] == "hgn")
    assert (absent["measured"], absent["low"], absent["high"], absent["n_seeds"]) == ("", "", "", "")


def test_a_dataset_that_the_paper_has_not_gets_no_file(tmp_path):
    assert write_verdicts(SPECS, plan_of(dataset="musical"), [], tmp_path / "out") == []
    assert not (tmp_path / "out").exists()


def test_only_the_tables_asked_for(tmp_path):
    found = said(plan_of(), [], specs=[TABLES["3"]])
    assert {key[1] for key in found} == {"3"} and len(found) == 2 * 20
