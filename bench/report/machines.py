"""What machines runs and times come from: times of different ones do not compare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def device_in_words(device: str, environment: Mapping[str, Any]) -> str:
    """A device with the name of what computed there, where it is known."""
    if device.startswith("cuda"):
        name = environment.get("gpu", "")
    else:
        name = f"{environment['processor']}, {environment['cores']} cores" if "processor" in environment else ""
    return f"{device} ({name})" if name else device


def machine_in_words(content: Mapping[str, Any]) -> str:
    """What a record says of where it ran, with the threads that it had."""
    device = device_in_words(str(content.get("device", "an unknown device")), content.get("environment", {}))
    return f"{device}, threads: {content['threads']}" if "threads" in content else device


def timed_apart(row: Sequence[tuple[int, str]], among: Iterable[tuple[int, str]]) -> list[str]:
    """The footnote of a row of times where not all of its table are of one machine; none where they are.

    row, among: seed and machine in words of each run of the row, and of the whole table.
    """
    if len({machine for _, machine in among}) < 2 or not row:
        return []
    seeds: dict[str, list[str]] = {}
    for seed, machine in row:
        seeds.setdefault(machine, []).append(str(seed))
    if len(seeds) == 1:
        return [f"timed on {next(iter(seeds))}, other rows on another machine: times do not compare"]
    told = "; ".join(
        f"{machine} ({'seed' if len(found) == 1 else 'seeds'} {', '.join(found)})" for machine, found in seeds.items()
    )
    return [f"timed on different machines, so their spread is no spread over seeds: {told}"]
