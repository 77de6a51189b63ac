"""Differences seed by seed: tests over users know nothing of what another training would have given."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence


def differences_by_seed(ours: Mapping[int, float], theirs: Mapping[int, float]) -> tuple[float, ...]:
    """Ours minus theirs of every seed that a side has, in order; a side without a seed stands there with its mean.

    ours, theirs: seed -> figure; models without randomness have one.
    """
    mean_ours, mean_theirs = statistics.fmean(ours.values()), statistics.fmean(theirs.values())
    return tuple(
        ours.get(seed, mean_ours) - theirs.get(seed, mean_theirs) for seed in sorted(ours.keys() | theirs.keys())
    )


def of_one_sign(differences: Sequence[float]) -> bool:
    """Whether no seed's difference is opposite to another's."""
    return min(differences, default=0.0) >= 0.0 or max(differences, default=0.0) <= 0.0


def seeds_in_words(differences: Sequence[float], digits: int) -> str:
    """What to put behind a sentence on a difference; "" of one seed."""
    if len(differences) < 2:
        return ""
    return f" (by seed {', '.join(f'{each:+.{digits}f}' for each in differences)})"


def seed_range(differences: Sequence[float]) -> dict[str, float]:
    """Columns of the least and the most difference of a seed; none of one seed."""
    if len(differences) < 2:
        return {}
    return {"difference_least_seed": min(differences), "difference_most_seed": max(differences)}
