"""Explanations that cost nothing: what any trained model has to beat."""

from __future__ import annotations

from collections import Counter

import numpy as np

from bench.explanations import Explanations
from bench.ragged import IntArray


def most_frequent_sentence(explanations: Explanations, rows: IntArray) -> str:
    """The commonest text of the given (training) rows, the first in the alphabet of several.

    Raises ValueError where there are no rows.
    """
    if not len(rows):
        raise ValueError("no training records")
    counts = Counter(explanations.texts[row] for row in rows.tolist())
    return min(counts, key=lambda text: (-counts[text], text))


def random_sentences_of_items(
    explanations: Explanations, rows: IntArray, items: IntArray, rng: np.random.Generator
) -> list[str]:
    """For each of (n,) items one text of the given (training) rows about it, uniform.

    An item without such a row gets one of any item, as it has none of its own under the sound protocol.
    Raises ValueError where there are no rows.
    """
    if not len(rows):
        raise ValueError("no training records")
    ordered = rows[np.argsort(explanations.items[rows], kind="stable")]
    about = explanations.items[ordered]
    starts, stops = np.searchsorted(about, items, "left"), np.searchsorted(about, items, "right")
    none = starts == stops
    starts, stops = np.where(none, 0, starts), np.where(none, len(ordered), stops)
    return [explanations.texts[row] for row in ordered[rng.integers(starts, stops)].tolist()]
