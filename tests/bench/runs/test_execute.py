"""One job from fit to record, against numbers found by hand."""

from __future__ import annotations

import csv
import errno
import json
import os

import numpy as np
import pyarrow.parquet as pq
import pytest
from fakes import ASCENDING, CHEAT, NUMBERED, STEPPER, Ascending, make_job, run, tiny_split

from bench.protocols import PROTOCOLS
from bench.runs.execute import counts_repeats, keeps_history, training_data
from bench.runs.outside import judge_file
from bench.runs.record import Unwritable, read_record

# The evaluated users are u0..u3 with test items 3, 4, 4, 7; "ascending" lists the smallest items outside the history:
# u0 (0 1 2): 3 …   u1 (1 2 3): 0 4 …   u2 (2 3): 0 1 4 …   u3 (5 0 6 1): 2 3 4 7
RANKS = (1, 2, 3, 4)


def test_metrics_by_hand(tmp_path):
    split = tiny_split()
    record = run(make_job(split=split), split, tmp_path)
    gains = [1 / np.log2(1 + rank) for rank in RANKS]
    expected = {"HR@1": 0.25, "HR@5": 1.0, "HR@10": 1.0, "NDCG@5": np.mean(gains), "NDCG@10": np.mean(gains), "n": 4}
    assert record.metrics["sequential"] == pytest.approx(expected)
    scores = record.per_user("sequential")
    assert scores["rank"].tolist() == list(RANKS) and scores["user"].tolist() == [0, 1, 2, 3]
    assert scores["NDCG@5"] == pytest.approx(gains)
    read = read_record(record.path)
    assert read is not None and read.content == record.content


def test_predictions_are_in_the_form_that_score_reads(tmp_path):
    split = tiny_split()
    record = run(make_job(split=split), split, tmp_path)
    path = record.path / "predictions-sequential.parquet"
    table = pq.read_table(path).to_pydict()
    first = [item for user, item in zip(table["user"], table["item"], strict=True) if user == "u3"]
    assert first == ["i2", "i3", "i4", "i7"]
    for task in ("sequential", "topn"):
        verdict = judge_file(record.path / f"predictions-{task}.parquet", split, task, PROTOCOLS["sound"])
        for metric, estimate in verdict.metrics.items():
            assert estimate.mean == pytest.approx(record.metrics[task][metric])


def test_what_a_model_sees_holds_no_test_item(tmp_path):
    split = tiny_split()
    training = training_data(split, ("sequential", "topn"), PROTOCOLS["sound"])
    rows = [training.sequences[user].tolist() for user in range(training.n_users)]
    assert rows == [[0, 1], [1, 2], [2], [5, 0, 6], [0, 4]]
    queries = training.validation["sequential"].queries
    assert [queries.histories[row].tolist() for row in range(4)] == rows[:4]
    model = Ascending(None)
    model.fit(training, None)
    score = training.validation["sequential"].score(model.rank(queries))
    # Validation items 2, 3, 3, 1; lists 2…, 0 3…, 0 1 3…, 1…
    assert score["HR@1"] == 0.5 and "rank" not in score
    assert score["NDCG@10"] == pytest.approx(np.mean([1, 1 / np.log2(3), 0.5, 1]))


def test_curve_timings_and_environment_are_kept(tmp_path):
    split = tiny_split()
    record = run(make_job(STEPPER, split), split, tmp_path)
    with (record.path / "curve.csv").open(newline="") as stream:
        assert [row["epoch"] for row in csv.DictReader(stream)] == ["1.0", "2.0", "3.0"]
    content = record.content
    assert set(content["timings"]) == {"fit", "rank-sequential", "rank-topn"}
    assert content["device"] == "cpu" and content["environment"]["python"] and content["peak_memory_mib"] > 1
    assert content["identity"]["settings"]["steps"] == 3
    assert not (tmp_path / "checkpoints" / record.path.name).exists()


def test_weights_go_along(tmp_path):
    split = tiny_split()
    job = make_job(STEPPER, split)
    checkpoint = tmp_path / "checkpoints" / job.folder
    checkpoint.mkdir(parents=True)
    (checkpoint / "best.safetensors").write_bytes(b"weights")
    record = run(job, split, tmp_path)
    assert (record.path / "weights.safetensors").read_bytes() == b"weights"


def test_force_starts_from_nothing(tmp_path):
    split = tiny_split()
    job = make_job(STEPPER, split, steps=2, trace=str(tmp_path / "trace"))
    checkpoint = tmp_path / "checkpoints" / job.folder
    for force, steps in ((False, ["1"]), (True, ["0", "1"])):
        checkpoint.mkdir(parents=True, exist_ok=True)
        (checkpoint / "state.json").write_text(json.dumps({"done": 1, "weights": [0.0] * 8}))
        run(job, split, tmp_path, force=force)
        trace = tmp_path / "trace"
        assert [line.split()[0] for line in trace.read_text().splitlines()] == steps
        trace.unlink()


def test_a_list_that_breaks_the_rules_gives_no_number(tmp_path):
    split = tiny_split()
    with pytest.raises(ValueError, match="an item of the history"):
        run(make_job(CHEAT, split), split, tmp_path)
    assert not (tmp_path / make_job(CHEAT, split).folder).exists()


def test_a_full_disk_leaves_no_record_but_the_checkpoint(tmp_path, monkeypatch):
    split = tiny_split()
    job = make_job(STEPPER, split)

    def refuse(table, path, **options):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", refuse)
        with pytest.raises(Unwritable, match="No space left"):
            run(job, split, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]
    assert (tmp_path / "checkpoints" / job.folder / "state.json").exists()
    assert run(job, split, tmp_path).path.is_dir()


def test_the_protocol_touches_only_models_that_name_its_settings():
    job = make_job(ASCENDING, protocol="published")
    assert not keeps_history(job) and not counts_repeats(job)
    assert not keeps_history(make_job(NUMBERED, protocol="published"))
    from dataclasses import replace

    generated = replace(job, info=replace(ASCENDING, protocol_settings=("keep_history", "per_occurrence")))
    assert keeps_history(generated) and counts_repeats(generated)
    assert not keeps_history(replace(generated, protocol=PROTOCOLS["sound"]))
