"""Run records: written aside, checked, renamed into place; complete or absent.

A record is a folder: `record.json` (identity, settings, environment, timings, mean metrics, checksums),
`per_user.parquet` (one row per ranking task and evaluated user), `curve.csv` (learning curve, where there is one),
`curve.png` (the same, drawn), `predictions-<task>.parquet` and `weights.safetensors`. The last three are large, no
table needs them, and a copy may leave them out. Beside them lies, once its sentences are judged, `per_pair.parquet`
(see `bench.runs.judged`), which is no part of the record.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UserError
from bench.ragged import FloatArray
from bench.runs.identity import FORMAT, canonical

if TYPE_CHECKING:
    from bench.runs.judged import Judged

# Files (by how names begin) that a copy in version control may leave out: no table is made from them.
OPTIONAL = ("predictions-", "weights.", "curve.png")
# What a run said while it ran.
LOG = "log.txt"
_FIX = "restore it, or remove its folder and run again"


class Unwritable(UserError):
    """The results folder takes no more: no other run could be recorded either, so the command ends."""


@dataclass(frozen=True)
class Record:
    """A finished run as read from disk: its folder, the content of record.json, and the verdict on its sentences."""

    path: Path
    content: dict[str, Any]
    judged: Judged | None = None

    @property
    def key(self) -> str:
        return str(self.content["key"])

    @property
    def model(self) -> str:
        return str(self.content["identity"]["model"])

    @property
    def seed(self) -> int:
        return int(self.content["identity"]["seed"])

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """task -> metric -> mean over users, or figure of explanations; "n" is the number of users or pairs."""
        means: dict[str, dict[str, float]] = self.content["metrics"]
        return means if self.judged is None else {**means, "explanation": self.judged.figures}

    def per_user(self, task: str) -> dict[str, FloatArray]:
        """metric -> (n,) values of a task, with "user"; UserError where the file is not there."""
        import pyarrow.parquet as pq

        path = self.path / "per_user.parquet"
        if not path.exists():
            raise UserError("per-user scores are missing", str(path), "rerun with --force")
        table = pq.read_table(path, filters=[("task", "=", task)]).drop_columns(["task"])
        return {name: table.column(name).to_numpy() for name in table.column_names}


def write_record(folder: Path, content: Mapping[str, Any], writers: Mapping[str, Callable[[Path], None]]) -> Record:
    """Write a record and rename it into place.

    content: what record.json says beside format, file checksums and its own checksum.
    writers: file name -> function that writes that file to the path it is given.
    A disk that fills up, or any other failure of writing, leaves nothing behind and raises UserError.
    """
    aside = folder.with_name(f".tmp-{socket.gethostname()}-{os.getpid()}-{folder.name}")
    with whole_or_nothing(aside):
        aside.mkdir(parents=True)
        for name, write in writers.items():
            write(aside / name)
        complete = dict(content, format=FORMAT, files={name: file_checksum(aside / name) for name in sorted(writers)})
        complete["checksum"] = hashlib.sha256(canonical(complete)).hexdigest()
        text = json.dumps(complete, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        (aside / "record.json").write_text(text, encoding="utf-8")
        _replace_folder(aside, folder)
    return Record(folder, complete)


def _replace_folder(new: Path, folder: Path) -> None:
    """Rename `new` to `folder`; what was there is deleted only after it has stepped aside."""
    old = new.with_name(f"{new.name}.old")
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def whole_or_nothing(aside: Path) -> Iterator[None]:
    """Remove a half-written file or folder on any failure; a disk that takes no more raises Unwritable."""
    try:
        yield
    except OSError as error:
        raise _unwritable(error, aside) from error
    except Exception as error:
        # Libraries that write by themselves, safetensors for one, wrap the system's error in their own.
        if f"os error {errno.ENOSPC}" in str(error):
            raise _unwritable(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), aside) from error
        raise
    finally:
        if aside.is_dir():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.unlink(missing_ok=True)


def _unwritable(error: OSError, aside: Path) -> Unwritable:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    fix = "free some space and run the command again; finished runs are kept" if full else "check the folder"
    return Unwritable(error.strerror or str(error), str(aside.parent), fix)


def file_checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def timing_path(folder: Path) -> Path:
    """Where the times of inference of a run with this folder lie."""
    return folder.parent.parent / "timings" / f"{folder.name}.json"


def read_record(folder: Path) -> Record | None:
    """The record in a folder, None where there is none.

    Raises UserError where it was altered: its own checksum or that of a file does not fit. Files that are
    `OPTIONAL` may be absent (a copy in version control), the others may not.
    """
    path = folder / "record.json"
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        written = content.pop("checksum")
        files, version = content["files"], content["format"]
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise UserError(f"not a readable run record ({error})", str(path), _FIX) from error
    if version != FORMAT:
        raise UserError(f"record format {version}, this version reads {FORMAT}", str(path), _FIX)
    if hashlib.sha256(canonical(content)).hexdigest() != written:
        raise UserError("this record was altered by hand: its checksum does not fit", str(path), _FIX)
    for name, checksum in files.items():
        present = (folder / name).exists()
        if (not present and not name.startswith(OPTIONAL)) or (present and file_checksum(folder / name) != checksum):
            raise UserError("missing or altered since the run", str(folder / name), _FIX)
    content["checksum"] = written
    return Record(folder, content)


def read_records(runs: Path, skip: Container[str] = ()) -> list[Record]:
    """Every record under a runs folder, in the order of folder names; half-written leftovers are not records.

    skip: names of folders to pass over, because they are about to be replaced.
    Raises UserError, naming the file, where one was altered.
    """
    if not runs.is_dir():
        return []
    folders = (path for path in sorted(runs.iterdir()) if path.is_dir() and not path.name.startswith("."))
    found = (read_record(path) for path in folders if path.name not in skip)
    return [record for record in found if record is not None]


def sweep(runs: Path) -> list[str]:
    """Remove what processes of this host that are gone left half-written; returns the names removed."""
    import psutil

    removed = []
    host = socket.gethostname()
    for path in runs.glob(f".tmp-{host}-*") if runs.is_dir() else ():
        pid = path.name.removeprefix(f".tmp-{host}-").split("-", 1)[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(path, ignore_errors=True)
            removed.append(path.name)
    return removed
