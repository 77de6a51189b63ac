"""How long ten million interactions take to be read and split: `python -m benchmarks.loading`.

Bars: 60 seconds and 6 GB for each format, from files on disk to fixed candidates for a million users. The files are
generated in a temporary folder (about 500 MB) that is removed afterwards.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from bench.data.atomic import read_atomic_folder
from bench.data.authors import read_authors_folder
from bench.ragged import IntArray
from bench.splits import make_split
from benchmarks.measure import Bar, finish, hold

N_USERS, N_ITEMS, LENGTH = 1_000_000, 100_003, 10
STEPS = {name: Bar(60.0, 6.0) for name in ("authors", "atomic")}


def make_items(rng: np.random.Generator) -> IntArray:
    """(N_USERS, LENGTH) distinct items of each user; a prime catalogue makes every step a full cycle."""
    start, step = (rng.integers(1, N_ITEMS, (N_USERS, 1)) for _ in range(2))
    return (start + step * np.arange(LENGTH)) % N_ITEMS


def write_authors(folder: Path, items: IntArray) -> None:
    """sequential.txt with 1-based numbers, and the maps to raw ids beside it."""
    folder.mkdir()
    with (folder / "sequential.txt").open("w", encoding="ascii") as stream:
        for start in range(0, N_USERS, 10_000):
            block = items[start : start + 10_000] + 1
            users = np.arange(start + 1, start + 1 + len(block))[:, None]
            np.savetxt(stream, np.concatenate([users, block], axis=1), fmt="%d")
    with (folder / "datamaps.json").open("w", encoding="ascii") as stream:
        users = ",".join(f'"{n}":"A{n:013d}"' for n in range(1, N_USERS + 1))
        named = ",".join(f'"{n}":"B{n:09d}"' for n in range(1, N_ITEMS + 1))
        stream.write(f'{{"id2user":{{{users}}},"id2item":{{{named}}}}}')


def write_atomic(folder: Path, items: IntArray, rng: np.random.Generator) -> None:
    """An .inter file in no order, with ratings and times."""
    import pyarrow as pa
    import pyarrow.csv as pc

    folder.mkdir()
    order = rng.permutation(items.size)
    users = np.repeat(np.arange(N_USERS), LENGTH)[order]
    columns = {
        "user_id:token": pa.array(users),
        "item_id:token": pa.array(items.ravel()[order]),
        "rating:float": pa.array(rng.integers(1, 6, items.size)),
        "timestamp:float": pa.array(rng.integers(800_000_000, 1_400_000_000, items.size)),
    }
    options = pc.WriteOptions(include_header=False, delimiter="\t")
    with (folder / f"{folder.name}.inter").open("wb") as stream:
        stream.write("\t".join(columns).encode() + b"\n")
        pc.write_csv(pa.table(columns), stream, options)


def main(arguments: list[str]) -> int:
    """With a step and a folder: measure it here. Without: make the files and measure all; 1 if a bar is missed."""
    if arguments:
        step, folder = arguments
        read = read_authors_folder if step == "authors" else read_atomic_folder
        finish(lambda: make_split(read(Path(folder) / step, step)).fingerprint)
        return 0
    with tempfile.TemporaryDirectory(prefix="podium-loading-") as folder:
        rng = np.random.default_rng(3)
        items = make_items(rng)
        write_authors(Path(folder) / "authors", items)
        write_atomic(Path(folder) / "atomic", items, rng)
        del items
        return min(1, hold("benchmarks.loading", STEPS, folder))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
