"""What a reader should know of explanation records before believing a table: their statistics, and some of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from bench.data.dataset import Dataset
from bench.data.explanation_file import PARTS
from bench.explanations import Explanations
from bench.ragged import IntArray
from bench.splits import SPLIT_SEED


def statistics(explanations: Explanations, dataset: Dataset) -> dict[str, float]:
    """Counts and means by name, in the order to show them."""
    words = np.array([len(text.split()) for text in explanations.texts])
    sizes = np.bincount(explanations.part, minlength=len(PARTS))
    return {
        "records": len(explanations),
        **{f"{name} records": int(size) for name, size in zip(("training", "validation", "test"), sizes, strict=True)},
        "interactions explained, %": 100.0 * len(explanations) / dataset.n_interactions,
        "users with a record": len(np.unique(explanations.users)),
        "items with a record": len(np.unique(explanations.items)),
        "features": len(set(explanations.features) - {""}),
        "words a record, mean": float(words.mean()),
        "words a record, 95th percentile": float(np.percentile(words, 95)),
        "different words": len({word for text in explanations.texts for word in text.split()}),
        "different sentences, %": 100.0 * len(set(explanations.texts)) / len(explanations),
    }


def sample_rows(explanations: Explanations, n: int = 20, seed: int = SPLIT_SEED) -> IntArray:
    """At most n rows drawn without replacement, ascending; the same seed, the same rows."""
    rng = np.random.default_rng([seed, 3])
    return np.sort(rng.choice(len(explanations), min(n, len(explanations)), replace=False))


def records(explanations: Explanations, dataset: Dataset, rows: IntArray | None = None) -> Iterator[dict[str, Any]]:
    """Rows in the authors' record shape: user, item (the source's ids), explanation, feature; None: all."""
    for row in range(len(explanations)) if rows is None else rows.tolist():
        yield {
            "user": dataset.user_ids[explanations.users[row]],
            "item": dataset.item_ids[explanations.items[row]],
            "explanation": explanations.texts[row],
            "feature": explanations.features[row],
        }


def explanation_json(explanations: Explanations, dataset: Dataset) -> dict[str, list[dict[str, Any]]]:
    """All records as the authors' file has them: {"train": […], "val": […], "test": […]}."""
    return {name: list(records(explanations, dataset, explanations.rows(part))) for part, name in enumerate(PARTS)}
