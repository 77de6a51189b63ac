"""Intervals, tests and corrections against scipy, brute force and cases worked out by hand."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.metrics.significance import (
    bca_interval,
    bootstrap_p,
    effect,
    holm,
    mean_intervals,
    paired_test,
    percentile_interval,
    resampled_sums,
    sign_flip,
    wilcoxon,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def hits(n=400, share=0.05, seed=1):
    """(n, 2) as users score: rare hits, and a discounted place."""
    hit = rng(seed).random(n) < share
    return np.stack([hit, hit / np.log2(2 + rng(seed + 1).integers(0, 10, n))], axis=1).astype(float)


def test_resamples_draw_n_rows_with_replacement():
    n, resamples = 50, 4000
    sums = resampled_sums(np.concatenate([np.ones((n, 1)), np.eye(n)], axis=1), rng(), resamples)
    assert sums.shape == (resamples, n + 1) and (sums[:, 0] == n).all(), "n draws a resample"
    assert (sums[:, 1:].sum(axis=1) == n).all()
    counts = sums[:, 1:]
    # Each row turns up as often as a binomial of n draws at 1/n.
    assert counts.mean() == pytest.approx(1.0) and counts.var() == pytest.approx(1 - 1 / n, rel=0.03)
    assert (counts == 0).mean() == pytest.approx((1 - 1 / n) ** n, abs=0.01)
    assert np.allclose(resampled_sums(np.zeros((3, 2)), rng(), 10), 0.0)


def test_resamples_are_the_same_in_any_company():
    values = hits()
    other = rng(5).random((len(values), 3))
    alone, together = (resampled_sums(v, rng(), 300) for v in (values, np.concatenate([other, values], axis=1)))
    assert np.allclose(alone, together[:, 3:])
    assert np.allclose(alone, resampled_sums(values[:, :1], rng(), 300)[:, [0, 0]], atol=10 * values.sum())


@pytest.mark.parametrize("column", [0, 1])
def test_the_interval_is_scipys_on_the_same_resamples(column):
    values = hits()[:, column]
    theirs = stats.bootstrap((values,), np.mean, n_resamples=999, method="BCa", rng=rng())
    without = (values.sum() - values) / (len(values) - 1)
    found = bca_interval(theirs.bootstrap_distribution, values.mean(), without)
    assert found == pytest.approx((theirs.confidence_interval.low, theirs.confidence_interval.high))
    ours = mean_intervals(hits(), rng())[column]
    assert ours == pytest.approx(found, rel=0.08), "and up to chance on its own"


def test_intervals_hold_what_they_promise():
    share, inside, rounds = 0.1, 0, 300
    for seed in range(rounds):
        values = (rng(seed).random((300, 1)) < share).astype(float)
        ((low, high),) = mean_intervals(values, rng(seed + 1000), resamples=499)
        inside += low <= share <= high
    # Three standard errors of a share of 300 around .95, and a little for so few resamples.
    assert 0.90 <= inside / rounds <= 0.99


def test_the_level_widens_the_interval():
    narrow, wide = (mean_intervals(hits(), rng(), level)[0] for level in (0.5, 0.99))
    assert wide[0] < narrow[0] < hits()[:, 0].mean() < narrow[1] < wide[1]


def test_intervals_without_spread():
    assert mean_intervals(np.full((7, 1), 0.25), rng()).tolist() == [[0.25, 0.25]]
    assert mean_intervals(np.zeros((7, 1)), rng()).tolist() == [[0.0, 0.0]]
    assert mean_intervals(np.array([[0.5]]), rng()).tolist() == [[0.5, 0.5]], "one user has no spread"
    # All resamples on one side of the figure: no bias can be had, so plain percentiles.
    found = np.arange(1.0, 101.0)
    assert bca_interval(found, 0.0, np.arange(5.0)) == percentile_interval(found)
    assert percentile_interval(found) == pytest.approx((3.475, 97.525)), "99 steps from 1, a fortieth off each end"
    assert percentile_interval(found, 0.5) == pytest.approx((25.75, 75.25))


@pytest.mark.parametrize("function", [mean_intervals, sign_flip])
def test_no_users_is_an_error(function):
    with pytest.raises(ValueError, match="no users"):
        function(np.empty((0, 2)), rng())
    with pytest.raises(ValueError, match="no users"):
        effect(np.empty(0))


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=8))
def test_few_users_are_tested_exactly(values):
    differences = np.array(values, dtype=float) / 10
    signs = list(product((-1, 1), repeat=len(values)))
    far = sum(abs(np.dot(s, values)) >= abs(sum(values)) for s in signs)
    assert sign_flip(differences[:, None], rng())[0] == pytest.approx(far / len(signs))


def test_few_users_against_scipy():
    differences = rng(3).normal(0.4, 1.0, (11, 3))
    for column, p in enumerate(sign_flip(differences, rng())):
        theirs = stats.permutation_test(
            (differences[:, column],), np.mean, permutation_type="samples", n_resamples=np.inf
        )
        assert p == pytest.approx(theirs.pvalue)


def test_many_users_against_the_binomial():
    # Where users differ by a hit or not at all, flipping signs is tossing a coin for each that differs.
    for better, worse in ((60, 40), (55, 45), (30, 30), (90, 20)):
        differences = np.concatenate([np.ones(better), -np.ones(worse), np.zeros(500)])[:, None]
        exact = stats.binomtest(better, better + worse).pvalue
        assert sign_flip(differences, rng())[0] == pytest.approx(exact, abs=0.016)


def test_many_users_against_scipy():
    differences = hits(seed=3)[:, 1] - hits(seed=9)[:, 1]
    theirs = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=4999, rng=rng())
    assert sign_flip(differences[:, None], rng(1))[0] == pytest.approx(theirs.pvalue, abs=0.03)


def test_tests_are_the_same_in_any_company():
    differences = hits(seed=3) - hits(seed=9)
    other = rng(5).normal(size=(len(differences), 2))
    other[20:, 1] = 0
    few = np.zeros((len(differences), 1))
    few[:3] = 1.0
    together = sign_flip(np.concatenate([other, few, differences], axis=1), rng())
    assert together[3:] == pytest.approx(sign_flip(differences, rng()))
    assert together[2] == 0.25, "two of eight signs"


def test_p_is_never_zero_and_one_without_a_difference():
    assert sign_flip(np.ones((500, 1)), rng(), 999)[0] == pytest.approx(1 / 1000)
    assert sign_flip(np.zeros((500, 1)), rng())[0] == 1.0 and wilcoxon(np.zeros((5, 1)))[0] == 1.0
    assert sign_flip(np.zeros((5, 0)), rng()).shape == (0,)


def test_models_that_are_alike_are_rarely_told_apart():
    differences = rng(2).normal(size=(200, 400)) * rng(3).random((200, 1))
    assert (sign_flip(differences, rng(), 999) < 0.05).mean() == pytest.approx(0.05, abs=0.033)


def test_wilcoxon_by_hand():
    # All five on one side: two of the 32 ways of signs.
    assert wilcoxon(np.array([[0.1, 0.2, 0.3, 0.4, 0.5]]).T)[0] == pytest.approx(2 / 32)
    differences = rng(4).normal(0.2, 1.0, (40, 2))
    assert paired_test(differences, "wilcoxon", rng()) == pytest.approx(
        [stats.wilcoxon(column).pvalue for column in differences.T]
    )
    assert paired_test(differences, "sign-flip", rng()) == pytest.approx(sign_flip(differences, rng()))


def test_bootstrap_p_by_hand():
    assert bootstrap_p(np.array([-1.0, *[1.0] * 98])) == pytest.approx(2 * 2 / 100)
    assert bootstrap_p(np.ones(99)) == pytest.approx(2 / 100)
    assert bootstrap_p(np.zeros(99)) == 1.0
    assert bootstrap_p(-np.ones(99)) == bootstrap_p(np.ones(99))


def test_holm_by_hand():
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.5, 0.9])) == pytest.approx([1.0, 1.0])
    assert holm(np.array([0.2])) == pytest.approx([0.2]) and holm(np.empty(0)).shape == (0,)
    for wrong in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match=r"0\.\.1"):
            holm(np.array([0.5, wrong]))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_bonferroni_closed_over_all_subsets(p):
    tests = range(len(p))
    subsets = [s for size in range(1, len(p) + 1) for s in combinations(tests, size)]
    for test, corrected in enumerate(holm(np.array(p))):
        closed = max(min(1.0, len(s) * min(p[each] for each in s)) for s in subsets if test in s)
        assert corrected == pytest.approx(closed)


def test_effect_by_hand():
    found = effect(np.array([1.0, 1.0, 0.0, -1.0]))
    assert found.size == pytest.approx(0.25 / np.sqrt(11 / 12)) and (found.better, found.worse) == (0.5, 0.25)
    # Its square root of n times is Student's t.
    values = rng(6).normal(0.3, 1.0, 50)
    assert effect(values).size * np.sqrt(50) == pytest.approx(stats.ttest_1samp(values, 0).statistic)
    assert effect(np.zeros(4)).size == 0.0 and np.isnan(effect(np.full(6, 0.1)).size)
    assert np.isnan(effect(np.array([0.5])).size)


@pytest.mark.parametrize("rounding", [-1e-15, 1e-15])
def test_ties_that_rounding_breaks_are_ties_still(rounding):
    """As where means over seeds are summed up by another number of threads."""
    others = np.random.default_rng(3).random(700)
    observed, jackknife = 1 / 3, np.arange(50.0)
    exact = bca_interval(np.concatenate([others, np.full(300, observed)]), observed, jackknife)
    rounded = bca_interval(np.concatenate([others, np.full(300, observed * (1 + rounding))]), observed, jackknife)
    assert rounded == pytest.approx(exact, abs=1e-9)
