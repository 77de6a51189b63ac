"""What must be said of language models beside their numbers, from the settings and facts in their records."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from bench.models import Registry
from bench.report.inert import csv_text
from bench.report.shown import current, protocols_served, variant
from bench.runs.plan import DatasetCard, Entry
from bench.runs.record import Record

FREE_SEARCH_COLUMNS = (
    "dataset",
    "preset",
    "protocol",
    "model",
    "variant",
    "seed",
    "task",
    "users",
    "invalid",
    "duplicate",
    "history",
    "no_candidate",
)
# In the order to show them: each share of the first ten generated items, and what it is a share of.
_SHARES = {
    "invalid": "name no item",
    "duplicate": "stand further up already",
    "history": "are of the history",
    "no_candidate": "are no candidate",
}
_SCRATCH = "scratch:"
_TASKS = {"explanation": "explanation", "sequential": "sequential", "topn": "top-N"}
_WRITTEN = {"sentencepiece": "items written in pieces, as in the paper", "independent": "one added token an item"}
# A number as notes write it, thousands parted by commas.
_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
# The runs of one model, each with the name of a protocol that it serves.
_Runs = list[tuple[str, Record]]


def facts_of(record: Record) -> Mapping[str, Any]:
    """What the model noted of itself; empty in records of models, or of versions, that noted nothing."""
    found = record.content.get("facts")
    return found if isinstance(found, dict) else {}


def scratch_mark(entries: Iterable[Entry]) -> list[str]:
    """The footnote of a row whose language model was never pretrained: its numbers are not the paper's."""
    names = [_settings(entry.record).get("backbone") for entry in entries if entry.record]
    scratch = dict.fromkeys(str(name) for name in names if str(name).startswith(_SCRATCH))
    return [f"on {name}, T5 trained from random weights, not the paper's pretrained T5-small" for name in scratch]


def model_notes(entries: Iterable[Entry], task: str | None) -> list[str]:
    """Sentences on every text model with a record: what it is, how it was trained, what its free search wrote.

    task: whose free search is told of.
    """
    rows: dict[str, _Runs] = {}
    for entry in entries:
        if entry.record and "backbone" in _settings(entry.record):
            rows.setdefault(entry.info.title, []).append((entry.protocol.name, entry.record))
    told = {title: runs for title, runs in rows.items() if any(facts_of(record) for _, record in runs)}
    bare = [f"{title} on {_settings(runs[0][1])['backbone']}" for title, runs in rows.items() if title not in told]
    notes = [f"Backbone: {', '.join(bare)}."] if bare else []
    for title, runs in told.items():
        notes.append(f"{title}: {_being(runs)}.")
        notes.extend(_free_search(title, runs, task))
    return notes


def _settings(record: Record) -> Mapping[str, Any]:
    return record.content["identity"]["settings"]


def _being(runs: _Runs) -> str:
    """What a model is and how it was trained: what all its runs agree in, then the rest, one clause a protocol."""
    aspects = (_backbone, _items, _tokenizer, _untold, _vectors, _strategy, _tasks, _parameters)
    same = [aspect for aspect in aspects if len({aspect(record) for _, record in runs}) == 1]
    shared = _phrases(runs[0][1], same)
    # One clause of all runs that differ by the seed alone: what each of them counted is told as a range.
    seeds: dict[tuple[str, str, str], list[str]] = {}
    for protocol, record in runs:
        own = ", ".join(_phrases(record, [aspect for aspect in aspects if aspect not in same]))
        settings = json.dumps(_settings(record), sort_keys=True, default=str)
        seeds.setdefault((protocol, settings, _NUMBER.sub("#", own)), []).append(own)
    clauses: dict[str, dict[str, None]] = {}
    for (protocol, _, _), found in seeds.items():
        clauses.setdefault(_ranged(found), {})[protocol] = None
    return "; ".join([*shared, *(f"{', '.join(names)}: {own}" for own, names in clauses.items() if own)])


def _ranged(texts: Sequence[str]) -> str:
    """One text of several that differ in numbers alone, with the least and the most of each that differs."""
    columns = iter([sorted(column, key=_value) for column in zip(*map(_NUMBER.findall, texts), strict=True)])

    def told(_: re.Match[str]) -> str:
        column = next(columns)
        return column[0] if column[0] == column[-1] else f"{column[0]} to {column[-1]}"

    return _NUMBER.sub(told, texts[0])


def _value(number: str) -> float:
    return float(number.replace(",", ""))


def _phrases(record: Record, aspects: Iterable[Callable[[Record], str]]) -> list[str]:
    return [phrase for phrase in (aspect(record) for aspect in aspects) if phrase]


def _backbone(record: Record) -> str:
    name = str(_settings(record)["backbone"])
    note = str(facts_of(record).get("backbone_note") or name)
    return f"{note} ({name}), not the paper's pretrained T5-small" if name.startswith(_SCRATCH) else note


def _items(record: Record) -> str:
    return _WRITTEN.get(str(_settings(record).get("item_tokens")), "")


def _tokenizer(record: Record) -> str:
    note = str(facts_of(record).get("tokenizer") or "T5's")
    if note == "T5's":
        return ""
    note = note.replace("; ", ", ")
    return f"T5's tokenizer, {note}" if note.startswith("only") else f"with {note}"


def _untold(record: Record) -> str:
    """What it would have learnt too, had the data held it."""
    lacking = set(_settings(record).get("tasks") or ()) - set(_asked(record))
    return "no explanations, as this data set has no sentences" if "explanation" in lacking else ""


def _vectors(record: Record) -> str:
    found = facts_of(record).get("prompt_vectors")
    return "" if found is None else f"K = {found}"


def _strategy(record: Record) -> str:
    found = facts_of(record).get("strategy")
    return f"training {found}" if found else ""


def _tasks(record: Record) -> str:
    """The tasks that it was trained on, where these are not all."""
    trained, asked = _settings(record).get("tasks") or (), _asked(record)
    names = [name for task, name in _TASKS.items() if task in trained and task in asked]
    return f"trained on {' and '.join(names)} alone" if 0 < len(names) < len(_TASKS) else ""


def _asked(record: Record) -> Sequence[str]:
    return record.content["identity"].get("tasks", tuple(_TASKS))


def _parameters(record: Record) -> str:
    found = facts_of(record).get("parameters")
    return f"{found:,} parameters" if isinstance(found, int) else ""


def _free_search(title: str, runs: _Runs, task: str | None) -> list[str]:
    """The shares that the unconstrained search produced, one clause a protocol, means over seeds."""
    by_protocol: dict[str, list[Record]] = {}
    for protocol, record in runs:
        if _shares(record, task):
            by_protocol.setdefault(protocol, []).append(record)
    if not by_protocol:
        return []
    clauses = []
    for protocol, records in by_protocol.items():
        found = [_shares(record, task) for record in records]
        parts = [
            f"{100 * statistics.fmean(shares.get(name, 0.0) for shares in found):.1f} % {words}"
            for name, words in _SHARES.items()
            if name in found[0]
        ]
        clauses.append(f"{', '.join(parts)} ({protocol}, over {found[0].get('users', 0):,.0f} users)")
    held = [name for name, records in by_protocol.items() if _constrained(records[0])]
    aside = " it was asked for this alone: the lists judged come from a search held to real items."
    text = f"Of the first ten items that the free search of {title} wrote: {'; '.join(clauses)}."
    return [f"{text} Under {', '.join(held)}{aside}" if held else text]


def _constrained(record: Record) -> bool:
    return bool(record.content["identity"]["protocol"].get("constrained"))


def _shares(record: Record, task: str | None) -> dict[str, float]:
    """What a record says of the free search of a task; nothing where it says nothing readable."""
    free = facts_of(record).get("free_search")
    found = free.get(task) if isinstance(free, dict) else None
    if not isinstance(found, dict):
        return {}
    return {name: float(share) for name, share in found.items() if isinstance(share, int | float)}


def free_search_rows(records: Iterable[Record], registry: Registry, card: DatasetCard) -> Iterator[dict[str, str]]:
    """One row a record, protocol and task: shares (0 to 1) of the first ten items that the free search wrote.

    users: over whom. invalid: no item of the catalogue. duplicate: stands further up already. history: was in the
    history (sequential). no_candidate: an item, but none of the candidates (top-N). Empty: does not apply.
    Records of other data, or of another version of model or referee, are left out.
    """
    for record in records:
        free = facts_of(record).get("free_search")
        if not isinstance(free, dict) or not current(record, registry, card):
            continue
        for protocol in protocols_served(record.content["identity"]["protocol"]):
            for task in free:
                shares = _shares(record, task)
                yield {
                    "dataset": csv_text(record.content["dataset"]),
                    "preset": csv_text(record.content["preset"]),
                    "protocol": protocol.name,
                    "model": csv_text(record.model),
                    "variant": csv_text(variant(record, registry)),
                    "seed": str(record.seed),
                    "task": csv_text(task),
                    "users": f"{shares['users']:.0f}" if "users" in shares else "",
                    **{name: repr(shares[name]) if name in shares else "" for name in _SHARES},
                }
