"""Carrying out many jobs: failures stay alone, kills cost little, nobody does a run twice."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
from fakes import ASCENDING, CHEAT, STEPPER, make_job, run, tiny_split

from bench.progress import ConsoleProgress, Progress
from bench.runs.failure import failed_folder, read_failures
from bench.runs.lock import locked
from bench.runs.perform import Means, describe, half_done, lock_path, perform
from bench.runs.record import Unwritable, read_record, read_records, timing_path

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).resolve().parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}", "OMP_NUM_THREADS": "1"}
# Runs the stepper in a process of its own: folder, steps, pause, trace.
CHILD = """
import sys
from pathlib import Path
from fakes import STEPPER, make_job, tiny_split
from bench.runs.perform import Means, perform
runs, steps, pause, trace = sys.argv[1:]
split = tiny_split()
job = make_job(STEPPER, split, steps=int(steps), pause=float(pause), trace=trace)
print([outcome.state for outcome in perform([job], split, Path(runs), Means())])
"""


class Listener(Progress):
    def __init__(self):
        self.lines = []

    def line(self, text):
        self.lines.append(text)


@pytest.fixture
def split():
    return tiny_split()


def states(outcomes):
    return {outcome.job.info.name + end_of(outcome): outcome.state for outcome in outcomes}


def end_of(outcome):
    return getattr(outcome.job.settings, "end", "")


def failing(split):
    ends = ("run", "user", "memory", "bug", "")
    return [make_job(STEPPER, split, end=end) for end in ends]


def test_failures_take_no_other_run_with_them(split, tmp_path):
    listener = Listener()
    outcomes = perform(failing(split), split, tmp_path, Means(progress=listener))
    assert [outcome.state for outcome in outcomes] == ["failed"] * 4 + ["done"]
    reasons = [outcome.reason for outcome in outcomes]
    assert reasons[:3] == ["the loss became nan", "stepper: cannot do this; do something else", "out of memory"]
    assert reasons[3] == r"ZeroDivisionError: a line and another \input{x}"
    assert sorted(failure.reason for failure in read_failures(tmp_path)) == sorted(reasons[:4])
    assert len(read_records(tmp_path)) == 1
    logs = [path.read_text() for path in failed_folder(tmp_path).glob("*.log")]
    assert len(logs) == 2 and any("ZeroDivisionError" in log and "_go_wrong" in log for log in logs)
    assert not any("Traceback" in line for line in listener.lines)
    assert sum(line.startswith("failed: stepper on tiny, seed 0: ") for line in listener.lines) == 4


def test_a_list_against_the_rules_is_a_failed_run(split, tmp_path):
    (outcome,) = perform([make_job(CHEAT, split)], split, tmp_path, Means())
    assert outcome.state == "failed" and "an item of the history" in outcome.reason


def test_a_failed_run_is_tried_again_and_its_marker_goes(split, tmp_path, monkeypatch):
    job = make_job(ASCENDING, split)

    def fail(self, training, context):
        raise KeyError("later")

    with monkeypatch.context() as patch:
        patch.setattr("fakes.Ascending.fit", fail)
        assert perform([job], split, tmp_path, Means())[0].state == "failed"
    assert len(list(failed_folder(tmp_path).iterdir())) == 2
    assert perform([job], split, tmp_path, Means())[0].state == "done"
    assert list(failed_folder(tmp_path).iterdir()) == []


def test_a_full_disk_ends_everything(split, tmp_path, monkeypatch):
    def refuse(table, path, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pq, "write_table", refuse)
    with pytest.raises(Unwritable):
        perform([make_job(split=split), make_job(STEPPER, split)], split, tmp_path, Means())
    assert read_records(tmp_path) == [] and read_failures(tmp_path) == []


def test_what_is_there_is_not_run_again_unless_forced(split, tmp_path):
    job = make_job(STEPPER, split, trace=str(tmp_path / "trace"))
    runs = tmp_path / "runs"
    times = timing_path(runs / job.folder)
    times.parent.mkdir()
    ran = []
    for force, steps in ((False, 3), (False, 3), (True, 6)):
        times.write_text("{}")
        assert perform([job], split, runs, Means(force=force))[0].state == "done"
        assert len((tmp_path / "trace").read_text().splitlines()) == steps
        ran.append(not times.exists())
    assert ran == [True, False, True], "times are of the weights that were replaced"


def test_a_run_that_another_process_is_at_is_left_to_it(split, tmp_path):
    jobs = [make_job(STEPPER, split), make_job(ASCENDING, split)]
    listener = Listener()
    with locked(lock_path(jobs[0], tmp_path)):
        outcomes = perform(jobs, split, tmp_path, Means(progress=listener))
    assert [outcome.state for outcome in outcomes] == ["busy", "done"]
    assert f"process {os.getpid()}" in outcomes[0].reason
    assert any(line.startswith("skipped: stepper") for line in listener.lines)
    assert read_failures(tmp_path) == []


def test_an_interrupt_is_no_failure(split, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        perform([make_job(STEPPER, split, end="interrupt")], split, tmp_path, Means())
    assert read_failures(tmp_path) == [] and half_done(make_job(STEPPER, split, end="interrupt"), tmp_path)


def child(runs, steps, pause, trace):
    command = [sys.executable, "-c", CHILD, *map(str, (runs, steps, pause, trace))]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_lines(path, number):
    for _ in range(1000):
        if path.exists() and len(path.read_text().splitlines()) >= number:
            return
        time.sleep(0.01)
    raise AssertionError("the child did not start")


def test_kill_9_costs_at_most_the_work_since_the_last_checkpoint(split, tmp_path):
    trace = tmp_path / "trace"
    process = child(tmp_path / "runs", 6, 0.15, trace)
    wait_for_lines(trace, 2)
    process.kill()
    process.communicate()
    job = make_job(STEPPER, split, steps=6, pause=0.15, trace=str(trace))
    assert read_records(tmp_path / "runs") == [] and half_done(job, tmp_path / "runs")
    again = child(tmp_path / "runs", 6, 0.15, trace)
    assert again.communicate()[0] == "['done']\n"
    steps = [int(line.split()[0]) for line in trace.read_text().splitlines()]
    assert steps == [0, 1, 2, 3, 4, 5], "no step is done twice but the one that was killed"
    assert len({line.split()[1] for line in trace.read_text().splitlines()}) == 2
    whole = run(make_job(STEPPER, split, steps=6, pause=0.0), split, tmp_path / "whole")
    resumed = read_record(tmp_path / "runs" / job.folder)
    assert resumed is not None and resumed.metrics == whole.metrics
    assert not half_done(job, tmp_path / "runs")


def test_two_processes_never_do_a_run_twice(tmp_path):
    trace = tmp_path / "trace"
    both = [child(tmp_path / "runs", 5, 0.1, trace) for _ in range(2)]
    said = sorted(process.communicate()[0] for process in both)
    assert said[-1] == "['done']\n" and said[0] in ("['busy']\n", "['done']\n")
    assert [line.split()[0] for line in trace.read_text().splitlines()] == ["0", "1", "2", "3", "4"]
    assert len(read_records(tmp_path / "runs")) == 1


def test_processes_of_their_own(split, tmp_path, capfd):
    jobs = [make_job(ASCENDING, split), *(make_job(STEPPER, split, end=end) for end in ("", "bug", "die"))]
    outcomes = perform(jobs, split, tmp_path, Means(jobs=2, threads=4, progress=ConsoleProgress()))
    assert states(outcomes) == {"ascending": "done", "stepper": "done", "stepperbug": "failed", "stepperdie": "failed"}
    reasons = {end_of(outcome): outcome.reason for outcome in outcomes if outcome.state == "failed"}
    assert reasons["die"] == "its process was killed, perhaps for want of memory"
    assert reasons["bug"].startswith("ZeroDivisionError")
    assert len(read_records(tmp_path)) == 2 and len(read_failures(tmp_path)) == 2
    assert {record.content["threads"] for record in read_records(tmp_path)} == {2}
    said = capfd.readouterr().err
    assert "4 runs, 2 at a time, threads for each: 2" in said and "Traceback" not in said
    alone = run(jobs[1], split, tmp_path / "alone")
    assert read_record(tmp_path / jobs[1].folder).metrics == alone.metrics


def test_a_full_disk_in_a_process_ends_everything(split, tmp_path):
    jobs = [make_job(STEPPER, split, end="disk"), make_job(STEPPER, split, pause=30.0)]
    begun = time.monotonic()
    with pytest.raises(Unwritable, match="No space left on device"):
        perform(jobs, split, tmp_path, Means(jobs=2))
    assert time.monotonic() - begun < 20, "the other process is ended, not waited for"


def test_processes_end_with_their_parent(tmp_path):
    script = CHILD.replace("Means()", "Means(jobs=2)").replace("perform([job]", "perform([job, other]")
    script = script.replace("print(", "other = make_job(STEPPER, split, steps=1000, pause=0.1, trace=trace)\nprint(")
    script = f"if __name__ == '__main__':\n{''.join(f'    {line}' for line in script.splitlines(keepends=True))}"
    (tmp_path / "parent.py").write_text(script)
    trace = tmp_path / "trace"
    command = [sys.executable, str(tmp_path / "parent.py"), str(tmp_path / "runs"), "1000", "0.1", str(trace)]
    process = subprocess.Popen(command, env=ENVIRONMENT)
    wait_for_lines(trace, 1)
    process.kill()
    process.wait()
    time.sleep(2.0)
    pids = {int(line.split()[1]) for line in trace.read_text().splitlines()}
    assert pids and process.pid not in pids
    # Where nobody adopts orphans, an ended process stays in the list as a zombie.
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids)


def test_checkpoints_and_words(split, tmp_path):
    job = make_job(STEPPER, split, seed=3)
    assert describe(job) == "stepper on tiny, seed 3" and describe(make_job(split=split)) == "ascending on tiny"
    folder = tmp_path / "checkpoints" / job.folder
    assert not half_done(job, tmp_path)
    folder.mkdir(parents=True)
    (folder / ".tmp-1-state").write_text("half")
    assert not half_done(job, tmp_path)
    (folder / "state.json").write_text(json.dumps({}))
    assert half_done(job, tmp_path)


def test_the_time_left_is_said_where_it_is_known(split, tmp_path):
    jobs = [make_job(STEPPER, split, seed=seed) for seed in range(3)]
    guesses = {jobs[0].key: 100.0, jobs[1].key: None, jobs[2].key: 200.0}
    listener = Listener()
    perform(jobs, split, tmp_path, Means(progress=listener), lambda job: guesses[job.key])
    assert "run 1 of 3: stepper on tiny, seed 0; 3 runs left, at least about 5 min 00 s" in listener.lines
    assert "run 3 of 3: stepper on tiny, seed 2; 1 runs left, about 3 min 20 s" in listener.lines
    assert perform([], split, tmp_path, Means()) == []
