"""Which runs the audit needs, and which of them are those of other tables."""

from __future__ import annotations

import pytest

from bench.models import discover
from bench.protocols import PROTOCOLS, known_protocols
from bench.report.questions import QUESTIONS
from bench.report.shown import protocols_served
from bench.report.specs import TABLES
from bench.runs.audited import audit_plan
from bench.runs.plan import DatasetCard, make_plan, variant_plan

SOUND = PROTOCOLS["sound"]


def card(explanations="records"):
    return DatasetCard("musical", "made up", 9, 9, 99, 0.1, 9, (), "data", "split", (), explanations)


@pytest.fixture(scope="module")
def whole():
    """The plan of the whole audit with the models as they are, nothing run."""
    return audit_plan(card(), "laptop", QUESTIONS, discover(), [0])


def jobs(plan, question, model):
    return [e.job for e in plan.entries if e.info.name == model and e.variant.startswith(f"{question}: ")]


def test_shares_runs_with_the_other_tables(whole):
    names = ["pod", "p5", "att2seq", "sasrec"]
    main = make_plan(card(), "laptop", names, discover(), list(PROTOCOLS.values()), [0])
    fig4 = variant_plan(card(), "laptop", TABLES["fig4"].variants, discover(), [SOUND], [0])
    known = {entry.job.key for entry in (*main.entries, *fig4.entries)}
    assert {job.key for job in jobs(whole, "prompt-vectors", "pod")} <= known
    assert {job.key for job in jobs(whole, "explanation-split", "att2seq")} <= known
    assert {job.key for job in jobs(whole, "sampled-ranking", "sasrec")} <= known
    assert jobs(whole, "item-numbers", "p5")[0].key in known


def test_asks_the_same_weights_in_two_ways(whole):
    constrained, free = jobs(whole, "decoding", "pod")
    assert constrained.key != free.key
    assert constrained.fit_key == free.fit_key


@pytest.mark.parametrize(
    ("question", "setting"),
    [("padding", "count_padding"), ("explanation-split", "held_out_pairs"), ("decoding", "constrained")],
)
def test_changes_one_thing_at_a_time(whole, question, setting):
    first, second = (job.identity for job in jobs(whole, question, "pod"))
    assert first["settings"] == second["settings"]
    assert {name for name in first["protocol"] if first["protocol"][name] != second["protocol"][name]} == {setting}


def test_padding_is_asked_of_padded_batches(whole):
    assert {job.settings.strategy for job in jobs(whole, "padding", "pod")} == {"task-alternated"}


def test_leaves_out_what_does_not_arise():
    plan = audit_plan(card(explanations=""), "laptop", QUESTIONS, discover(), [0])
    assert not jobs(plan, "explanation-split", "pod")
    assert jobs(plan, "padding", "pod")


def test_protocols_are_told_apart():
    names = [protocol.name for group in known_protocols() for protocol in group]
    assert len(names) == len(set(names))
    touched = {"count_padding": True, "constrained": True, "per_occurrence": False}
    assert [protocol.name for protocol in protocols_served(touched)] == ["sound+counted-padding"]
