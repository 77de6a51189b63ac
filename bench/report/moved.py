"""What moved between two results folders: runs matched by what they are about, tested user by user.

A run of one folder belongs to the run of the other with the same data set, preset, model, seed and protocol; where
several are (variants of a setting), to the one with the same settings. Figures of other data are refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import UserError
from bench.metrics.significance import holm, mean_intervals, sign_flip
from bench.ragged import FloatArray
from bench.report.inert import plain
from bench.report.table import fixed
from bench.runs.identity import canonical
from bench.runs.judged import judged_runs
from bench.runs.record import Record, read_records

_SEED = 6
_RESAMPLES = 9999
_SURE = 0.05


@dataclass(frozen=True)
class Moved:
    """A figure of a run in both folders: percent for text metrics.

    low, high: 95 % interval of the difference over users, second minus first; nan where there are no per-user scores.
    p:         of a paired sign-flip test, corrected by Holm over all figures compared; nan likewise.
    """

    run: str
    task: str
    metric: str
    first: float
    second: float
    low: float = float("nan")
    high: float = float("nan")
    p: float = float("nan")

    @property
    def difference(self) -> float:
        return self.second - self.first

    @property
    def sure(self) -> bool:
        """Whether the paired test tells the two apart."""
        return self.p < _SURE


@dataclass(frozen=True)
class Comparison:
    """moved: figures in both, in the order of runs. only: folder -> runs that the other lacks. changed: run -> what
    else differs (settings, versions, machine).
    """

    folders: tuple[Path, Path]
    moved: tuple[Moved, ...]
    only: tuple[tuple[str, ...], tuple[str, ...]]
    changed: dict[str, list[str]]


def compare_folders(first: Path, second: Path) -> Comparison:
    """Compare two results folders, or parts of them: whatever has `runs` folders below.

    Raises UserError where one has no runs, or two runs that belong together are of other data.
    """
    records = [_records(folder) for folder in (first, second)]
    pairs, only = _matched(*records)
    for one, other in pairs:
        _check_data(one, other)
    figures: list[Moved] = []
    columns: list[tuple[int, FloatArray]] = []
    for one, other in pairs:
        for task, metric, before, after in _shared(one, other):
            differences = _differences(one, other, task, metric)
            if differences is not None:
                columns.append((len(figures), differences))
            figures.append(Moved(_name(one), task, metric, before, after))
    changed = {_name(one): found for one, other in pairs if (found := list(_changes(one, other)))}
    return Comparison((first, second), tuple(_tested(figures, columns)), only, changed)


def _records(folder: Path) -> list[Record]:
    if not folder.is_dir():
        raise UserError("no such folder", str(folder), "check --compare")
    found = judged_runs([record for runs in sorted(folder.glob("**/runs")) for record in read_records(runs)])
    if not found:
        raise UserError("no finished runs are here", str(folder), "give a results folder, or one below it")
    return found


def _key(record: Record) -> bytes:
    content, identity = record.content, record.content["identity"]
    about = [content["dataset"], content["preset"], record.model, record.seed, identity["protocol"]]
    return canonical([*about, bool(identity.get("timed"))])


def _matched(
    first: list[Record], second: list[Record]
) -> tuple[list[tuple[Record, Record]], tuple[tuple[str, ...], tuple[str, ...]]]:
    """Pairs of runs, and the names of those without a partner."""
    pairs: list[tuple[Record, Record]] = []
    left = list(second)
    alone = []
    for record in first:
        same = [other for other in left if _key(other) == _key(record)]
        settings = record.content["identity"]["settings"]
        equal = [other for other in same if other.content["identity"]["settings"] == settings]
        rivals = sum(_key(other) == _key(record) for other in first)
        found = equal[:1] or (same if len(same) == rivals == 1 else [])
        if found:
            pairs.append((record, found[0]))
            left.remove(found[0])
        else:
            alone.append(_name(record))
    return pairs, (tuple(alone), tuple(map(_name, left)))


def _name(record: Record) -> str:
    identity = record.content["identity"]
    protocol = ", ".join(f"{name}={value}" for name, value in identity["protocol"].items() if name == "constrained")
    where = f"{record.content['dataset']}/{record.content['preset']}"
    return f"{where} {record.model} s{record.seed}{f' ({protocol})' if protocol else ''} {record.key}"


def _check_data(one: Record, other: Record) -> None:
    for name in ("dataset", "split"):
        before, after = one.content["identity"][name], other.content["identity"][name]
        if before != after:
            what = f"runs of {record_title(one)} are of other data: {name} fingerprints {before} and {after}"
            raise UserError(what, str(other.path / "record.json"), "compare results of the same data")


def record_title(record: Record) -> str:
    """A run's model and data set."""
    return f"{record.model} on {record.content['dataset']}"


def _shared(one: Record, other: Record) -> Iterator[tuple[str, str, float, float]]:
    for task, figures in one.metrics.items():
        after = other.metrics.get(task, {})
        for metric, value in figures.items():
            if metric != "n" and metric in after:
                yield task, metric, value, after[metric]


def _differences(one: Record, other: Record, task: str, metric: str) -> FloatArray | None:
    """(n,) second minus first of each user; None where the metric is none over users."""
    if task == "explanation":
        found = [record.judged.per_pair.get(metric) for record in (one, other) if record.judged is not None]
        if len(found) < 2 or found[0] is None or found[1] is None or len(found[0]) != len(found[1]):
            return None
        return None if np.isnan(found[0]).any() else found[1].astype(np.float64) - found[0]
    before, after = one.per_user(task), other.per_user(task)
    if metric not in before or not np.array_equal(before["user"], after["user"]):
        return None
    return after[metric].astype(np.float64) - before[metric]


def _tested(figures: Sequence[Moved], columns: Sequence[tuple[int, FloatArray]]) -> Iterator[Moved]:
    """The figures with intervals and corrected p values, those of as many users at a time."""
    found: dict[int, tuple[float, float, float]] = {}
    for size in sorted({len(values) for _, values in columns}):
        places = [place for place, values in columns if len(values) == size]
        table = np.stack([values for _, values in columns if len(values) == size], axis=1)
        intervals = mean_intervals(table, np.random.default_rng([_SEED, size]), resamples=_RESAMPLES)
        p = sign_flip(table, np.random.default_rng([_SEED, size, 1]), _RESAMPLES)
        found |= {place: (*ends, each) for place, ends, each in zip(places, intervals.tolist(), p, strict=True)}
    corrected = dict(zip(found, holm(np.array([p for _, _, p in found.values()])), strict=True)) if found else {}
    for place, figure in enumerate(figures):
        low, high, _ = found.get(place, (float("nan"),) * 3)
        p = float(corrected.get(place, float("nan")))
        yield Moved(figure.run, figure.task, figure.metric, figure.first, figure.second, low, high, p)


def _changes(one: Record, other: Record) -> Iterator[str]:
    """What else differs between two runs that belong together."""
    before, after = one.content["identity"], other.content["identity"]
    for name in sorted({*before["settings"], *after["settings"]}):
        was, now = before["settings"].get(name), after["settings"].get(name)
        if was != now:
            yield f"{name} {_short(was)} -> {_short(now)}"
    for name in ("model_version", "referee"):
        if before[name] != after[name]:
            yield f"{name} {before[name]} -> {after[name]}"
    places = [{"device": r.content["device"], **r.content.get("environment", {})} for r in (one, other)]
    for name in sorted({*places[0], *places[1]}):
        if places[0].get(name) != places[1].get(name):
            yield f"{name} {places[0].get(name)} -> {places[1].get(name)}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def comparison_text(found: Comparison) -> str:
    """What moved: what is told apart, what is not, other conditions, and what one folder lacks."""
    first, second = found.folders
    lines = [f"from {plain(str(first))} to {plain(str(second))}"]
    told = [figure for figure in found.moved if figure.sure]
    moved = [figure for figure in found.moved if figure.difference and not figure.sure]
    same = len(found.moved) - len(told) - len(moved)
    lines.append(
        f"  {len(found.moved)} figures in both: {len(told)} moved and are told apart, {len(moved)} moved and are not, "
        f"{same} are equal (paired sign-flip test over users, Holm-corrected, p < {_SURE})"
    )
    for title, figures in (("told apart", told), ("moved, not told apart", moved)):
        if figures:
            lines += ["", f"{title}:", *_aligned(figures)]
    if found.changed:
        lines += ["", "other conditions:"]
        lines += [f"  {plain(run)}: {plain('; '.join(changes))}" for run, changes in found.changed.items()]
    for folder, runs in zip(found.folders, found.only, strict=True):
        if runs:
            lines += ["", f"only in {plain(str(folder))}:", *(f"  {plain(run)}" for run in runs)]
    return "\n".join(lines) + "\n"


def _aligned(figures: Iterable[Moved]) -> list[str]:
    rows = [
        (
            plain(f.run),
            f.task,
            plain(f.metric),
            fixed(f.first),
            fixed(f.second),
            f"{f.difference:+.4f}",
            _interval(f),
            _p(f),
        )
        for f in figures
    ]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return [
        "  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _interval(figure: Moved) -> str:
    return "" if np.isnan(figure.low) else f"[{figure.low:+.4f}, {figure.high:+.4f}]"


def _p(figure: Moved) -> str:
    return "no test" if np.isnan(figure.p) else f"p {figure.p:.4f}"
