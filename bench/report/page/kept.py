"""What the page shows of the drawn users' data, kept beside the card: later reports need no data for the same page."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.report.files import write_text
from bench.splits import Split

FILE = "users.json"
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
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["split"] != fingerprint:
            return {}
        users = {int(row): dict(each, before=tuple(each["before"])) for row, each in content["users"].items()}
        return {row: Seen(**each) for row, each in users.items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
