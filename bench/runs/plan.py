"""From what was asked to the jobs to have, what is there of them, and how long the rest may take."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.data.dataset import DataNote, Dataset
from bench.errors import UserError
from bench.models import ModelInfo, Registry
from bench.protocols import Protocol
from bench.runs.failure import Failure
from bench.runs.identity import Job
from bench.runs.record import Record, whole_or_nothing
from bench.settings import resolve
from bench.splits import Split

NOT_RUN = "not run yet"
STALE = "not run yet as it is now: the record here was made under other settings or by another version"


@dataclass(frozen=True)
class DatasetCard:
    """What reports need of a dataset and its split: kept in results/<dataset>/dataset.json.

    no_explanations: why there are no explanation records; "" where there are some, or nobody looked for them.
    """

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
    explanations_fingerprint: str = ""
    no_explanations: str = ""

    @classmethod
    def of(cls, split: Split) -> DatasetCard:
        data: Dataset = split.dataset
        has = tuple(name for name in ("attributes", "ratings") if getattr(data, name) is not None)
        sizes = (data.n_users, data.n_items, data.n_interactions, data.density, len(split.users))
        notes = data.notes + split.notes
        prints = (data.fingerprint, split.fingerprint)
        said = (split.explanations_fingerprint, split.no_explanations)
        return cls(data.name, data.source, *sizes, has, *prints, notes, *said)


def write_card(card: DatasetCard, path: Path) -> None:
    """Write the card, or check that results of this name belong to the same data and split.

    Raises UserError where the folder holds results of other data under this name.
    """
    if path.exists():
        check_same_data(path, card.name, card.fingerprint, card.split_fingerprint)
        known = read_card(path)
        new_records = card.explanations_fingerprint not in ("", known.explanations_fingerprint)
        new_reason = card.no_explanations not in ("", known.no_explanations) and not known.explanations_fingerprint
        if not new_records and not new_reason:
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    with whole_or_nothing(aside):
        aside.write_text(json.dumps(asdict(card), indent=1) + "\n", encoding="utf-8")
        aside.replace(path)


def check_same_data(path: Path, name: str, fingerprint: str, split_fingerprint: str | None = None) -> None:
    """Raise UserError where the card at `path` is there and belongs to other data or another split."""
    if not path.exists():
        return
    old = read_card(path)
    fix = "choose another --out or move the old results away"
    if old.fingerprint != fingerprint:
        prints = f"fingerprint {old.fingerprint}, now {fingerprint}"
        raise UserError(f"results of other data are here under the name '{name}' ({prints})", str(path), fix)
    if split_fingerprint not in (None, old.split_fingerprint):
        prints = f"fingerprint {old.split_fingerprint}, now {split_fingerprint}"
        raise UserError(f"results under another split of '{name}' are here ({prints})", str(path), fix)


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


@dataclass(frozen=True)
class Variants:
    """Runs of one model that differ in one setting.

    values: as --set takes them, in the order to show them.
    few:    those of preset smoke; empty: the same.
    timed:  they run one after the other, in a process of their own each, with the machine for themselves.
    """

    model: str
    setting: str
    values: tuple[str, ...]
    few: tuple[str, ...] = ()
    timed: bool = False

    def usual(self, preset: str) -> tuple[str, ...]:
        """The values where none are asked for."""
        return (self.few if preset == "smoke" else ()) or self.values


@dataclass
class Entry:
    """A model under a protocol and seed.

    job:      what to run; None where the model is not registered here and only its record is known.
    asked:    whether this command is to run it.
    obstacle: why it cannot run on this dataset or machine.
    record:   its result, if it is there.
    reason:   why there is no record.
    failed:   whether the last try failed.
    variant:  the value of the setting in which runs of its table differ, as --set takes it.
    """

    info: ModelInfo
    protocol: Protocol
    seed: int
    job: Job | None
    asked: bool = True
    obstacle: str = ""
    record: Record | None = None
    reason: str = NOT_RUN
    failed: bool = False
    variant: str = ""


@dataclass
class Plan:
    """Everything that the tables show of one dataset, and what of it was asked for.

    overrides: model -> setting -> text, from `--set`.
    named:     the models that were asked for by name.
    """

    card: DatasetCard
    preset: str
    protocols: list[Protocol]
    seeds: list[int]
    overrides: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    named: frozenset[str] = frozenset()

    def jobs(self, *, force: bool = False) -> list[Job]:
        """The distinct jobs to run, in order: asked for, possible, and (unless `force`) without a record."""
        wanted = (e for e in self.entries if e.asked and not e.obstacle and (force or e.record is None))
        return list({e.job.key: e.job for e in wanted if e.job is not None}.values())

    def of(self, model: str, protocol: Protocol, variant: str = "") -> list[Entry]:
        """The entries of a model under a protocol, one a seed."""
        wanted = (model, protocol, variant)
        return [e for e in self.entries if (e.info.name, e.protocol, e.variant) == wanted]


def make_plan(
    card: DatasetCard,
    preset: str,
    names: Iterable[str],
    registry: Registry,
    protocols: list[Protocol],
    seeds: list[int],
    overrides: Mapping[str, Mapping[str, str]] | None = None,
    asked: Iterable[str] | None = None,
) -> Plan:
    """Lay out the entries of each model, protocol and seed; `attach` then looks up what is there.

    names:     the models to show; those not registered are left to `attach`.
    overrides: model -> setting -> text, from `--set`.
    asked:     the models to run; None: all.
    """
    wanted = None if asked is None else frozenset(asked)
    plan = Plan(card, preset, protocols, seeds, overrides or {}, named=wanted or frozenset())
    for name in names:
        if name not in registry.models:
            continue
        info = registry.models[name]
        # What is changed of a model is changed of those that share its fits, or they would have fits of their own.
        changed = {**plan.overrides.get(info.fits, {}), **plan.overrides.get(name, {})}
        settings = resolve(info, preset, card.name, changed)
        obstacle = obstacle_of(info, card)
        for protocol in protocols:
            for seed in [0] if info.deterministic else seeds:
                prints = (card.fingerprint, card.split_fingerprint, card.explanations_fingerprint)
                job = Job(info, settings, protocol, seed, card.name, preset, *prints)
                ask = wanted is None or name in wanted
                plan.entries.append(Entry(info, protocol, seed, job, ask, obstacle, reason=obstacle or NOT_RUN))
    return plan


def variant_plan(
    card: DatasetCard,
    preset: str,
    variants: Variants,
    registry: Registry,
    protocols: list[Protocol],
    seeds: list[int],
    overrides: Mapping[str, Mapping[str, str]] | None = None,
    asked: Iterable[str] | None = None,
) -> Plan:
    """`make_plan` for runs of one model that differ in a setting: entries of each value in turn, values in order.

    What a protocol has by itself is left to it, so that such runs are those of the other tables.
    """
    plan = make_plan(card, preset, [], registry, protocols, seeds, overrides, asked)
    for value in variants.values:
        for protocol in protocols:
            own = variants.setting == "prompts" and value == str(protocol.prompt_vectors)
            changed = {**plan.overrides.get(variants.model, {}), variants.setting: "none" if own else value}
            with_value = {**plan.overrides, variants.model: changed}
            made = make_plan(card, preset, [variants.model], registry, [protocol], seeds, with_value, asked)
            for entry in made.entries:
                if entry.job is not None:
                    entry.job = replace(entry.job, timed=variants.timed)
                entry.variant = value
            plan.entries += made.entries
    return plan


def union(plans: Sequence[Plan]) -> Plan:
    """The first plan with the entries of all: each run once under each protocol."""
    entries: dict[tuple[str, Protocol, int, str], Entry] = {}
    for entry in (entry for plan in plans for entry in plan.entries):
        key = entry.job.key if entry.job else ""
        entries.setdefault((entry.info.name, entry.protocol, entry.seed, key), entry)
    return replace(plans[0], entries=list(entries.values()))


def attach(plan: Plan, records: Iterable[Record], failures: Iterable[Failure] = (), names: Iterable[str] = ()) -> Plan:
    """Put records and reasons to the entries of a plan; again after running, to see what is new.

    names: models to show. One that is not registered here but has records is shown from those alone.
    """
    records = list(records)
    by_key = {record.key: record for record in records}
    failed = {failure.key: failure for failure in failures}
    for entry in plan.entries:
        key = entry.job.key if entry.job else ""
        entry.record = by_key.get(key, None if entry.job else entry.record)
        failure = failed.get(key)
        entry.failed = entry.record is None and failure is not None and not entry.obstacle
        if entry.record is not None:
            entry.reason = ""
        elif not entry.obstacle:
            same = (r for r in records if (r.model, r.seed) == (entry.info.name, entry.seed))
            # A run of a table's own settings is not the run of others gone stale.
            stale = not entry.variant and any(_fits(record, entry.protocol) for record in same)
            entry.reason = failure.reason if failure is not None else STALE if stale else NOT_RUN
    known = {entry.info.name for entry in plan.entries}
    for name in names:
        if name not in known:
            plan.entries.extend(_unregistered(plan, name, records))
    return plan


def _unregistered(plan: Plan, name: str, records: list[Record]) -> Iterable[Entry]:
    """Entries of a model that only its records tell of, the newest settings unknown: one record a seed and protocol."""
    for protocol in plan.protocols:
        seen: set[int] = set()
        for record in records:
            if record.model == name and _fits(record, protocol) and record.seed not in seen:
                seen.add(record.seed)
                tasks: Any = tuple(record.metrics)
                info = ModelInfo(name, record.content["title"], "unknown", tasks, "")
                yield Entry(info, protocol, record.seed, None, False, record=record, reason="")


def _fits(record: Record, protocol: Protocol) -> bool:
    """Whether a run saw nothing that the protocol has otherwise."""
    settings: dict[str, Any] = record.content["identity"]["protocol"]
    values = asdict(protocol)
    return all(values.get(name) == value for name, value in settings.items())


def _alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> int:
    """How many settings, of the model and of the protocol, two identities share."""
    return sum(one[part].get(name) == value for part in ("settings", "protocol") for name, value in other[part].items())


def obstacle_of(info: ModelInfo, card: DatasetCard) -> str:
    """Why a model cannot run on this dataset or machine, "" if it can."""
    lacking = [need for need in info.needs if need not in card.has]
    if lacking:
        return f"needs item {', '.join(lacking)}, which this dataset does not have"
    # A model that ranks as well runs without explanations, unless results here are of runs that had them.
    if "explanation" in info.tasks and card.no_explanations and (len(info.tasks) == 1 or card.explanations_fingerprint):
        return f"needs explanations, which this dataset does not have ({card.no_explanations})"
    packages = info.missing_packages()
    if packages:
        return f"needs the package {', '.join(packages)}, which is not installed"
    return ""


def estimate_seconds(job: Job, card: DatasetCard, records: Iterable[Record]) -> float | None:
    """A guess of a job's wall seconds: the record of the nearest settings and protocol, else measured cost of an epoch
    times its epochs.
    """
    known = [r for r in records if r.model == job.info.name and r.content["preset"] == job.preset]
    if known:
        nearest = max(known, key=lambda record: _alike(record.content["identity"], job.identity))
        return sum(timing["wall_s"] for timing in nearest.content["timings"].values())
    epochs = getattr(job.settings, "expected_epochs", None)
    cost = getattr(job.settings, "expected_epoch_cost", job.info.epoch_cost)
    if job.info.family in ("rule", "probe"):
        return 1.0 + card.interactions * 2e-5
    if epochs is None or not cost:
        return None
    return epochs * cost * card.interactions / 1000
