"""The two protocols as values: what produced the paper's printed numbers, and what a careful reader assumes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from bench.metrics.text import Family
from bench.splits import Numbering


@dataclass(frozen=True)
class Protocol:
    """Settings in which `published` and `sound` differ (lines of PUBLISHED.md in brackets).

    name:               how tables call it.
    item_numbering:     the numbers under which items are known [1].
    held_out_pairs:     explanation training may hold the validation and test pairs of the recommendation tasks [2].
    count_padding:      losses are averaged over a batch's targets with padding among them [3].
    mask_cross_attention: the decoder does not see padding of the inputs [4].
    prompt_vectors:     K where the settings leave it open [5].
    shuffle_first_pass: the first pass over the samples is shuffled like the others [9].
    whole_history_negatives: negatives of top-N training avoid the user's whole history, held-out items included [11].
    redraw_validation:  validation negatives of top-N are drawn anew each epoch [11].
    reset_patience:     the counter of epochs without improvement starts again after one [13].
    constrained:        generated ids are held to real items, candidates and unseen ones; none is replaced [15, 16].
    keep_history:       leave history items in a model's lists [16].
    per_occurrence:     count a repeated item every time it is listed [18].
    """

    name: str
    item_numbering: Numbering
    held_out_pairs: bool
    count_padding: bool
    mask_cross_attention: bool
    prompt_vectors: int
    shuffle_first_pass: bool
    whole_history_negatives: bool
    redraw_validation: bool
    reset_patience: bool
    constrained: bool
    keep_history: bool
    per_occurrence: bool

    @property
    def text_metrics(self) -> Family:
        """The family of text metrics to show [19, 20]: the released code's goes with its way of counting hits."""
        return "published" if self.per_occurrence else "standard"

    def subset(self, names: tuple[str, ...]) -> dict[str, Any]:
        """The settings of these names: the part of a run's identity that the protocol decides."""
        values = asdict(self)
        return {name: values[name] for name in names}


PROTOCOLS: dict[str, Protocol] = {
    "published": Protocol(
        "published",
        "appearance",
        held_out_pairs=True,
        count_padding=True,
        mask_cross_attention=False,
        prompt_vectors=10,
        shuffle_first_pass=False,
        whole_history_negatives=True,
        redraw_validation=True,
        reset_patience=False,
        constrained=False,
        keep_history=True,
        per_occurrence=True,
    ),
    "sound": Protocol(
        "sound",
        "train",
        held_out_pairs=False,
        count_padding=False,
        mask_cross_attention=True,
        prompt_vectors=3,
        shuffle_first_pass=True,
        whole_history_negatives=False,
        redraw_validation=False,
        reset_patience=True,
        constrained=True,
        keep_history=False,
        per_occurrence=False,
    ),
}


def with_numbering(protocol: Protocol, numbering: Numbering | None) -> Protocol:
    """The protocol under another item numbering, renamed so that no table can hide it."""
    if numbering is None or numbering == protocol.item_numbering:
        return protocol
    return replace(protocol, name=f"{protocol.name}+{numbering}-ids", item_numbering=numbering)


# What the audit sets against `sound`: the one setting that is as published.
_AS_PUBLISHED = {
    "held-out-pairs": "held_out_pairs",
    "counted-padding": "count_padding",
    "free-search": "constrained",
}


def sound_but(matter: str) -> Protocol:
    """`sound` with one setting as in `published`: held-out-pairs, counted-padding or free-search."""
    setting = _AS_PUBLISHED[matter]
    changed: dict[str, Any] = {setting: getattr(PROTOCOLS["published"], setting)}
    return replace(PROTOCOLS["sound"], name=f"sound+{matter}", **changed)


def known_protocols() -> list[list[Protocol]]:
    """Every protocol that runs may be of, in groups: the two, those under other item numbers, those of the audit."""
    numberings: tuple[Numbering, ...] = ("appearance", "train", "random")
    renumbered = [with_numbering(each, numbering) for each in PROTOCOLS.values() for numbering in numberings]
    others = [each for each in renumbered if each not in PROTOCOLS.values()]
    return [list(PROTOCOLS.values()), others, [sound_but(matter) for matter in _AS_PUBLISHED]]
