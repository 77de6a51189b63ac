"""How varied generated sentences are, and whether they name features: what exposes one sentence said to everybody.

All figures are shares between 0 and 1. Words are runs of letters and digits, with marks inside, in lower case.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np

from bench.ragged import FloatArray

_WORD = re.compile(r"[^\W_]+(?:['.-][^\W_]+)*")


def words_of_sentence(text: str) -> tuple[str, ...]:
    """The words of a sentence; marks alone are none."""
    return tuple(_WORD.findall(text.lower()))


def distinct(texts: Sequence[str], n: int) -> float:
    """Different n-grams over all n-grams of the texts; 0 where there are none.

    Raises ValueError where n is below 1.
    Source: distinct-1 and distinct-2 of Li et al. 2016 (NAACL), over the whole corpus.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    grams = list(chain.from_iterable(_ngrams(words_of_sentence(text), n) for text in texts))
    return len(set(grams)) / len(grams) if grams else 0.0


def unique_sentences(texts: Sequence[str]) -> float:
    """Different sentences over all; sentences are equal if their words are. 0 for no texts.

    Source: USR of Li et al. 2020 (CIKM, NETE).
    """
    return len({words_of_sentence(text) for text in texts}) / len(texts) if texts else 0.0


def feature_match(texts: Sequence[str], features: Sequence[str]) -> FloatArray:
    """(n,) 1 where a text names the feature of its pair, all its words in a row, else 0; nan where there is none.

    Raises ValueError if the two differ in number.
    Source: FMR of Li et al. 2020, whose mean over pairs with a feature it is.
    """
    if len(texts) != len(features):
        raise ValueError(f"{len(texts)} texts but {len(features)} features")
    found = np.full(len(texts), np.nan)
    for row, (text, feature) in enumerate(zip(texts, features, strict=True)):
        wanted = words_of_sentence(feature)
        if wanted:
            found[row] = wanted in set(_ngrams(words_of_sentence(text), len(wanted)))
    return found


def feature_coverage(texts: Iterable[str], features: Iterable[str]) -> float:
    """Different features that any text names over all different features given; 0 where none is given.

    Source: FCR of Li et al. 2020; there the features are those of the whole data set.
    """
    wanted = {words for feature in features if (words := words_of_sentence(feature))}
    lengths = {len(words) for words in wanted}
    named: set[tuple[str, ...]] = set()
    for text in texts:
        words = words_of_sentence(text)
        for length in lengths:
            named.update(wanted.intersection(_ngrams(words, length)))
    return len(named) / len(wanted) if wanted else 0.0


def diversity_scores(
    texts: Sequence[str], features: Sequence[str], catalogue: Iterable[str] | None = None
) -> dict[str, float]:
    """Every figure of this module, as shares.

    texts:     n generated sentences.
    features:  the feature of each pair, "" where it has none.
    catalogue: the features that coverage counts; None: those of `features`.
    A mean without any pair is nan.
    """
    matched = feature_match(texts, features)
    return {
        "distinct-1": distinct(texts, 1),
        "distinct-2": distinct(texts, 2),
        "unique sentences": unique_sentences(texts),
        "feature match": float(np.nanmean(matched)) if np.isfinite(matched).any() else float("nan"),
        "feature coverage": feature_coverage(texts, features if catalogue is None else catalogue),
    }


def _ngrams(words: tuple[str, ...], n: int) -> Iterable[tuple[str, ...]]:
    return (words[start : start + n] for start in range(len(words) - n + 1))
