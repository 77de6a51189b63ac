"""From what was asked to the jobs to have, what is there of them, and how long the rest may take."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.data.dataset import DataNote, Dataset
from bench.errors import UserError
from bench.models import ModelInfo, Registry
from bench.protocols import Protocol
from bench.runs.identity import Job
from bench.runs.record import Record, whole_or_nothing
from bench.settings import resolve
from bench.splits import Split


@dataclass(frozen=True)
class DatasetCard:
    """What reports need of a dataset and its split: kept in results/<dataset>/dataset.json."""

    name: str
    source: str
    users: int
    items: int
    interactions: int
    density: float
    evaluated: int
    has: tuple[str, ...]
    fingerprint: str
    split_fingerprint: str
    notes: tuple[DataNote, ...]

    @classmethod
    def of(cls, split: Split) -> DatasetCard:
        data: Dataset = split.dataset
        has = tuple(name for name in ("attributes", "ratings") if getattr(data, name) is not None)
        sizes = (data.n_users, data.n_items, data.n_interactions, data.density, len(split.users))
        notes = data.notes + split.notes
        return cls(data.name, data.source, *sizes, has, data.fingerprint, split.fingerprint, notes)


def write_card(card: DatasetCard, path: Path) -> None:
    """Write the card, or check that results of this name belong to the same data and split.

    Raises UserError where the folder holds results of other data under this name.
    """
    if path.exists():
        old = read_card(path)
        for what in ("fingerprint", "split_fingerprint"):
            if getattr(old, what) != getattr(card, what):
                raise UserError(
                    f"results of other data are here under the name '{card.name}' "
                    f"({what} {getattr(old, what)}, now {getattr(card, what)})",
                    str(path),
                    "choose another --out or move the old results away",
                )
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    with whole_or_nothing(aside):
        aside.write_text(json.dumps(asdict(card), indent=1) + "\n", encoding="utf-8")
        aside.replace(path)


def read_card(path: Path) -> DatasetCard:
    """The card in a results folder; UserError where it is missing or unreadable."""
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        values["notes"] = tuple(DataNote(**note) for note in values["notes"])
        values["has"] = tuple(values["has"])
        return DatasetCard(**values)
    except FileNotFoundError as error:
        raise UserError("no results of this dataset are here", str(path), "run without --report-only first") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"not a readable dataset card ({error})", str(path), "remove it and run again") from error


@dataclass
class Entry:
    """A model under a protocol and seed: its record, or the reason why there is none."""

    info: ModelInfo
    protocol: Protocol
    seed: int
    job: Job | None
    record: Record | None = None
    reason: str = ""


@dataclass
class Plan:
    """Everything asked for on one dataset."""

    card: DatasetCard
    preset: str
    protocols: list[Protocol]
    seeds: list[int]
    entries: list[Entry] = field(default_factory=list)

    @property
    def missing(self) -> list[Job]:
        """The distinct jobs that have no record yet, in order."""
        return list({e.job.key: e.job for e in self.entries if e.job and not e.record}.values())


def make_plan(
    card: DatasetCard,
    preset: str,
    names: Iterable[str],
    registry: Registry,
    protocols: list[Protocol],
    seeds: list[int],
    overrides: Mapping[str, Mapping[str, str]],
    records: Iterable[Record],
) -> Plan:
    """Lay out entries for each model, protocol and seed, and attach the records that are there.

    overrides: model -> setting -> text, from `--set`.
    """
    plan = Plan(card, preset, protocols, seeds)
    by_key = {record.key: record for record in records}
    for name in names:
        info = registry.get(name)
        settings = resolve(info, preset, card.name, overrides.get(name))
        reason = _obstacle(info, card)
        for protocol in protocols:
            for seed in seeds[:1] if info.deterministic else seeds:
                real = 0 if info.deterministic else seed
                prints = (card.fingerprint, card.split_fingerprint)
                job = Job(info, settings, protocol, real, card.name, preset, *prints)
                record = by_key.get(job.key)
                entry = Entry(info, protocol, real, None if reason and not record else job, record)
                entry.reason = "" if record else reason or "not run yet"
                plan.entries.append(entry)
    return plan


def _obstacle(info: ModelInfo, card: DatasetCard) -> str:
    """Why a model cannot run on this dataset or machine, "" if it can."""
    lacking = [need for need in info.needs if need not in card.has]
    if lacking:
        return f"needs item {', '.join(lacking)}, which this dataset does not have"
    packages = info.missing_packages()
    if packages:
        return f"needs the package {', '.join(packages)}, which is not installed"
    return ""


def estimate_seconds(job: Job, card: DatasetCard, records: Iterable[Record]) -> float | None:
    """A guess of a job's wall seconds: another seed's record, else measured cost of an epoch times its epochs."""
    for record in records:
        if record.model == job.info.name and record.content["preset"] == job.preset:
            return sum(timing["wall_s"] for timing in record.content["timings"].values())
    epochs = getattr(job.settings, "expected_epochs", None)
    if job.info.family == "rule":
        return 1.0 + card.interactions * 2e-5
    if epochs is None or not job.info.epoch_cost:
        return None
    return epochs * job.info.epoch_cost * card.interactions / 1000
