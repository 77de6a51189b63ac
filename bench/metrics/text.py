"""BLEU and ROUGE of generated sentences, in two families that are never mixed.

published: what the authors' code computes (PUBLISHED.md, lines 19 and 20). standard: what nltk and rouge-score compute.
Both come out of nltk's clipped n-gram counts and rouge-score's longest common subsequences. All figures are percent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from bench.ragged import FloatArray, IntArray

Family = Literal["published", "standard"]
FAMILIES: tuple[Family, ...] = ("published", "standard")
ROUGE_METRICS = ("ROUGE-1", "ROUGE-2", "ROUGE-L")
METRICS = ("BLEU-4", *ROUGE_METRICS)
MAX_ORDER = 4
PairScorer = Callable[[str, str], tuple[float, ...]]

# The guards against division by zero in the authors' code; they show in the ninth digit.
_NGRAM_GUARD = 1e-8
_LCS_GUARD = 1e-12


@dataclass(frozen=True, eq=False)
class BleuCounts:
    """What corpus BLEU sums up: addable over pairs, so that any subset or resample of them has its BLEU.

    matches:           (n, 4) clipped matches of each order.
    totals:            (n, 4) n-grams of the hypothesis, 0 where it is shorter than the order.
    hypothesis_length: (n,) tokens.
    reference_length:  (n,) tokens.
    """

    matches: IntArray
    totals: IntArray
    hypothesis_length: IntArray
    reference_length: IntArray

    def __len__(self) -> int:
        return len(self.hypothesis_length)

    def columns(self, family: Family) -> FloatArray:
        """(n, 10) matches, totals and lengths, as the family counts them.

        nltk gives a hypothesis that is shorter than an order one n-gram of it that does not match; the authors none.
        """
        totals = np.maximum(self.totals, 1) if family == "standard" else self.totals
        lengths = np.stack([self.hypothesis_length, self.reference_length], axis=1)
        return np.concatenate([self.matches, totals, lengths], axis=1).astype(np.float64)


@dataclass(frozen=True, eq=False)
class TextScores:
    """One family's figures for n pairs, in percent.

    corpus:   {"BLEU-4": …, "ROUGE-1": …, "ROUGE-2": …, "ROUGE-L": …}; ROUGE is the mean of its pairs.
    per_pair: {"ROUGE-1": (n,), …}.
    counts:   what BLEU, a corpus figure, and its interval come from; the same for both families.
    """

    corpus: dict[str, float]
    per_pair: dict[str, FloatArray]
    counts: BleuCounts


def text_scores(references: Sequence[str], hypotheses: Sequence[str]) -> dict[Family, TextScores]:
    """Every metric of the paper's Table 4 in both families.

    references, hypotheses: n sentences each, pair by pair; empty ones are allowed and match nothing.
    Raises ValueError if the two differ in number or there are none.
    Source: POD section 4.3.
    """
    counts = bleu_counts(references, hypotheses)
    found: dict[Family, TextScores] = {}
    for family in FAMILIES:
        pairs = rouge(references, hypotheses, family)
        corpus = {"BLEU-4": bleu(counts, family), **{name: float(column.mean()) for name, column in pairs.items()}}
        found[family] = TextScores(corpus, pairs, counts)
    return found


def bleu_counts(references: Sequence[str], hypotheses: Sequence[str]) -> BleuCounts:
    """nltk's clipped n-gram counts of each pair, tokens being what blanks part; arguments as in `text_scores`."""
    from nltk.translate.bleu_score import modified_precision

    _check(references, hypotheses)
    pairs = [
        (reference.split(), hypothesis.split()) for reference, hypothesis in zip(references, hypotheses, strict=True)
    ]
    matches = [
        [modified_precision([reference], hypothesis, n).numerator for n in range(1, MAX_ORDER + 1)]
        for reference, hypothesis in pairs
    ]
    lengths = np.array([(len(hypothesis), len(reference)) for reference, hypothesis in pairs], dtype=np.int64)
    totals = np.maximum(lengths[:, :1] - np.arange(MAX_ORDER), 0)
    return BleuCounts(np.array(matches, dtype=np.int64), totals, lengths[:, 0], lengths[:, 1])


def bleu(counts: BleuCounts, family: Family, order: int = MAX_ORDER) -> float:
    """Corpus BLEU in percent, uniform weights over orders 1 to `order`, no smoothing.

    0 where an order has no match at all (nltk's own result then is 0 or below 1e-70).
    Raises ValueError where order is not in 1..4.
    Source: Papineni et al. 2002; PUBLISHED.md, line 20.
    """
    return float(bleu_of_sums(counts.columns(family).sum(axis=0), order))


def bleu_of_sums(sums: FloatArray, order: int = MAX_ORDER) -> FloatArray:
    """(…,) BLEU in percent from (…, 10) summed `BleuCounts.columns`."""
    if not 1 <= order <= MAX_ORDER:
        raise ValueError(f"order must lie in 1..{MAX_ORDER}, got {order}")
    matches, totals = sums[..., :order], sums[..., MAX_ORDER : MAX_ORDER + order]
    hypothesis, reference = sums[..., -2], sums[..., -1]
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.exp(np.log(matches / totals).mean(axis=-1))
        brevity = np.exp(np.minimum(0.0, 1.0 - reference / hypothesis))
        score = 100.0 * brevity * precision
    return np.where((matches > 0).all(axis=-1), score, 0.0)


def bleu_interval(
    counts: BleuCounts, family: Family, rng: np.random.Generator, level: float = 0.95, resamples: int = 1000
) -> tuple[float, float]:
    """Percentile bootstrap interval of corpus BLEU-4 over pairs, in percent.

    Source: Koehn 2004, section 3.
    """
    return bleu_spread(counts, family, rng, level, resamples)[1:]


def bleu_spread(
    counts: BleuCounts, family: Family, rng: np.random.Generator, level: float = 0.95, resamples: int = 1000
) -> tuple[float, float, float]:
    """(standard error, low, high): the spread of corpus BLEU-4 over resampled pairs, and `bleu_interval`'s ends."""
    (scores,) = _resampled_bleu([counts.columns(family)], rng, resamples)
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])
    return float(scores.std(ddof=1)), float(low), float(high)


def bleu_difference(
    counts: BleuCounts, other: BleuCounts, family: Family, rng: np.random.Generator, resamples: int = 1000
) -> tuple[float, float]:
    """(difference, p): corpus BLEU-4 minus the other's on the same pairs, in points, and its two-sided p value.

    p is twice the share of paired resamples in which the rarer sign (or no difference) turns up, at least
    2 / (resamples + 1) and at most 1.
    Raises ValueError if the two hold different numbers of pairs.
    Source: paired bootstrap, Koehn 2004, section 4.
    """
    if len(counts) != len(other):
        raise ValueError(f"pairs must be the same, got {len(counts)} and {len(other)}")
    both = [counts.columns(family), other.columns(family)]
    here, there = _resampled_bleu(both, rng, resamples)
    tail = min(int((here <= there).sum()), int((here >= there).sum()))
    return bleu(counts, family) - bleu(other, family), min(1.0, 2.0 * (tail + 1) / (resamples + 1))


def _resampled_bleu(tables: list[FloatArray], rng: np.random.Generator, resamples: int) -> list[FloatArray]:
    """For each (n, 10) table the (resamples,) BLEU of the same draws of n pairs with replacement."""
    n = len(tables[0])
    sums = np.empty((len(tables), resamples, tables[0].shape[1]))
    for row in range(resamples):
        weights = np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64)
        for table, columns in enumerate(tables):
            sums[table, row] = weights @ columns
    return list(bleu_of_sums(sums))


def rouge(references: Sequence[str], hypotheses: Sequence[str], family: Family) -> dict[str, FloatArray]:
    """F1 of ROUGE-1, ROUGE-2 and ROUGE-L of each pair, in percent: {"ROUGE-1": (n,), …}.

    published: sets of n-grams over what single blanks part; ROUGE-L weighs precision and recall with beta = P/R.
    standard:  rouge-score's own, lower-cased letters and digits, no stemming.
    A pair with an empty side scores 0. Arguments and errors as in `text_scores`.
    Source: Lin 2004; PUBLISHED.md, line 19.
    """
    _check(references, hypotheses)
    row = _published_row() if family == "published" else _standard_row()
    table = np.array([row(*pair) for pair in zip(references, hypotheses, strict=True)], dtype=np.float64)
    return {name: 100.0 * table[:, column] for column, name in enumerate(ROUGE_METRICS)}


def _standard_row() -> PairScorer:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False)

    def row(reference: str, hypothesis: str) -> tuple[float, ...]:
        found = scorer.score(reference, hypothesis)
        return found["rouge1"].fmeasure, found["rouge2"].fmeasure, found["rougeL"].fmeasure

    return row


def _published_row() -> PairScorer:
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenizers import Tokenizer

    class Blanks(Tokenizer):
        """The authors part at every single blank: two in a row hold an empty token, which counts."""

        def tokenize(self, text: str) -> list[str]:
            return text.split(" ")

    tokenizer = Blanks()
    scorer = RougeScorer(["rougeL"], tokenizer=tokenizer)

    def row(reference: str, hypothesis: str) -> tuple[float, ...]:
        if not reference.strip() or not hypothesis.strip():
            return 0.0, 0.0, 0.0
        wanted, given = tokenizer.tokenize(reference), tokenizer.tokenize(hypothesis)
        common = scorer.score(reference, hypothesis)["rougeL"]
        return (
            _set_f1(set(wanted), set(given)),
            _set_f1(set(pairwise(wanted)), set(pairwise(given))),
            _weighted_f(common.precision, common.recall),
        )

    return row


def _set_f1(wanted: Set[object], given: Set[object]) -> float:
    if not wanted or not given:
        return 0.0
    shared = len(wanted & given)
    precision, recall = shared / len(given), shared / len(wanted)
    return 2.0 * precision * recall / (precision + recall + _NGRAM_GUARD)


def _weighted_f(precision: float, recall: float) -> float:
    """The F of ROUGE-L with beta = P/R: the larger precision is beside recall, the more recall counts."""
    beta = precision / (recall + _LCS_GUARD)
    return (1.0 + beta**2) * recall * precision / (recall + beta**2 * precision + _LCS_GUARD)


def _check(references: Sequence[str], hypotheses: Sequence[str]) -> None:
    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} references but {len(hypotheses)} hypotheses")
    if not references:
        raise ValueError("no pairs to score")
