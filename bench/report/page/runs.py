"""A drawer for each run: everything that its record says, and the end of its log."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.report.page.contents import Contents, duration, seconds_of
from bench.report.page.markup import Child, Html, escape, facts, tag
from bench.report.shown import brief
from bench.runs.failure import Failure, failed_folder, read_failures
from bench.runs.record import LOG, Record

LOG_LINES = 20
# Folders of this machine tell a reader nothing and may tell too much.
_FOLDERS = re.compile(r"(?:[A-Za-z]:)?[\\/](?:[^\s\\/\"'<>:]+[\\/])+")


def runs_section(contents: Contents) -> Html:
    """A folded drawer a run, then one a failure that still stands."""
    wanted = {entry.job.key for entry in contents.entries if entry.failed and entry.job is not None}
    failures = [each for each in read_failures(contents.folder / "runs") if each.key in wanted]
    drawers = [_drawer(contents, record) for record in contents.records]
    drawers += [_failure(contents, each) for each in failures]
    return tag("section", tag("h2", "Runs"), drawers or tag("p", "None is here.", cls="missing"), id="runs")


def _drawer(contents: Contents, record: Record) -> Html:
    content, (fit, ask) = record.content, seconds_of(record)
    parts = [
        ("This run", _this(record)),
        ("Settings", _pairs(content["identity"].get("settings", {}))),
        ("Protocol settings that touch it", _pairs(content["identity"].get("protocol", {}))),
        ("Times", _times(content.get("timings", {}))),
        ("What the model noted", _pairs(content.get("facts", {}))),
        ("Environment", _pairs(content.get("environment", {}))),
    ]
    shown = [tag("div", tag("h4", title), facts(pairs)) for title, each in parts if (pairs := list(each))]
    if (record.path / LOG).exists():
        shown.append(tag("div", tag("h4", "Log"), _log(record.path / LOG)))
    label = f"{contents.label(record)}: {duration(fit + ask)}"
    return tag("details", tag("summary", label), tag("div", shown, cls="drawer"), id=f"run-{record.path.name}")


def _this(record: Record) -> Iterator[tuple[str, Child]]:
    content = record.content
    yield "folder", f"runs/{record.path.name}"
    yield "model version", str(content["identity"].get("model_version", "unknown"))
    for name in ("device", "threads"):
        if name in content:
            yield name, str(content[name])
    for name in ("peak_memory_mib", "device_peak_memory_mib"):
        if name in content:
            yield name.removesuffix("_mib").replace("_", " "), f"{content[name]:,.0f} MiB"
    for task, figures in record.metrics.items():
        known = ", ".join(f"{name} {value:.4f}" for name, value in figures.items() if name != "n")
        yield task, f"{known} (n = {int(figures['n']):,})" if "n" in figures else known


def _pairs(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Child]]:
    """Names and values; what is nested gets its name in front."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _pairs(value, f"{above}{name} ")
        else:
            value = ", ".join(map(str, value)) if isinstance(value, list) else value
            yield f"{above}{name}", without_folders(brief("none" if value is None else value))


def _times(timings: Mapping[str, Mapping[str, float]]) -> Iterator[tuple[str, Child]]:
    for name, each in timings.items():
        yield name, f"{each['wall_s']:.2f} s wall, {each.get('cpu_s', float('nan')):.2f} s CPU"


def _failure(contents: Contents, failure: Failure) -> Html:
    body: list[Child] = [tag("p", f"Why: {without_folders(failure.reason)}")]
    if failure.log is not None:
        body.append(_log(failed_folder(contents.folder / "runs") / Path(failure.log).name))
    title = f"{contents.title(failure.model)}: failed"
    return tag("details", tag("summary", title), body, cls="failed", id=f"run-{failure.key}")


def _log(path: Path) -> Html:
    try:
        whole = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return tag("p", "Its log is not here.", cls="missing")
    lines = whole[-LOG_LINES:]
    # Line by line, as indentation is all that escaping would take.
    shown = [Html(_indent(line) + escape(without_folders(line)) + "\n") for line in lines]
    which = f"The last {len(lines)} of {len(whole)} lines of its log" if len(whole) > len(lines) else "Its log"
    return tag("div", tag("p", f"{which}:"), tag("pre", shown))


def _indent(line: str) -> str:
    return " " * (len(line) - len(line.lstrip(" ")))


def without_folders(text: str) -> str:
    """Text in which absolute paths are the names of their files."""
    return _FOLDERS.sub("…/", text)
