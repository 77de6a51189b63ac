"""Clocks, peak memory and the machine's description."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import time

import numpy as np
import pytest

import bench.efficiency as efficiency
from bench.efficiency import cuda_available, environment, package_version, peak_memory_mib, reset_peak_memory, timed


def test_a_block_is_timed_even_if_it_fails():
    with pytest.raises(RuntimeError), timed() as timing:
        time.sleep(0.05)
        raise RuntimeError
    assert 0.04 < timing.wall < 5 and timing.cpu < 0.04


def test_cpu_time_is_work_not_waiting():
    with timed() as timing:
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass
    assert 0.04 < timing.cpu < 5


def test_the_peak_stays_after_the_memory_is_gone():
    before = peak_memory_mib()
    assert 5 < before < 1e6
    held = np.ones(8 << 20)
    del held
    assert peak_memory_mib() >= before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells and resets the peak of one program")
def test_the_peak_is_this_programs_and_can_be_reset():
    code = "from bench.efficiency import *; import sys; print(peak_memory_mib())"
    held = np.ones(32 << 20)  # a launcher of 256 MiB
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    del held
    assert float(done.stdout) < 200
    if not reset_peak_memory():
        pytest.skip("this system does not let processes reset their peak")
    low = peak_memory_mib()
    held = np.ones(8 << 20)
    assert 60 < peak_memory_mib() - low < 100
    del held


_TWICE = """
import resource, sys
import numpy as np
from bench.efficiency import keep_freed_memory, peak_memory_mib, reset_peak_memory
if sys.argv[1] == "kept" and not keep_freed_memory():
    sys.exit("refused")
faults = []
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(10 << 20)  # 80 MiB, and gone at once
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
with_it = peak_memory_mib()
reset_peak_memory()
print(faults[0], faults[2], with_it - peak_memory_mib())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone lets programs say what it keeps")
def test_freed_memory_is_kept_until_the_next_run():
    found = {}
    for how in ("kept", "left"):
        done = subprocess.run([sys.executable, "-c", _TWICE, how], capture_output=True, text=True)
        if "refused" in done.stderr:
            pytest.skip("this C library keeps no arrays of that size")
        assert done.returncode == 0, done.stderr
        found[how] = [float(part) for part in done.stdout.split()]
    # Pages of 4 KiB, or 2 MiB where the system gives large ones: the later arrays lie where the first one did.
    assert found["kept"][1] < 0.1 * found["kept"][0] and found["left"][1] > 0.5 * found["left"][0]
    assert found["kept"][2] > 60, "what is kept is handed back when another run begins"


def test_without_the_systems_file_the_standard_call_answers(monkeypatch):
    precise = peak_memory_mib()
    monkeypatch.setattr(efficiency, "_lines", lambda path: [])
    assert peak_memory_mib() > 0.5 * precise
    assert efficiency.processor()


def test_processors_of_one_name_are_told_apart_by_family_and_model(monkeypatch):
    core = ["processor\t: {}", "cpu family\t: 25", "model\t\t: 17", "model name\t: AMD EPYC", ""]
    lines = [line.format(number) for number in range(2) for line in core]
    monkeypatch.setattr(efficiency, "_lines", lambda path: lines)
    assert efficiency.processor() == "AMD EPYC (family 25, model 17)"
    monkeypatch.setattr(efficiency, "_lines", lambda path: ["processor\t: 0", "model name\t: Some Chip: rev 2"])
    assert efficiency.processor() == "Some Chip: rev 2"
    monkeypatch.setattr(efficiency, "_lines", lambda path: ["processor\t: 0", "CPU part\t: 0xd0c"])
    assert efficiency.processor()


def test_versions():
    assert package_version("numpy") == np.__version__
    assert package_version("no-such-package") is None


def test_the_environment_is_plain_and_names_no_place():
    found = environment()
    assert json.loads(json.dumps(found)) == found
    assert {"python", "platform", "processor", "cores", "numpy"} <= set(found)
    assert not any("/" in value and "home" in value for value in found.values())


@pytest.mark.parametrize("version", [None, "2.13.0+cpu"])
def test_no_cuda_without_a_torch_that_can_use_it(monkeypatch, version):
    monkeypatch.setattr(efficiency, "package_version", lambda name: version)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: pytest.fail("the driver was asked"))
    assert cuda_available() is False


@pytest.mark.parametrize(
    ("devices", "status", "answer"), [(1, 0, True), (0, 0, False), (1, 100, False), (None, 0, False)]
)
def test_cuda_is_what_the_driver_says(monkeypatch, devices, status, answer):
    class Driver:
        def __init__(self, name):
            if devices is None:
                raise OSError(name)

        def cuInit(self, flags):
            return status

        def cuDeviceGetCount(self, pointer):
            pointer._obj.value = devices
            return 0

    monkeypatch.setattr(efficiency, "package_version", lambda name: "2.13.0")
    monkeypatch.setattr(ctypes, "CDLL", Driver)
    assert cuda_available() is answer
