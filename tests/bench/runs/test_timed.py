"""Timing inference: what is timed, when it is timed again, and what may not become a figure."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from fakes import CLOCKED, make_job, run, tiny_split

from bench.efficiency import Timing
from bench.errors import RunFailed, UserError
from bench.progress import Progress
from bench.runs import timed
from bench.runs.machine import alone
from bench.runs.perform import Means
from bench.runs.record import timing_path
from bench.runs.timed import (
    REPEATS,
    Wanted,
    check_clock,
    figures_of,
    lacking,
    measure_inference,
    read_timings,
    write_json,
)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A lock of their own, and no further process."""
    monkeypatch.setattr("bench.runs.machine.machine_lock", lambda: tmp_path / "machine.lock")
    monkeypatch.setattr(
        timed, "run_in_processes", lambda jobs, work, died, ended, **more: [work(job, Progress()) for job in jobs]
    )


@pytest.fixture
def split():
    return tiny_split()


@pytest.fixture
def wanted(tmp_path, split):
    job = make_job(CLOCKED, split, protocol="published", trace=str(tmp_path / "trace"))
    return Wanted(job, run(job, split, tmp_path / "runs"), ("plain", "ours"))


def asked(tmp_path):
    path = tmp_path / "trace"
    return path.read_text().splitlines() if path.exists() else []


def test_every_way_by_turns_after_one_that_does_not_count(tmp_path, split, wanted):
    assert lacking(wanted) and figures_of(wanted.record, "ours", "sequential") is None
    assert measure_inference([wanted], split, Means()) == []
    assert not lacking(wanted)
    warm = ["plain sequential"] * 2 + ["ours sequential"] * 2 + ["plain topn"] * 2 + ["ours topn"] * 2
    later = ["plain sequential", "ours sequential", "plain topn", "ours topn"]
    assert asked(tmp_path) == warm + later * (REPEATS - 1)
    plain, ours = (figures_of(wanted.record, way, "sequential") for way in wanted.ways)
    assert plain and ours and plain.users == len(split.users) and plain.repeats == REPEATS
    assert (plain.encoded, ours.encoded, ours.decoded) == (20, 1, 3) and ours.same == 1.0
    assert 0 < ours.seconds < 1 and ours.peak_mib > 1
    found = read_timings(wanted.record)
    assert found["machine"]["device"] == "cpu" and "load_average" in found["times"]["ours topn"][0]


def test_a_repeat_asks_until_its_time_has_passed(tmp_path, split, wanted, monkeypatch):
    monkeypatch.setitem(timed._LEAST_S, "smoke", 0.05)
    measure_inference([wanted], split, Means())
    repeats = [repeat for times in read_timings(wanted.record)["times"].values() for repeat in times]
    assert len(asked(tmp_path)) == sum(repeat["passes"] for repeat in repeats) + 4
    for repeat in repeats:
        assert repeat["passes"] > 1 and 0.05 <= repeat["wall"] * repeat["passes"] < 0.05 + 10 * repeat["wall"] + 0.1
    ours = figures_of(wanted.record, "ours", "sequential")
    assert ours is not None and (ours.encoded, ours.decoded) == (1, 3), "of one time, not of all"


def test_nothing_is_timed_twice_and_an_interrupted_measurement_goes_on(tmp_path, split, wanted):
    measure_inference([wanted], split, Means())
    before = len(asked(tmp_path))
    measure_inference([wanted], split, Means())
    assert len(asked(tmp_path)) == before
    found = read_timings(wanted.record)
    lost = found["times"]["ours topn"].pop()
    write_json(timing_path(wanted.record.path), found)
    assert lacking(wanted)
    measure_inference([wanted], split, Means())
    assert asked(tmp_path)[before:] == ["ours topn"] * 2, "once to be ready, once to be timed"
    assert read_timings(wanted.record)["times"]["ours topn"][:2] == found["times"]["ours topn"] and lost


def test_another_machine_begins_anew(tmp_path, split, wanted):
    measure_inference([wanted], split, Means())
    found = read_timings(wanted.record)
    found["machine"]["processor"] = "another"
    found["times"]["ours topn"].pop()
    write_json(timing_path(wanted.record.path), found)
    before = len(asked(tmp_path))
    measure_inference([wanted], split, Means())
    assert len(asked(tmp_path)) - before == 4 * (REPEATS + 1)


def test_medians_and_spread_by_hand(split, wanted):
    repeats = [
        {"wall": wall, "cpu": 2 * wall, "peak_mib": wall, "encoded": 10, "decoded": 5} for wall in (1.0, 4.0, 2.0)
    ]
    machine = {"device": "cpu", "threads": 2}
    content = {"version": 1, "key": wanted.record.key, "machine": machine, "users": {"topn": 2}}
    content |= {"times": {"ours topn": repeats}}
    write_json(timing_path(wanted.record.path), content)
    found = figures_of(wanted.record, "ours", "topn")
    assert found is not None
    assert (found.seconds, found.cpu, found.spread, found.peak_mib) == (1.0, 2.0, 1.5, 4.0) and not found.steady
    assert (found.encoded, found.decoded, found.same) == (5.0, 2.5, None)
    write_json(timing_path(wanted.record.path), {**content, "key": "of another run"})
    assert figures_of(wanted.record, "ours", "topn") is None
    for broken in ("{", json.dumps({**content, "machine": {"device": "cpu"}}), json.dumps({**content, "machine": []})):
        timing_path(wanted.record.path).write_text(broken)
        with pytest.raises(UserError, match="not a readable file of times"):
            read_timings(wanted.record)


def test_lists_are_compared_only_where_all_search_freely(tmp_path, split):
    for protocol, compared in (("published", True), ("sound", False)):
        info = replace(CLOCKED, protocol_settings=("constrained",))
        job = make_job(info, split, protocol=protocol)
        each = Wanted(job, run(job, split, tmp_path / "runs"), ("plain", "ours"))
        measure_inference([each], split, Means())
        assert bool(read_timings(each.record)["same"]) == compared


def test_why_a_run_cannot_be_timed(tmp_path, split, wanted):
    with alone():
        (told,) = measure_inference([wanted], split, Means())
    assert "needs the machine for itself" in told and lacking(wanted)
    (wanted.record.path / "weights.safetensors").unlink()
    (told,) = measure_inference([wanted], split, Means())
    assert "its weights are not here" in told and asked(tmp_path) == []


@pytest.mark.parametrize("spent", [Timing(-1.0, 1.0), Timing(0.0, 0.0), Timing(1.0, -1.0)])
def test_a_clock_that_goes_backwards(spent):
    with pytest.raises(RunFailed, match="went backwards"):
        check_clock(spent)
    check_clock(Timing(1.0, 0.0))


def test_the_file_is_plain_json(split, wanted):
    measure_inference([wanted], split, Means())
    assert json.loads(timing_path(wanted.record.path).read_text())["version"] == 1
