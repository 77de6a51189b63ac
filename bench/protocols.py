"""The two protocols as values: what produced the paper's printed numbers, and what a careful reader assumes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from bench.splits import Numbering


@dataclass(frozen=True)
class Protocol:
    """Settings in which `published` and `sound` differ (lines of PUBLISHED.md in brackets).

    name:           how tables call it.
    item_numbering: the numbers under which items are known [1].
    keep_history:   leave history items in a model's lists [16].
    per_occurrence: count a repeated item every time it is listed [18].
    """

    name: str
    item_numbering: Numbering
    keep_history: bool
    per_occurrence: bool

    def subset(self, names: tuple[str, ...]) -> dict[str, Any]:
        """The settings of these names: the part of a run's identity that the protocol decides."""
        values = asdict(self)
        return {name: values[name] for name in names}


PROTOCOLS: dict[str, Protocol] = {
    "published": Protocol("published", "appearance", keep_history=True, per_occurrence=True),
    "sound": Protocol("sound", "train", keep_history=False, per_occurrence=False),
}


def with_numbering(protocol: Protocol, numbering: Numbering | None) -> Protocol:
    """The protocol under another item numbering, renamed so that no table can hide it."""
    if numbering is None or numbering == protocol.item_numbering:
        return protocol
    return replace(protocol, name=f"{protocol.name}+{numbering}-ids", item_numbering=numbering)
