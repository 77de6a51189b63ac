"""The referee's verdict on a run's sentences, in a file of its own beside the record: per_pair.parquet.

The record is what a run produced and is never touched again; the verdict can be had from its sentences at any time, so
records from before there was one, or from before a metric changed, need no new run. Metrics of rankings need the whole
run's answers in memory and stay in the record.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench.cutting import WORDS, Cutter
from bench.errors import UserError
from bench.explanation_judge import EXPLANATION_REFEREE, JudgedSentences, judge_sentences
from bench.explanations import TEST
from bench.metrics.text import MAX_ORDER, BleuCounts
from bench.progress import Progress
from bench.runs.identity import canonical
from bench.runs.predictions import EXPLANATIONS
from bench.runs.record import Record, whole_or_nothing
from bench.splits import Split

FILE = "per_pair.parquet"
_KEY = b"podium"
_MATCHES = tuple(f"matches-{order}" for order in range(1, MAX_ORDER + 1))
_LENGTHS = ("words", "reference words")
_FIX = "remove it and run without --report-only: it is made anew from the run's sentences"


@dataclass(frozen=True, eq=False)
class Judged:
    """A verdict as it lies beside a record. cut, figures: as in `JudgedSentences`. path: the file."""

    path: Path
    cut: str
    figures: dict[str, float]

    @cached_property
    def per_pair(self) -> dict[str, Any]:
        """(n,) each: "user" and "item" as indices, and what `JudgedSentences.per_pair` holds, as float64."""
        columns = {name: column for name, column in self._columns.items() if name not in (*_MATCHES, *_LENGTHS)}
        return {
            name: column.astype(np.float64) if column.dtype.kind == "f" else column for name, column in columns.items()
        }

    @cached_property
    def counts(self) -> BleuCounts:
        """What corpus BLEU sums up, of each pair."""
        words, wanted = (self._columns[name].astype(np.int64) for name in _LENGTHS)
        matches = np.stack([self._columns[name] for name in _MATCHES], axis=1).astype(np.int64)
        return BleuCounts(matches, np.maximum(words[:, None] - np.arange(MAX_ORDER), 0), words, wanted)

    @cached_property
    def _columns(self) -> dict[str, Any]:
        return _columns(self.path)


def judged_runs(records: Iterable[Record]) -> list[Record]:
    """The records, each with its verdict where there is one of this version's referee on the run's own sentences.

    Raises UserError, naming the file, where one is damaged or was altered.
    """
    return [replace(record, judged=read_judged(record)) for record in records]


def lacks_verdict(record: Record) -> bool:
    """Whether a run was asked to explain and its sentences have no figures here."""
    return "explanation" in record.content["identity"].get("tasks", ()) and record.judged is None


def judge_runs(
    records: Iterable[Record], split: Split, find: Callable[[bool], Cutter], progress: Progress | None = None
) -> int:
    """Judge the sentences of every record that has some and no verdict yet; returns how many were judged.

    Records of other explanations than the split's are left alone. Verdicts that had to count words are made anew once
    the tokenizer is at hand.
    find: makes the cutter; told whether it may go to the network for it, which only records without any verdict merit.
    """
    found = [record for record in records if _can_be_judged(record, split)]
    fresh = [record for record in found if record.judged is None]
    worded = [record for record in found if record.judged is not None and record.judged.cut == WORDS]
    if not fresh and not worded:
        return 0
    cutter = find(bool(fresh))
    todo = fresh if cutter.name == WORDS else [*fresh, *worded]
    progress = progress or Progress()
    for record in progress.track(todo, len(todo), "judging sentences"):
        write_judged(record, split, judge_sentences(_explanations(split), _read_sentences(record, split), cutter))
    return len(todo)


def _can_be_judged(record: Record, split: Split) -> bool:
    same = record.content["identity"].get("explanations", "") == split.explanations_fingerprint != ""
    return same and EXPLANATIONS in record.content["files"] and (record.path / EXPLANATIONS).exists()


def _explanations(split: Split) -> Any:
    if split.explanations is None:
        raise ValueError("this split has no explanations")
    return split.explanations


def _read_sentences(record: Record, split: Split) -> list[str]:
    """A run's sentences, one a test record and in their order; UserError where they are of other pairs."""
    import pyarrow.parquet as pq

    path, records = record.path / EXPLANATIONS, _explanations(split)
    rows = records.rows(TEST)
    table = pq.read_table(path, columns=["user", "item", "explanation"]).to_pydict()
    users = [split.dataset.user_ids[user] for user in records.users[rows]]
    items = [split.dataset.item_ids[item] for item in records.items[rows]]
    if (table["user"], table["item"]) != (users, items):
        raise UserError("these sentences are not of the test pairs", str(path), "rerun with --force")
    return table["explanation"]


def write_judged(record: Record, split: Split, judged: JudgedSentences) -> Path:
    """Write a verdict beside its record, aside first and renamed into place; returns the path.

    One row a test pair: user and item (indices), ROUGE, feature match, and what BLEU counts. Figures, the referee's
    version, the cut and the checksum of the sentences stand in the file's metadata, with a checksum of it all.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    records = _explanations(split)
    rows = records.rows(TEST)
    pairs = {"user": records.users[rows], "item": records.items[rows]}
    columns: dict[str, Any] = {name: column.astype(np.int32) for name, column in pairs.items()}
    columns |= {name: column.astype(np.float32) for name, column in judged.per_pair.items()}
    columns |= {name: judged.counts.matches[:, order].astype(np.int16) for order, name in enumerate(_MATCHES)}
    lengths = (judged.counts.hypothesis_length, judged.counts.reference_length)
    columns |= {name: column.astype(np.int16) for name, column in zip(_LENGTHS, lengths, strict=True)}
    said = {
        "referee": EXPLANATION_REFEREE,
        "sentences": record.content["files"][EXPLANATIONS],
        "cut": judged.cut,
        "figures": judged.figures,
    }
    said["checksum"] = _checksum(said, columns)
    table = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(said, sort_keys=True).encode()})
    path = record.path / FILE
    aside = path.with_name(f".tmp-{os.getpid()}-{FILE}")
    with whole_or_nothing(aside):
        pq.write_table(table, aside, compression="zstd")
        aside.replace(path)
    return path


def read_judged(record: Record) -> Judged | None:
    """The verdict beside a record; None where there is none, or one of another referee or on other sentences.

    Raises UserError where the file is damaged or was altered by hand.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = record.path / FILE
    if not path.exists():
        return None
    try:
        said = json.loads((pq.read_schema(path).metadata or {})[_KEY])
        written, columns = said.pop("checksum"), _columns(path)
        current = (said["referee"], said["sentences"]) == (EXPLANATION_REFEREE, record.content["files"][EXPLANATIONS])
        judged = Judged(path, said["cut"], said["figures"])
    except (OSError, ValueError, KeyError, AttributeError, TypeError, pa.ArrowException) as error:
        raise UserError(f"not a readable verdict on sentences ({error})", str(path), _FIX) from error
    if _checksum(said, columns) != written:
        raise UserError("this verdict was altered by hand: its checksum does not fit", str(path), _FIX)
    return judged if current else None


def _columns(path: Path) -> dict[str, Any]:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    return {name: table.column(name).to_numpy() for name in table.column_names}


def _checksum(said: dict[str, Any], columns: dict[str, Any]) -> str:
    digest = hashlib.sha256(canonical(said))
    for name, column in columns.items():
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()
