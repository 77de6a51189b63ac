"""What must stand under a table so that no figure is shown without its conditions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.protocols import Protocol
from bench.report.specs import TableSpec
from bench.runs.plan import DatasetCard, Entry, Plan
from bench.settings import PRESETS


def general_notes(spec: TableSpec, plan: Plan, has_paper: bool) -> tuple[str, ...]:
    """Sentences on dataset, preset, protocols, seeds, device, marks and the paper's figures."""
    card = plan.card
    shown = [e for e in plan.entries if e.record and spec.task in e.info.tasks]
    notes = [
        f"Dataset: {card.name} ({card.source}); {card.evaluated:,} users are evaluated.",
        f"Preset: {plan.preset} ({PRESETS.get(plan.preset, 'unknown')}). {_devices(plan)}",
        _seeds(plan),
        *(f"Protocol {protocol.name}: {protocol_in_words(protocol)}." for protocol in plan.protocols),
    ]
    changed = [f"{model}.{name}={value}" for model, each in plan.overrides.items() for name, value in each.items()]
    if changed:
        notes.append(f"Settings changed from the preset's: {', '.join(changed)}.")
    backbones = _backbones(shown)
    if backbones:
        notes.append(f"Backbone: {', '.join(backbones)}.")
    probes = list(dict.fromkeys(e.info.title for e in plan.entries if e.info.family == "probe"))
    marked = "The best figure of a column is marked as best, the next as second"
    notes.append(f"{marked}; {' and '.join(probes)} learns nothing and takes no part." if probes else f"{marked}.")
    if has_paper:
        printed = f"Paper: what Table {spec.number} of POD (CIKM 2023) prints for this dataset."
        notes.append(f"{printed} {spec.remark}".rstrip())
    notes.extend(_data_notes(card))
    return tuple(notes)


def size_notes(card: DatasetCard, has_paper: bool) -> tuple[str, ...]:
    """Sentences for Table 1."""
    notes = [
        f"Dataset: {card.name} ({card.source}).",
        "Sparsity is the paper's word for the filled share of the user-item matrix.",
    ]
    if has_paper:
        notes.append("Paper: what Table 1 of POD (CIKM 2023) prints for this dataset.")
    return (*notes, *_data_notes(card))


def protocol_in_words(protocol: Protocol) -> str:
    """A protocol's settings as a phrase."""
    ids = {
        "appearance": "items numbered by first appearance in whole histories",
        "train": "items numbered by first appearance in training",
        "random": "items numbered at random",
    }[protocol.item_numbering]
    history = "generated lists may hold history items" if protocol.keep_history else "no list holds history items"
    repeats = "an item counts as often as it is generated" if protocol.per_occurrence else "an item counts once"
    return f"{ids}; {history}; {repeats}"


def _backbones(entries: list[Entry]) -> list[str]:
    """What language model stands behind which row, as its record's settings say."""
    found: dict[str, None] = {}
    for entry in entries:
        settings = entry.record.content["identity"]["settings"] if entry.record else {}
        if "backbone" in settings:
            found[f"{entry.info.title} on {settings['backbone']}"] = None
    return list(found)


def _devices(plan: Plan) -> str:
    devices = sorted({_device(e.record.content) for e in plan.entries if e.record})
    return f"Device: {' and '.join(devices)}." if devices else "Device: none yet."


def _device(content: Mapping[str, Any]) -> str:
    """The device of a record with the name of what computed there."""
    device, machine = str(content["device"]), content.get("environment", {})
    if device == "cpu":
        name = f"{machine['processor']}, {machine['cores']} cores" if "processor" in machine else ""
    else:
        name = machine.get("gpu", "")
    return f"{device} ({name})" if name else device


def _seeds(plan: Plan) -> str:
    seeds = ", ".join(map(str, plan.seeds))
    if len(plan.seeds) == 1:
        return f"Seed: {seeds}; one run each, so no spread is given."
    return f"Seeds: {seeds}; mean ± standard deviation over seeds; models without randomness ran once."


def _data_notes(card: DatasetCard) -> list[str]:
    counted = [f"{note.count:,} {note.rule}" for note in card.notes if note.count]
    return [f"Data: {'; '.join(counted)}."] if counted else []
