"""What the page shows of the drawn users and pairs, kept beside the results: for the same page, later reports need
neither the data nor the predictions, which copies in version control do without.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.report.files import write_text
from bench.runs.record import Record
from bench.splits import Split

FILE = "users.json"
SHOWN = "shown.json"
HISTORY = 20


@dataclass(frozen=True)
class Seen:
    """A user: id of the source, the last items before the held-out one, how many came before those, and that one."""

    user: str
    before: tuple[str, ...]
    older: int
    truth: str


def seen_by(split: Split, rows: list[int]) -> dict[int, Seen]:
    """Row of an evaluated user -> what is known of him, from the data."""
    data, truth, found = split.dataset, split.truth("test"), {}
    for row in rows:
        user = int(split.users[row])
        start, end = (int(data.sequences.offsets[user + more]) for more in (0, 1))
        before = [data.item_ids[item] for item in data.sequences.values[start : end - 1].tolist()]
        older = max(0, len(before) - HISTORY)
        found[row] = Seen(data.user_ids[user], tuple(before[-HISTORY:]), older, data.item_ids[int(truth[row])])
    return found


def keep_or_read(split: Split | None, rows: list[int], folder: Path, fingerprint: str) -> dict[int, Seen]:
    """Write users.json where the data is there, else read it; nothing where it is absent, or of another split.

    folder: results/<dataset>. fingerprint: of the split that the page is of.
    """
    path = folder / FILE
    if split is not None:
        found = seen_by(split, rows)
        users = {str(row): asdict(seen) for row, seen in found.items()}
        write_text(path, json.dumps({"split": fingerprint, "users": users}, indent=1, ensure_ascii=False) + "\n")
        return found
    try:
        content = _read(path, fingerprint)
        users = {int(row): dict(each, before=tuple(each["before"])) for row, each in content["users"].items()}
        return {row: Seen(**each) for row, each in users.items()}
    except (KeyError, TypeError, AttributeError, ValueError):
        return {}


@dataclass
class Shown:
    """What runs answered about the drawn users and pairs, by the key of their record.

    path: shown.json in results/<dataset>/<preset>. fingerprint: of the split. answers: key -> part -> as JSON has it.
    """

    path: Path
    fingerprint: str
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path, fingerprint: str) -> Shown:
        """What is known; nothing where the file is absent, of another split, or damaged."""
        found = _read(folder / SHOWN, fingerprint).get("runs", {})
        fine = isinstance(found, dict) and all(isinstance(each, dict) for each in found.values())
        return cls(folder / SHOWN, fingerprint, found if fine else {})

    def of(self, record: Record, part: str, make: Callable[[], Any | None]) -> Any | None:
        """A part of what a run answered: made of its predictions, which is then kept, else as it was kept."""
        made = make()
        if made is not None:
            self.answers.setdefault(record.key, {})[part] = made
        return self.answers.get(record.key, {}).get(part)

    def write(self, runs: Path) -> None:
        """Write what is kept of the runs that are there; no file where there is nothing, and was none."""
        here = {path.name.rpartition("-")[2] for path in runs.iterdir()} if runs.is_dir() else set()
        kept = {key: answers for key, answers in sorted(self.answers.items()) if key in here}
        if kept or self.path.exists():
            content = {"split": self.fingerprint, "runs": kept}
            write_text(self.path, json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n")


def _read(path: Path, fingerprint: str) -> dict[str, Any]:
    """The content of a kept file; empty where it is absent, unreadable or of another split."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) and content.get("split") == fingerprint else {}
