"""How soon the command answers: `python -m benchmarks.startup`. Bar: `--list` under a second, interpreter included."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = {"import bench": ["-c", "import bench"], "--list": ["run_all.py", "--list"]}
REPEATS, BAR_S = 7, 1.0


def main() -> int:
    """Print the median wall time of each command; 1 where the listing misses its bar."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(REPEATS):
        for name, words in COMMANDS.items():
            begun = time.perf_counter()
            subprocess.run([sys.executable, *words], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
            times[name].append(time.perf_counter() - begun)
    for name, taken in times.items():
        print(f"{name:<14}{median(taken):>7.2f} s   ({min(taken):.2f} to {max(taken):.2f})")
    return int(median(times["--list"]) > BAR_S)


if __name__ == "__main__":
    sys.exit(main())
