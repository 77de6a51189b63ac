"""Records: complete or absent, and unaltered."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket

import numpy as np
import pytest

from bench.errors import UserError
from bench.runs.record import Unwritable, read_record, read_records, sweep, write_record

CONTENT = {
    "key": "k",
    "identity": {"model": "m", "seed": 3},
    "preset": "smoke",
    "metrics": {"topn": {"HR@1": 0.5, "n": 4}},
}


def writer(text):
    return lambda path: path.write_text(text)


def make(folder, text="a", **files):
    writers = {name.replace("_DOT_", "."): writer(value) for name, value in files.items()}
    return write_record(folder, CONTENT, {"curve.csv": writer(text), **writers})


def refuse(number):
    def write(path):
        path.write_text("half")
        raise OSError(number, os.strerror(number), str(path))

    return write


def test_what_is_written_is_read(tmp_path):
    written = make(tmp_path / "runs" / "r")
    read = read_record(tmp_path / "runs" / "r")
    assert read is not None and read.content == written.content
    assert (read.key, read.model, read.seed, read.metrics) == ("k", "m", 3, CONTENT["metrics"])
    assert read_record(tmp_path / "none") is None and read_records(tmp_path / "none") == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_nothing(tmp_path, number):
    with pytest.raises(Unwritable, match="free some space") as caught:
        write_record(tmp_path / "r", CONTENT, {"a.csv": writer("a"), "b.csv": refuse(number)})
    assert isinstance(caught.value, UserError) and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_that_a_library_tells_of_in_its_own_words(tmp_path):
    class SafetensorError(Exception):
        pass

    def write(path, text):
        raise SafetensorError(text)

    with pytest.raises(Unwritable, match="No space left on device; free some space"):
        write_record(tmp_path / "r", CONTENT, {"a": lambda p: write(p, "I/O error: No space left (os error 28)")})
    with pytest.raises(SafetensorError):
        write_record(tmp_path / "r", CONTENT, {"a": lambda p: write(p, "invalid shape")})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_the_old_record(tmp_path):
    make(tmp_path / "r", "old")
    with pytest.raises(Unwritable):
        write_record(tmp_path / "r", CONTENT, {"curve.csv": refuse(errno.ENOSPC)})
    assert (tmp_path / "r" / "curve.csv").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_a_bug_while_writing_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError):
        write_record(tmp_path / "r", CONTENT, {"a": lambda path: path.write_text(str(1 / 0))})
    assert list(tmp_path.iterdir()) == []


def test_no_other_error_claims_a_full_disk(tmp_path):
    with pytest.raises(Unwritable) as caught:
        write_record(tmp_path / "r", CONTENT, {"a": refuse(errno.EACCES)})
    assert "Permission denied" in str(caught.value) and "space" not in str(caught.value)


def test_a_new_record_replaces_the_old(tmp_path):
    make(tmp_path / "r", "old", extra_DOT_csv="gone")
    make(tmp_path / "r", "new")
    assert {path.name for path in (tmp_path / "r").iterdir()} == {"record.json", "curve.csv"}
    assert read_record(tmp_path / "r") is not None and [path.name for path in tmp_path.iterdir()] == ["r"]


@pytest.mark.parametrize("field", ["metrics", "key", "seed"])
def test_a_record_edited_by_hand(tmp_path, field):
    make(tmp_path / "r")
    path = tmp_path / "r" / "record.json"
    content = json.loads(path.read_text())
    if field == "metrics":
        content["metrics"]["topn"]["HR@1"] = 0.9
    elif field == "key":
        content["key"] = "other"
    else:
        content["identity"]["seed"] = 4
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="altered by hand") as caught:
        read_record(tmp_path / "r")
    assert str(path) in str(caught.value) and "remove its folder" in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"checksum": 1}', "\xff"])
def test_a_record_that_is_none(tmp_path, text):
    make(tmp_path / "r")
    (tmp_path / "r" / "record.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match="not a readable run record"):
        read_record(tmp_path / "r")


def test_files_are_checked_too(tmp_path):
    make(tmp_path / "r", predictions_topn_DOT_parquet="p")
    large = tmp_path / "r" / "predictions_topn.parquet"
    large.rename(tmp_path / "kept")
    with pytest.raises(UserError, match=r"predictions_topn.parquet: missing or altered"):
        read_record(tmp_path / "r")


@pytest.mark.parametrize("name", ["predictions-topn.parquet", "weights.safetensors", "curve.png"])
def test_large_files_may_be_absent_but_not_altered(tmp_path, name):
    write_record(tmp_path / "r", CONTENT, {name: writer("p"), "curve.csv": writer("c")})
    large = tmp_path / "r" / name
    large.write_text("q")
    with pytest.raises(UserError, match="missing or altered"):
        read_record(tmp_path / "r")
    large.unlink()
    assert read_record(tmp_path / "r") is not None
    (tmp_path / "r" / "curve.csv").unlink()
    with pytest.raises(UserError, match=r"curve.csv: missing or altered"):
        read_record(tmp_path / "r")


def test_another_format_is_not_guessed_at(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.runs.record.FORMAT", 99)
    make(tmp_path / "r")
    monkeypatch.undo()
    with pytest.raises(UserError, match="record format 99"):
        read_record(tmp_path / "r")


def test_reading_all_passes_over_leftovers_and_named_ones(tmp_path):
    for name in ("b", "a"):
        make(tmp_path / name)
    shutil.copytree(tmp_path / "a", tmp_path / ".tmp-host-1-a")
    (tmp_path / "failed").mkdir()
    (tmp_path / "file").write_text("")
    assert [record.path.name for record in read_records(tmp_path)] == ["a", "b"]
    (tmp_path / "b" / "curve.csv").write_text("altered")
    assert [record.path.name for record in read_records(tmp_path, {"b"})] == ["a"]
    with pytest.raises(UserError, match=r"curve\.csv"):
        read_records(tmp_path)


def test_sweeping_removes_what_dead_processes_of_this_host_left(tmp_path):
    host = socket.gethostname()
    dead, alive = f".tmp-{host}-999999999-r", f".tmp-{host}-{os.getpid()}-r"
    for name in (dead, alive, ".tmp-elsewhere-999999999-r", "r"):
        (tmp_path / name).mkdir()
    assert sweep(tmp_path) == [dead]
    assert {path.name for path in tmp_path.iterdir()} == {alive, ".tmp-elsewhere-999999999-r", "r"}
    assert sweep(tmp_path / "none") == []


def test_per_user_scores(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"task": ["topn", "topn", "x"], "user": [4, 6, 4], "HR@1": [0.0, 1.0, 0.5]})
    record = write_record(tmp_path / "r", CONTENT, {"per_user.parquet": lambda path: pq.write_table(table, path)})
    scores = record.per_user("topn")
    assert np.array_equal(scores["user"], [4, 6]) and np.array_equal(scores["HR@1"], [0.0, 1.0])
    (tmp_path / "r" / "per_user.parquet").unlink()
    with pytest.raises(UserError, match="per-user scores are missing"):
        record.per_user("topn")
