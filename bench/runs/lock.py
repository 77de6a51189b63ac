"""One process a run: advisory locks that the system drops with the process that holds them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


class Busy(Exception):
    """Another process holds the lock; the message names it."""


@contextmanager
def locked(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock file at `path` for the block; it is removed at the end.

    wait: wait for another holder instead of raising Busy.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = _acquire(path, wait)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        stream.close()


def _acquire(path: Path, wait: bool) -> IO[str]:
    while True:
        stream = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            holder = stream.read().strip()
            stream.close()
            raise Busy(f"another process is at it{f' (process {holder})' if holder else ''}") from None
        # The holder before us removes the file: a lock on a removed file keeps nobody out.
        if _same_file(stream, path):
            stream.truncate(0)
            stream.write(str(os.getpid()))
            stream.flush()
            return stream
        stream.close()


def _same_file(stream: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False
