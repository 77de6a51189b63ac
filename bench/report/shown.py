"""Which records a report may show, under which protocols, and how their runs differ from the preset's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict

from bench.models import Registry
from bench.protocols import Protocol, known_protocols
from bench.runs.identity import REFEREE
from bench.runs.plan import DatasetCard
from bench.runs.record import Record
from bench.settings import as_dict, resolve

_LONGEST = 80


def current(record: Record, registry: Registry, card: DatasetCard) -> bool:
    """Whether a record is of this data, explanations included, and of the present versions of model and referee."""
    identity = record.content["identity"]
    info = registry.models.get(record.model)
    same_data = (identity["dataset"], identity["split"]) == (card.fingerprint, card.split_fingerprint)
    if info is not None and "explanation" in info.tasks:
        same_data = same_data and identity.get("explanations", "") == card.explanations_fingerprint
    same_code = identity["referee"] == REFEREE and (info is None or identity["model_version"] == info.version)
    return same_data and same_code


def variant(record: Record, registry: Registry) -> str:
    """The settings of a run that differ from its preset's, as "name=value name=value"."""
    info = registry.models.get(record.model)
    if info is None:
        return ""
    usual = as_dict(resolve(info, record.content["preset"], record.content["dataset"]))
    settings: dict[str, object] = record.content["identity"]["settings"]
    return " ".join(f"{name}={brief(value)}" for name, value in settings.items() if usual.get(name, ...) != value)


def protocols_served(settings: Mapping[str, object]) -> list[Protocol]:
    """The protocols that agree with a run's protocol settings: the plain ones, else those with other numberings, else
    those of the audit.
    """
    for group in known_protocols():
        fits = [p for p in group if all(asdict(p).get(name) == value for name, value in settings.items())]
        if fits:
            return fits
    return []


def brief(value: object) -> str:
    """A setting's value as text; a long one, say the content of a templates file, by its length and digest."""
    text = str(value)
    if len(text) <= _LONGEST:
        return text
    return f"({len(text):,} characters, SHA-256 {hashlib.sha256(text.encode()).hexdigest()[:12]})"
