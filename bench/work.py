"""What a command has in hand of one dataset: its plans, where results lie, and what was found there."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bench.runs.plan import Plan, union
from bench.runs.record import Record
from bench.splits import Split


@dataclass
class Work:
    """A dataset's plan and where it lies.

    split:   None where nothing is to be run.
    records: what was found in its folder when last looked.
    own:     table -> the plan of a table that has its own runs.
    """

    plan: Plan
    folder: Path
    split: Split | None
    records: list[Record] = field(default_factory=list)
    own: dict[str, Plan] = field(default_factory=dict)

    @property
    def plans(self) -> list[Plan]:
        return [self.plan, *self.own.values()]

    @property
    def whole(self) -> Plan:
        """Everything to be run, as one plan."""
        return union(self.plans)

    @property
    def runs(self) -> Path:
        return self.folder / "runs"
