"""How generated explanations are judged: one function for our models' and for those that come in a file.

Both families of text metrics are taken of every run (`bench.metrics.text`), so that neither protocol needs another;
beside them stands what they do not see: one sentence said to everybody, and features that are never named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.cutting import Cutter
from bench.explanations import TEST, Explanations
from bench.metrics.diversity import diversity_scores, feature_match
from bench.metrics.text import FAMILIES, METRICS, ROUGE_METRICS, BleuCounts, Family, text_scores
from bench.ragged import FloatArray

# Raised whenever a change of cutting or metrics can change a figure; figures made under another are made anew from a
# run's sentences, without running it again.
EXPLANATION_REFEREE = 2
VARIETY = ("distinct-1", "distinct-2", "unique sentences", "feature match", "feature coverage", "length ratio")


def figure(metric: str, family: Family) -> str:
    """How figures name a metric of one family, say "BLEU-4 published"."""
    return f"{metric} {family}"


@dataclass(frozen=True, eq=False)
class JudgedSentences:
    """The verdict on n sentences.

    cut:      how they and the references were cut (`Cutter.name`).
    figures:  BLEU and ROUGE of both families in percent by `figure`, then those of VARIETY, shares but the last, and
              "n". "length ratio": words of all sentences over those of all references, whose lack BLEU punishes. A
              figure that is not defined, say feature match where no record has a feature, is left out.
    per_pair: (n,) each: ROUGE of both families in percent, and "feature match": 1, 0, nan for a pair without a feature.
    counts:   what corpus BLEU and its interval come from.
    """

    cut: str
    figures: dict[str, float]
    per_pair: dict[str, FloatArray]
    counts: BleuCounts


def judge_sentences(explanations: Explanations, sentences: Sequence[str], cutter: Cutter) -> JudgedSentences:
    """Judge one sentence for each test record, in the order of the records; "" is allowed and matches nothing.

    Raises ValueError if their number is not that of the test records.
    """
    rows = explanations.rows(TEST).tolist()
    if len(sentences) != len(rows):
        raise ValueError(f"{len(sentences)} sentences for {len(rows)} test records")
    given = cutter.cut(sentences)
    features = [explanations.features[row] for row in rows]
    scores = text_scores(cutter.cut([explanations.texts[row] for row in rows]), given)
    figures = {figure(metric, family): scores[family].corpus[metric] for family in FAMILIES for metric in METRICS}
    catalogue = set(explanations.features) - {""}
    figures |= diversity_scores(given, features, catalogue)
    if not catalogue:
        del figures["feature coverage"]
    counts = scores["published"].counts
    words = counts.reference_length.sum()
    figures["length ratio"] = counts.hypothesis_length.sum() / words if words else np.nan
    per_pair = {
        figure(metric, family): scores[family].per_pair[metric] for family in FAMILIES for metric in ROUGE_METRICS
    }
    per_pair["feature match"] = feature_match(given, features)
    defined = {name: float(value) for name, value in figures.items() if np.isfinite(value)}
    return JudgedSentences(cutter.name, {**defined, "n": len(rows)}, per_pair, counts)
