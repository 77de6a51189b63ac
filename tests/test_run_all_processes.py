"""The command as a process of its own: ended from outside, resumed, and with a reader that leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FAKES = Path(__file__).resolve().parent / "bench" / "runs"
COMMAND = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import bench.models, fakes, run_all
bench.models.discover = lambda: fakes.REGISTRY
if __name__ == "__main__":
    sys.exit(run_all.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_ended_from_outside_and_resumed(shop, tmp_path, how):
    trace, script = tmp_path / "trace", tmp_path / "command.py"
    script.write_text(COMMAND)
    words = ["--dataset", str(shop), "--preset", "smoke", "--models", "ascending,stepper", "--tables", "2"]
    words += ["--out", str(tmp_path / "out"), "--set", "stepper.steps=5", "--set", "stepper.pause=0.15"]
    command = [sys.executable, str(script), str(FAKES), *words, "--set", f"stepper.trace={trace}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    # Background jobs of a shell, and so perhaps these tests, are started with interrupts ignored.
    process = subprocess.Popen(
        command,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    for _ in range(1000):
        if trace.exists() and len(trace.read_text().splitlines()) >= 2:
            break
        time.sleep(0.01)
    process.send_signal(how)
    out, err = process.communicate()
    if how != signal.SIGKILL:
        assert process.returncode == 130 and err.splitlines()[-1].startswith("podium: interrupted") and out == ""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "ascending" not in done.stderr and "run 1 of 1: stepper" in done.stderr
    assert [line.split()[0] for line in trace.read_text().splitlines()] == list("01234")


def test_a_reader_that_has_seen_enough(shop, tmp_path):
    command = f"{sys.executable} run_all.py --list | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.stdout == "data sets:\n" and done.stderr == ""
