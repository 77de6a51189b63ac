"""Whether runs that are asked of one fit are of the same weights."""

from __future__ import annotations

from collections.abc import Iterable

from bench.report.machines import machine_in_words
from bench.runs.plan import Entry
from bench.runs.record import Record

_WEIGHTS = "weights.safetensors"


def fitted_apart(entries: Iterable[Entry]) -> list[str]:
    """A sentence on each fit of which the runs hold different weights; none where all of a fit share theirs.

    Runs of one fit differ in how they are asked alone and take each other's weights. Where these were not at hand,
    as on another machine, the fit was made again, and other hardware rounds to other weights: what then lies between
    two figures is a training too.
    """
    fits: dict[str, dict[str, Record]] = {}
    seeds: dict[str, str] = {}
    for entry in entries:
        if entry.record is None or "fit_key" not in entry.record.content:
            continue
        weights = entry.record.content["files"].get(_WEIGHTS)
        if weights:
            key = entry.record.content["fit_key"]
            seeds.setdefault(key, f"{entry.info.title}, seed {entry.seed}")
            fits.setdefault(key, {}).setdefault(weights, entry.record)
    return [_told(seeds[key], list(found.values())) for key, found in fits.items() if len(found) > 1]


def _told(fit: str, records: list[Record]) -> str:
    runs = ", ".join(f"{record.path.name} on {machine_in_words(record.content)}" for record in records)
    return f"One fit, but trained again ({fit}: {runs}): between these runs lies a training, not what is asked alone."
