"""Failure markers: one line for reports, a traceback for developers."""

from __future__ import annotations

import errno
import json
import os

import pytest
from fakes import make_job

from bench.errors import RunFailed, UserError
from bench.runs.failure import clear_failed, failed_folder, mark_failed, read_failures, reason_of
from bench.runs.record import Unwritable


class OutOfMemoryError(RuntimeError):
    """Called like torch's."""


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RunFailed("the loss became nan"), "the loss became nan"),
        (UserError("what", "where", "fix"), "where: what; fix"),
        (MemoryError(), "out of memory"),
        (OutOfMemoryError("Tried to allocate 2 GiB"), "out of memory (Tried to allocate 2 GiB)"),
        (RuntimeError("CUDA error: out of memory"), "out of memory (CUDA error: out of memory)"),
        (ZeroDivisionError("a\n  b"), "ZeroDivisionError: a b"),
        (KeyError(), "KeyError"),
        (ValueError("x" * 1000), "ValueError: " + "x" * 287 + "…"),
    ],
)
def test_reasons_are_one_short_line(error, reason):
    assert reason_of(error) == reason
    assert len(reason) <= 300


def raised(error):
    try:
        raise error
    except type(error) as caught:
        return caught


def test_a_foreign_error_leaves_its_traceback(tmp_path):
    job = make_job()
    failure = mark_failed(job, tmp_path, raised(ZeroDivisionError("oh")))
    assert failure.log == f"{job.folder}.log"
    log = (failed_folder(tmp_path) / failure.log).read_text()
    assert "Traceback" in log and "in raised" in log and "numpy: " in log
    assert read_failures(tmp_path) == [failure]
    content = json.loads((failed_folder(tmp_path) / f"{job.folder}.json").read_text())
    assert content["identity"] == job.identity and content["time"].endswith("Z")


@pytest.mark.parametrize("error", [RunFailed("no"), UserError("no"), "its process was killed"])
def test_known_reasons_need_no_traceback(tmp_path, error):
    assert mark_failed(make_job(), tmp_path, error).log is None
    assert len(list(failed_folder(tmp_path).iterdir())) == 1


def test_markers_are_replaced_and_cleared(tmp_path):
    job, other = make_job(), make_job(seed=1, protocol="published")
    mark_failed(job, tmp_path, raised(KeyError("first")))
    mark_failed(job, tmp_path, RunFailed("second"))
    assert [failure.reason for failure in read_failures(tmp_path)] == ["second"]
    clear_failed(job, tmp_path)
    clear_failed(other, tmp_path)
    assert list(failed_folder(tmp_path).iterdir()) == [] and read_failures(tmp_path / "none") == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"key": "a", "identity": {}}'])
def test_a_damaged_marker_is_named(tmp_path, text):
    mark_failed(make_job(), tmp_path, "x")
    path = next(failed_folder(tmp_path).glob("*.json"))
    path.write_text(text)
    with pytest.raises(UserError, match="not a readable failure marker") as caught:
        read_failures(tmp_path)
    assert str(path) in str(caught.value)


def test_a_full_disk(tmp_path, monkeypatch):
    def refuse(self, *args, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pathlib.Path.write_text", refuse)
    with pytest.raises(Unwritable):
        mark_failed(make_job(), tmp_path, "x")
    assert list(failed_folder(tmp_path).iterdir()) == []
