"""What `benchmarks.gpu_check` found so far: said as it comes, kept as JSON, shown as tables at the end."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


class Report:
    """Checks, rows of tables and facts, with a time budget.

    minutes: parts that no longer fit are skipped. path: a JSON file, written after every part; None: none.
    """

    def __init__(self, minutes: float, path: Path | None = None) -> None:
        self._begun, self._budget, self._path = time.monotonic(), 60.0 * minutes, path
        self.facts: dict[str, Any] = {}
        self.checks: list[dict[str, Any]] = []
        self.tables: dict[str, list[dict[str, Any]]] = {}
        self.skipped: list[str] = []

    @property
    def elapsed(self) -> float:
        """Seconds since this began."""
        return time.monotonic() - self._begun

    @property
    def left(self) -> float:
        """Seconds of the budget that are left."""
        return self._budget - self.elapsed

    @property
    def failed(self) -> int:
        """How many checks failed."""
        return sum(not check["passed"] for check in self.checks)

    def say(self, text: str) -> None:
        """One line with the seconds so far."""
        print(f"[{self.elapsed:6.1f} s] {text}", flush=True)

    def check(self, name: str, passed: bool, text: str, **figures: Any) -> None:
        """Note a verdict. figures: what it was made of, JSON-ready."""
        self.checks.append({"check": name, "passed": bool(passed), "text": text, **figures})
        self.say(f"{'passed' if passed else 'FAILED'}  {name}: {text}")

    def row(self, table: str, **figures: Any) -> None:
        """A row of a table; said at once, for should the run be cut off."""
        self.tables.setdefault(table, []).append(figures)
        self.say(f"{table}: {', '.join(f'{name} {_shown(value)}' for name, value in figures.items())}")

    def part(self, name: str, seconds: float, work: Callable[[], None]) -> None:
        """Do a part that takes about so many seconds. What goes wrong in it fails one check and stops no other part."""
        if seconds > self.left:
            self.skipped.append(name)
            self.say(f"skipped {name}: it takes about {seconds:.0f} s, {max(0.0, self.left):.0f} s are left")
            return
        self.say(f"{name} …")
        before = self.elapsed
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not cost the other parts
            lines = traceback.format_exc()
            print(lines, flush=True)
            first = str(error).splitlines()[:1] or [""]
            self.check(name, False, f"{type(error).__name__}: {first[0][:300]}", traceback=lines)
        self.facts.setdefault("seconds", {})[name] = round(self.elapsed - before, 2)
        self.save()

    def save(self) -> None:
        """Write what there is aside and rename it into place."""
        if self._path is None:
            return
        aside = self._path.with_name(f".tmp-{self._path.name}")
        aside.write_text(json.dumps(self.content(), indent=1, default=str) + "\n", encoding="utf-8")
        aside.replace(self._path)

    def content(self) -> dict[str, Any]:
        """Everything, JSON-ready."""
        return {
            **self.facts,
            "elapsed_s": round(self.elapsed, 1),
            "failed": self.failed,
            "skipped": self.skipped,
            "checks": self.checks,
            "tables": self.tables,
        }

    def show(self) -> None:
        """Print every table, the checks and what was skipped."""
        for name, rows in self.tables.items():
            print(f"\n{name}\n{as_text(rows)}")
        print()
        for check in self.checks:
            print(f"{'passed' if check['passed'] else 'FAILED'}  {check['check']}: {check['text']}")
        for name in self.skipped:
            print(f"skipped {name}: no time left")
        print(f"{len(self.checks) - self.failed} passed, {self.failed} failed in {self.elapsed:.0f} s", flush=True)


def as_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as aligned text, columns in the order they are first met."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [columns, *([_shown(row.get(name, "")) for name in columns] for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(columns))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)
