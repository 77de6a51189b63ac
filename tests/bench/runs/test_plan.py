"""Plans: who shares a run, what stands in the way, what is there."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from fakes import ASCENDING, NUMBERED, REGISTRY, STEPPER, make_job, run, tiny_dataset, tiny_split

from bench.errors import UserError
from bench.models import Registry
from bench.protocols import PROTOCOLS, with_numbering
from bench.ragged import Ragged
from bench.runs.failure import Failure
from bench.runs.plan import (
    NOT_RUN,
    STALE,
    DatasetCard,
    attach,
    estimate_seconds,
    make_plan,
    read_card,
    union,
    write_card,
)
from bench.runs.record import read_records
from bench.runs.workspace import card_path, prepare
from bench.splits import make_split

BOTH = list(PROTOCOLS.values())


@pytest.fixture
def card():
    return DatasetCard.of(tiny_split())


def plan(card, names=("stepper", "ascending", "numbered"), seeds=(0, 1), **more):
    return make_plan(card, "smoke", names, more.pop("registry", REGISTRY), BOTH, list(seeds), **more)


def test_runs_are_shared_where_nothing_tells_them_apart(card):
    made = plan(card)
    assert [(e.info.name, e.protocol.name, e.seed) for e in made.entries] == [
        *(("stepper", protocol, seed) for protocol in ("published", "sound") for seed in (0, 1)),
        *((name, protocol, 0) for name in ("ascending", "numbered") for protocol in ("published", "sound")),
    ]
    # Two seeds of the trained model, one rule for both protocols, the probe once for each.
    assert [job.info.name for job in made.jobs()] == ["stepper", "stepper", "ascending", "numbered", "numbered"]


def test_a_deterministic_model_has_seed_0_whatever_is_asked(card):
    made = plan(card, ["ascending"], seeds=(5, 6))
    assert {entry.seed for entry in made.entries} == {0} and made.jobs()[0].seed == 0


def test_only_what_is_asked_for_is_run(card):
    made = plan(card, asked=["ascending"])
    assert {entry.info.name for entry in made.entries} == {"stepper", "ascending", "numbered"}
    assert [job.info.name for job in made.jobs()] == ["ascending"]


def test_overrides_reach_their_model(card):
    made = plan(card, ["stepper"], seeds=(0,), overrides={"stepper": {"steps": "9"}})
    assert made.jobs()[0].settings.steps == 9 and made.overrides == {"stepper": {"steps": "9"}}
    with pytest.raises(UserError, match="did you mean 'steps'"):
        plan(card, ["stepper"], overrides={"stepper": {"step": "9"}})


def test_obstacles_are_named(card):
    picky = replace(STEPPER, name="picky", needs=("attributes",))
    absent = replace(STEPPER, name="absent", requires=("json", "no_such_package"))
    made = plan(card, ["picky", "absent"], registry=Registry({"picky": picky, "absent": absent}, {}))
    reasons = {entry.info.name: entry.reason for entry in made.entries}
    assert reasons["picky"] == "needs item attributes, which this dataset does not have"
    assert reasons["absent"] == "needs the package no_such_package, which is not installed"
    assert made.jobs(force=True) == []
    attributes = Ragged.from_rows([[1]] * 8)
    rich = DatasetCard.of(make_split(tiny_dataset(attributes=attributes)))
    assert rich.has == ("attributes",)
    assert plan(rich, ["picky"], registry=Registry({"picky": picky}, {})).jobs() != []


def test_records_and_failures_are_attached(card, tmp_path):
    split = tiny_split()
    run(make_job(ASCENDING, split), split, tmp_path)
    made = plan(card)
    stepper = made.of("stepper", BOTH[0])[1]
    failures = [Failure(stepper.job.key, "stepper", "the loss became nan")]
    attach(made, read_records(tmp_path), failures)
    assert all(entry.record and not entry.reason for entry in made.entries if entry.info is ASCENDING)
    assert [(e.reason, e.failed) for e in made.of("stepper", BOTH[0])] == [
        (NOT_RUN, False),
        ("the loss became nan", True),
    ]
    assert [job.info.name for job in made.jobs()] == ["stepper", "stepper", "numbered", "numbered"]
    assert len(made.jobs(force=True)) == 5


def test_a_record_goes_before_a_failure_and_an_obstacle(card, tmp_path):
    split = tiny_split()
    record = run(make_job(ASCENDING, split), split, tmp_path)
    needy = Registry({"ascending": replace(ASCENDING, needs=("attributes",))}, {})
    made = attach(plan(card, ["ascending"], registry=needy), [record], [Failure(record.key, "ascending", "x")])
    assert all(entry.record is record and not entry.failed for entry in made.entries)


def test_a_record_of_other_settings_is_not_taken_but_mentioned(card, tmp_path):
    split = tiny_split()
    run(make_job(STEPPER, split, steps=1), split, tmp_path)
    made = attach(plan(card, ["stepper"]), read_records(tmp_path))
    assert [entry.reason for entry in made.of("stepper", BOTH[1])] == [STALE, NOT_RUN]


def test_a_record_under_other_item_numbers_is_no_older_one(card, tmp_path):
    split = tiny_split()
    run(make_job(NUMBERED, split, protocol="sound"), split, tmp_path)
    protocols = [with_numbering(BOTH[1], numbering) for numbering in ("appearance", "train", "random")]
    made = attach(make_plan(card, "smoke", ["numbered"], REGISTRY, protocols, [0]), read_records(tmp_path))
    assert [entry.reason for entry in made.entries] == [NOT_RUN, "", NOT_RUN]


def test_plans_together_have_each_run_once(card):
    renumbered = [with_numbering(BOTH[1], numbering) for numbering in ("train", "random")]
    first, second = plan(card), make_plan(card, "smoke", ["numbered", "ascending"], REGISTRY, renumbered, [0])
    whole = union([first, second])
    assert whole.entries[: len(first.entries)] == first.entries
    more = [(entry.info.name, entry.protocol.name) for entry in whole.entries[len(first.entries) :]]
    assert more == [("numbered", "sound+random-ids"), ("ascending", "sound+random-ids")]
    assert {job.key for job in whole.jobs()} == {job.key for made in (first, second) for job in made.jobs()}
    assert whole.protocols == first.protocols and len(whole.jobs()) == len(first.jobs()) + 1
    assert union([first]).entries == first.entries and len(first.entries) == 8


def test_a_model_that_only_its_records_tell_of(card, tmp_path):
    split = tiny_split()
    run(make_job(STEPPER, split, seed=4), split, tmp_path)
    run(make_job(NUMBERED, split, protocol="published"), split, tmp_path)
    made = plan(card, [], registry=Registry({}, {}))
    attach(made, read_records(tmp_path), (), ["stepper", "numbered", "nobody"])
    found = [(e.info.title, e.protocol.name, e.seed, e.asked) for e in made.entries]
    assert found == [
        ("Stepper", "published", 4, False),
        ("Stepper", "sound", 4, False),
        ("Numbered", "published", 0, False),
    ]
    assert made.jobs(force=True) == []


def test_the_card_goes_to_disk_and_back(card, tmp_path):
    path = card_path(tmp_path, "tiny")
    write_card(card, path)
    assert read_card(path) == card
    write_card(card, path)
    assert card.density == pytest.approx(100 * 18 / (5 * 8)) and card.evaluated == 4


def test_two_datasets_under_one_name(card, tmp_path):
    path = card_path(tmp_path, "tiny")
    write_card(card, path)
    other = DatasetCard.of(tiny_split(histories=[[0, 1, 2], [3, 4, 5, 6, 7]]))
    with pytest.raises(UserError, match="results of other data are here") as caught:
        write_card(other, path)
    assert card.fingerprint in str(caught.value) and other.fingerprint in str(caught.value)
    recut = DatasetCard.of(make_split(tiny_dataset(), seed=1))
    with pytest.raises(UserError, match="another split"):
        write_card(recut, path)
    assert read_card(path) == card


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"notes": 3}'])
def test_a_damaged_card(tmp_path, text):
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(UserError, match="not a readable dataset card"):
        read_card(tmp_path / "dataset.json")
    with pytest.raises(UserError, match="no results of this dataset"):
        read_card(tmp_path / "none.json")


def test_estimates(card, tmp_path):
    split = tiny_split()
    job = make_job(STEPPER, split)
    assert estimate_seconds(job, card, []) is None
    assert estimate_seconds(make_job(ASCENDING, split), card, []) == pytest.approx(1 + 18 * 2e-5)
    record = run(make_job(STEPPER, split, seed=1), split, tmp_path)
    spent = sum(part["wall_s"] for part in record.content["timings"].values())
    assert estimate_seconds(job, card, [record]) == spent

    class Trained(STEPPER.settings):
        expected_epochs = 10

    trained = replace(job, info=replace(STEPPER, name="t"), settings=Trained())
    assert estimate_seconds(trained, card, [record]) == pytest.approx(10 * 1.0 * 18 / 1000)


def test_the_estimate_is_that_of_the_nearest_record(card, tmp_path):
    split = tiny_split()
    wanted = make_job(STEPPER, split, seed=3)
    records = []
    for seed, changed in enumerate(({"steps": 9}, {}, {"steps": 8})):
        record = run(make_job(STEPPER, split, seed=seed, **changed), split, tmp_path)
        record.content["timings"] = {"fit": {"wall_s": float(10 + seed), "cpu_s": 1.0}}
        records.append(record)
    assert estimate_seconds(wanted, card, records) == 11.0


def write_folder(folder, rows):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sequential.txt").write_text("".join(f"{row}\n" for row in rows))


def test_prepare_makes_a_split_once_and_keeps_it(tmp_path):
    write_folder(tmp_path / "shop", ["1 1 2 3", "2 2 3 4"])
    out = tmp_path / "out"
    first = prepare(str(tmp_path / "shop"), out)
    stamp = (out / "shop" / "split.npz").stat().st_mtime_ns
    again = prepare(str(tmp_path / "shop"), out)
    assert again.fingerprint == first.fingerprint and (out / "shop" / "split.npz").stat().st_mtime_ns == stamp
    assert {path.name for path in (out / "shop").iterdir()} == {"split.npz", "dataset.json"}
    (out / "shop" / "split.npz").unlink()
    assert prepare(str(tmp_path / "shop"), out).fingerprint == first.fingerprint


def test_prepare_refuses_other_data_and_writes_nothing(tmp_path):
    out = tmp_path / "out"
    write_folder(tmp_path / "shop", ["1 1 2 3"])
    prepare(str(tmp_path / "shop"), out, keep=False)
    assert not out.exists()
    prepare(str(tmp_path / "shop"), out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    write_folder(tmp_path / "shop", ["1 1 2 4"])
    with pytest.raises(UserError, match="results of other data are here under the name 'shop'"):
        prepare(str(tmp_path / "shop"), out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_prepare_with_a_folder_that_cannot_be(tmp_path):
    write_folder(tmp_path / "shop", ["1 1 2 3"])
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="choose another --out"):
        prepare(str(tmp_path / "shop"), tmp_path / "file")


def test_a_card_from_disk_may_say_anything(card, tmp_path):
    path = tmp_path / "dataset.json"
    write_card(card, path)
    content = json.loads(path.read_text())
    content["name"] = r"\input{x}"
    path.write_text(json.dumps(content))
    assert read_card(path).name == r"\input{x}"
