"""Clocks, peak memory, and what machine this is."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# What mallopt (malloc.h) calls the size from which on arrays are mapped by themselves, and what is kept at most.
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
_KEPT = (1 << 31) - 1


@dataclass
class Timing:
    """wall: seconds by the monotonic clock. cpu: seconds of all threads of this process."""

    wall: float = 0.0
    cpu: float = 0.0


@contextmanager
def timed() -> Iterator[Timing]:
    """Measure a block; the numbers are there once it ends."""
    timing = Timing()
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        yield timing
    finally:
        timing.wall = time.perf_counter() - wall
        timing.cpu = time.process_time() - cpu


def peak_memory_mib() -> float:
    """The largest resident size of this process since it began or since `reset_peak_memory`, in MiB."""
    # Linux' getrusage starts a new program at the peak of the one that launched it; this file does not.
    for line in _lines("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 2**10
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset / 2**20
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def reset_peak_memory() -> bool:
    """Let the peak start again from the present size, so that one run is not charged with another's; Linux only.

    Returns whether that was possible. The peak of the CUDA device starts again too.
    """
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    if trim := getattr(_c_library(), "malloc_trim", None):
        trim(0)  # what an earlier run freed and this process kept is not this one's
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def keep_freed_memory() -> bool:
    """Let this process keep memory that it frees, up to 2 GiB, for the arrays that come next; glibc alone can.

    Networks make and free arrays of megabytes at every step. Left to itself glibc hands most of that back to the
    system, which clears every page of the next array: a tenth of the CPU time of training and asking POD at
    `laptop`. `reset_peak_memory` hands back what is kept. Returns whether the library took it.
    """
    mallopt = getattr(_c_library(), "mallopt", None)
    # An older one takes thresholds up to 32 MB alone; the second setting by itself would only switch off its own rule.
    return mallopt is not None and bool(mallopt(_MMAP_THRESHOLD, _KEPT) and mallopt(_TRIM_THRESHOLD, _KEPT))


def device_peak_memory_mib() -> float:
    """The most that torch held of the CUDA device since `reset_peak_memory`, in MiB; 0 without torch."""
    torch = sys.modules.get("torch")
    return 0.0 if torch is None else torch.cuda.max_memory_allocated() / 2**20


def cuda_available() -> bool:
    """Whether the driver reports a CUDA device and the installed torch can use one; imports no torch."""
    version = package_version("torch")
    if version is None or version.endswith("+cpu"):
        return False
    try:
        driver = ctypes.CDLL("libcuda.so.1" if sys.platform != "win32" else "nvcuda.dll")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


def package_version(name: str) -> str | None:
    """The installed version of a package, None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def environment() -> dict[str, str]:
    """What a reader needs to rerun: platform, processor and versions."""
    packages = ("numpy", "scipy", "pandas", "pyarrow", "torch", "recbole", "transformers")
    found = {name: package_version(name) for name in packages}
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cores": str(os.cpu_count()),
        **_gpu(),
        **{name: version for name, version in found.items() if version},
    }


def _gpu() -> dict[str, str]:
    """The CUDA device's name, where a model has loaded torch and can use one; loads nothing by itself."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return {}
    return {"gpu": torch.cuda.get_device_name()}


def processor() -> str:
    """The processor's name where the system tells it, with family and model.

    Virtual machines name processors of different generations alike, which round and take time differently.
    """
    told: dict[str, str] = {}
    for line in _lines("/proc/cpuinfo"):
        key, _, value = line.partition(":")
        told.setdefault(key.strip(), value.strip())
    name = told.get("model name") or platform.processor() or platform.machine()
    if "cpu family" in told and "model" in told:
        return f"{name} (family {told['cpu family']}, model {told['model']})"
    return name


def _c_library() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if sys.platform == "linux" else None


def _lines(path: str) -> list[str]:
    """The lines of a file of the system; none where there is no such file."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
