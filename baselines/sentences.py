"""Explanations that cost nothing, and that every trained model has to beat: a frequent and a random sentence."""

from __future__ import annotations

from collections import Counter

import numpy as np

from bench.models import Context, ModelInfo, NoSettings, Pairs, Training
from bench.tasks import tie_keys


def training_pairs(training: Training) -> Pairs:
    """The training pairs with their sentences. Raises ValueError where there are none."""
    if training.explanations is None or not len(training.explanations[0]):
        raise ValueError("no explanations to learn from")
    return training.explanations[0]


class FrequentSentence:
    """Says the commonest training sentence to everybody, the first in the alphabet of several."""

    def __init__(self, settings: NoSettings) -> None:
        del settings
        self._sentence = ""

    def fit(self, training: Training, context: Context) -> None:
        """Count the sentences."""
        del context
        counts = Counter(training_pairs(training).texts)
        self._sentence = min(counts, key=lambda text: (-counts[text], text))

    def explain(self, pairs: Pairs) -> list[str]:
        """The same sentence for each pair."""
        return [self._sentence] * len(pairs)


class RandomSentence:
    """Says a random training sentence about the item, or about any item where it has none, as under `sound` it may.

    The draw is a function of seed, user and item, so that a pair gets the same sentence whoever is asked for with it.
    """

    def __init__(self, settings: NoSettings) -> None:
        del settings

    def fit(self, training: Training, context: Context) -> None:
        """Lay the sentences out by item."""
        pairs = training_pairs(training)
        order = np.argsort(pairs.items, kind="stable")
        self._texts = [pairs.texts[row] for row in order.tolist()]
        self._about = pairs.items[order]
        self._key = int(context.rng().integers(1 << 31))

    def explain(self, pairs: Pairs) -> list[str]:
        """One sentence for each pair."""
        starts, stops = (np.searchsorted(self._about, pairs.items, side) for side in ("left", "right"))
        none = starts == stops
        starts, stops = np.where(none, 0, starts), np.where(none, len(self._texts), stops)
        draws = tie_keys(pairs.users.astype(np.int64) + self._key, pairs.items)
        places = starts + (draws % (stops - starts).astype(np.uint64)).astype(np.int64)
        return [self._texts[place] for place in places.tolist()]


_COMMON = {"family": "rule", "tasks": ("explanation",), "protocol_settings": ("held_out_pairs",)}

MODELS = (
    ModelInfo(
        "frequent-sentence",
        "Most frequent sentence",
        factory="baselines.sentences:FrequentSentence",
        deterministic=True,
        **_COMMON,
    ),
    ModelInfo(
        "random-sentence", "Random sentence of the item", factory="baselines.sentences:RandomSentence", **_COMMON
    ),
)
