"""How sure a figure over users is, and whether two models differ: intervals, paired tests, their correction.

Users (for explanations: pairs) are what is drawn from. Scores are those of the models as trained: that another training
would score otherwise is the matter of seeds, not of these.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bench.ragged import BoolArray, FloatArray, IntArray

Test = Literal["sign-flip", "wilcoxon"]
TEST_NAMES: dict[Test, str] = {"sign-flip": "sign-flip permutation test", "wilcoxon": "Wilcoxon signed-rank test"}
LEVEL = 0.95
# An odd count, as ours, makes (RESAMPLES + 1) * 0.025 a whole number.
RESAMPLES = 9999
_BLOCK = 256
# A sum of the same numbers in another order differs by less of the sum of their sizes: such are ties.
_TIES = 1e-9


@dataclass(frozen=True)
class Effect:
    """The size of a paired difference.

    size:          mean over standard deviation (n - 1) of the differences, Cohen's d of paired samples; nan where all
                   users differ alike, 0 where none does.
    better, worse: the shares of users with a difference above and below 0.
    """

    size: float
    better: float
    worse: float


def resampled_sums(columns: FloatArray, rng: np.random.Generator, resamples: int = RESAMPLES) -> FloatArray:
    """(resamples, c) sums over n rows drawn with replacement from (n, c) rows.

    Draws are the same for all columns and depend on n alone, so that a column's sums are the same in any company.
    Raises ValueError where there are no rows.
    """
    n = _rows(columns)
    # Rows of zeros, users that are a hit of no model, add nothing.
    at = np.flatnonzero(columns.any(axis=1))
    live = columns[at].astype(np.float64)
    sums = np.zeros((resamples, columns.shape[1]))
    weights = np.empty((_BLOCK, len(at)))
    for start in range(0, resamples, _BLOCK):
        size = min(_BLOCK, resamples - start)
        for row in range(size):
            weights[row] = np.bincount(rng.integers(0, n, n, np.int32), minlength=n)[at]
        sums[start : start + size] = weights[:size] @ live
    return sums


def bca_interval(
    found: FloatArray, observed: float, jackknife: FloatArray, level: float = LEVEL
) -> tuple[float, float]:
    """(low, high): bias-corrected and accelerated bootstrap interval of a figure.

    found:     (r,) the figure of each resample. observed: of the sample itself.
    jackknife: (n,) the figure without each row in turn.
    Where all resamples agree, both ends are the observed figure; where they lie to one side of it, percentiles.
    Source: Efron 1987; Efron and Tibshirani 1993, section 14.3.
    """
    from scipy.special import ndtr, ndtri

    # Means over seeds tie with the observed but for rounding, which hangs on how sums are threaded.
    tie = _TIES * max(1e-300, float(np.abs(found).max()))
    if np.ptp(found) <= tie:
        return observed, observed
    bias = ndtri(((found < observed - tie).mean() + (found <= observed + tie).mean()) / 2)
    around = jackknife.mean() - jackknife
    scale = (around**2).sum() ** 1.5
    acceleration = (around**3).sum() / (6.0 * scale) if scale > 0 else 0.0
    if not np.isfinite(bias):
        return percentile_interval(found, level)
    shifted = bias + ndtri(_tails(level))
    low, high = np.quantile(found, ndtr(bias + shifted / (1.0 - acceleration * shifted)))
    return float(low), float(high)


def percentile_interval(found: FloatArray, level: float = LEVEL) -> tuple[float, float]:
    """(low, high): what lies between of (r,) figures of resamples, as `bench.metrics.text.bleu_interval` has it."""
    low, high = np.quantile(found, _tails(level))
    return float(low), float(high)


def _tails(level: float) -> FloatArray:
    return np.array([(1 - level) / 2, (1 + level) / 2])


def mean_intervals(
    values: FloatArray, rng: np.random.Generator, level: float = LEVEL, resamples: int = RESAMPLES
) -> FloatArray:
    """(m, 2) bootstrap intervals (`bca_interval`) of the means of (n, m) per-user values.

    Raises ValueError where there are no users.
    """
    n = _rows(values)
    found = resampled_sums(values, rng, resamples) / n
    sums = values.sum(axis=0, dtype=np.float64)
    ends = []
    for column in range(values.shape[1]):
        without = (sums[column] - values[:, column]) / max(1, n - 1)
        ends.append(bca_interval(found[:, column], float(sums[column] / n), without, level))
    return np.array(ends).reshape(-1, 2)


def sign_flip(differences: FloatArray, rng: np.random.Generator, resamples: int = RESAMPLES) -> FloatArray:
    """(m,) two-sided p values of paired sign-flip permutation tests on (n, m) differences of users.

    Were two models alike, each user's difference could as well have the other sign. p is the share of signs whose mean
    lies as far from 0 as the one seen: of all signs where these are at most `resamples`, else of that many random ones
    and the one seen. Users without a difference decide nothing. Columns share the random signs, which Holm's correction
    allows, and which depend on n alone. `scipy.stats.permutation_test` is the same test, drawn afresh for each column:
    a minute for one of 22,000 users.
    Raises ValueError where there are no users.
    """
    _rows(differences)
    p = np.ones(differences.shape[1])
    differing = np.count_nonzero(differences, axis=0)
    few = (differing > 0) & (differing <= np.log2(max(1, resamples)))
    for column in np.flatnonzero(few):
        values = differences[differences[:, column] != 0, column, None].astype(np.float64)
        p[column] = _as_far(_all_signs(len(values)), values).mean()
    many = (differing > 0) & ~few
    if many.any():
        values = differences[:, many].astype(np.float64)
        live = np.flatnonzero(values.any(axis=1))
        values, drawn = values[live], _random_signs(len(differences), live, rng, resamples)
        p[many] = (sum(_as_far(signs, values).sum(axis=0) for signs in drawn) + 1) / (resamples + 1)
    return p


def _as_far(signs: FloatArray, values: FloatArray) -> BoolArray:
    """(s, m) whether the sum of (k, m) values under each of (s, k) signs lies as far from 0 as theirs."""
    return np.abs(signs @ values) >= np.abs(values.sum(axis=0)) - _TIES * np.abs(values).sum(axis=0)


def _all_signs(k: int) -> FloatArray:
    """(2^k, k) every choice of +1 and -1."""
    return 1.0 - 2.0 * ((np.arange(2**k)[:, None] >> np.arange(k)) & 1)


def _random_signs(n: int, at: IntArray, rng: np.random.Generator, rows: int) -> Iterator[FloatArray]:
    """(at most _BLOCK, k) of +1 and -1 at random, `rows` rows in all: of n users those `at` k places."""
    for start in range(0, rows, _BLOCK):
        size = min(_BLOCK, rows - start)
        bits = np.unpackbits(rng.integers(0, 256, (size, -(-n // 8)), np.uint8), axis=1, count=n)
        yield 1.0 - 2.0 * bits[:, at]


def wilcoxon(differences: FloatArray) -> FloatArray:
    """(m,) two-sided p values of Wilcoxon's signed-rank test on (n, m) differences; 1 where no user differs.

    Users without a difference are left out; scipy chooses between the exact and the normal distribution.
    It looks at ranks: with NDCG it can favour a model whose mean is lower.
    """
    from scipy import stats

    p = np.ones(differences.shape[1])
    for column in np.flatnonzero(differences.any(axis=0)):
        tested: Any = stats.wilcoxon(differences[:, column])
        p[column] = tested.pvalue
    return p


def paired_test(differences: FloatArray, test: Test, rng: np.random.Generator) -> FloatArray:
    """(m,) two-sided p values of (n, m) paired differences, by `sign_flip` or `wilcoxon`."""
    return wilcoxon(differences) if test == "wilcoxon" else sign_flip(differences, rng)


def bootstrap_p(found: FloatArray) -> float:
    """Two-sided p value of a difference from (r,) paired resamples of it, as `bench.metrics.text.bleu_difference` has
    it: for figures that are no means over users.

    Source: paired bootstrap, Koehn 2004, section 4.
    """
    tail = min(int((found <= 0).sum()), int((found >= 0).sum()))
    return min(1.0, 2.0 * (tail + 1) / (len(found) + 1))


def holm(p: FloatArray) -> FloatArray:
    """(m,) p values of m tests, corrected so that the chance of any false rejection is held, however they depend.

    Raises ValueError where one is nan or outside 0..1.
    Source: Holm 1979, the step-down procedure.
    """
    if not np.all((p >= 0) & (p <= 1)):
        raise ValueError("p values must lie in 0..1")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(1.0, stepped)
    return corrected


def effect(differences: FloatArray) -> Effect:
    """The size of (n,) paired differences; ValueError where there are none."""
    n = _rows(differences)
    better, worse = float((differences > 0).mean()), float((differences < 0).mean())
    spread = float(differences.std(ddof=1)) if n > 1 else 0.0
    # Rounding leaves a trace of a spread where all users differ alike.
    alike = spread <= _TIES * float(np.abs(differences).max())
    size = (0.0 if not differences.any() else float("nan")) if alike else float(differences.mean()) / spread
    return Effect(size, better, worse)


def _rows(values: FloatArray) -> int:
    if len(values) == 0:
        raise ValueError("there are no users")
    return len(values)
