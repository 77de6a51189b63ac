"""Bars with time left on a terminal, plain lines elsewhere; nothing at all by default."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

T = TypeVar("T")
_LINE_EVERY_S = 15.0
_BAR_AFTER_S = 2.0


class Progress:
    """Silent reporting: the base class, and what tests and library users get."""

    def line(self, text: str) -> None:
        """Say one line."""

    def track(self, steps: Iterable[T], total: int, label: str) -> Iterator[T]:
        """Pass the steps through, reporting how many of `total` are done."""
        del total, label
        yield from steps


class ConsoleProgress(Progress):
    """Reports to a stream, stderr by default, so that stdout holds results alone."""

    def __init__(self, stream: TextIO | None = None, prefix: str = "") -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._prefix = prefix

    def line(self, text: str) -> None:
        if self._stream.isatty():
            from tqdm import tqdm

            tqdm.write(self._prefix + text, file=self._stream)
        else:
            self._stream.write(self._prefix + text + "\n")
            self._stream.flush()

    def track(self, steps: Iterable[T], total: int, label: str) -> Iterator[T]:
        if self._stream.isatty():
            from tqdm import tqdm

            yield from tqdm(
                steps, total=total, desc=self._prefix + label, file=self._stream, delay=_BAR_AFTER_S, leave=False
            )
            return
        begun = said = time.monotonic()
        for done, step in enumerate(steps, start=1):
            yield step
            now = time.monotonic()
            if now - said >= _LINE_EVERY_S and done < total:
                left = (now - begun) / done * (total - done)
                self.line(f"{label}: {done}/{total}, about {clock(left)} left")
                said = now


class LoggedProgress(Progress):
    """Passes everything on and keeps the lines, each with the seconds since the start: the log of a run."""

    def __init__(self, inner: Progress) -> None:
        self._inner, self._begun = inner, time.monotonic()
        self._lines: list[str] = []

    @property
    def log(self) -> str:
        """What was said so far, a line each."""
        return "".join(f"{line}\n" for line in self._lines)

    def line(self, text: str) -> None:
        self._lines.append(f"{time.monotonic() - self._begun:9.1f} s  {text}")
        self._inner.line(text)

    def track(self, steps: Iterable[T], total: int, label: str) -> Iterator[T]:
        return self._inner.track(steps, total, label)


def clock(seconds: float) -> str:
    """A duration for people: "45 s", "3 min 20 s", "2 h 05 min"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
