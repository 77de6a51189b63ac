"""Margins: of the two best cuts, and true: below it, rounding turns no cut, whatever stands before."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pod.margins import GRID, Margins
from pod.tokens import Tokenizer


def all_cuts(text: str, scores: dict[str, float]) -> list[float]:
    """The scores of every way to cut a text, by trying every set of borders, best first."""
    found = []
    for borders in product((False, True), repeat=len(text) - 1):
        parts, start = [], 0
        for place, border in enumerate(borders, 1):
            if border:
                parts.append(text[start:place])
                start = place
        parts.append(text[start:])
        if all(part in scores for part in parts):
            found.append(sum(scores[part] for part in parts))
    return sorted(found, reverse=True)


def cut_after(before: float, text: str, scores: dict[str, float]) -> list[str]:
    """How a text is cut that begins with this sum behind it, all sums in single precision."""
    sums = [np.float32(before), *[np.float32(-np.inf)] * len(text)]
    starts = [0] * (len(text) + 1)
    for start in range(len(text)):
        for end in range(start + 1, len(text) + 1):
            score = scores.get(text[start:end])
            if score is not None and np.float32(score) + sums[start] > sums[end]:
                sums[end], starts[end] = np.float32(score) + sums[start], start
    pieces, end = [], len(text)
    while end:
        pieces.append(text[starts[end] : end])
        end = starts[end]
    return pieces[::-1]


@settings(deadline=None)
@given(st.integers(0, 99999), st.sampled_from(["", ",", "1,", ",1", " a"]), st.sampled_from(["", "(a", "12 b_"]))
def test_margins_are_of_the_two_best_cuts(toy: Tokenizer, number: int, after: str, before: str):
    costs, margins = Margins(toy.scores).of_numbers(before, np.array([number, 7]), after)
    text = "▁" + f"{before}{number}{after}".replace(" ", "▁")
    cuts = all_cuts(text, toy.scores)
    gap = cuts[0] - cuts[1] if len(cuts) > 1 else np.inf
    assert costs[0] == pytest.approx(-cuts[0])
    if gap < 1e-9:
        assert margins[0] < 1e-2
    else:
        # Between what two ways of one piece each, and of as many pieces as letters, could lose to rounding.
        assert gap * 2**24 / (2 * len(text) + 2) <= margins[0] * 1.0001
        assert margins[0] <= gap * 2**24 / 4
    assert Margins(toy.scores).of_text(f"{before}{number}{after}") == pytest.approx((costs[0], margins[0]), rel=1e-6)


@settings(deadline=None, max_examples=200)
@given(number=st.integers(0, 99999), after=st.sampled_from(["", ",", "2,"]), share=st.floats(0.01, 0.999))
def test_below_the_margin_no_sum_before_turns_a_cut(toy: Tokenizer, number: int, after: str, share: float):
    (cost,), (margin,) = Margins(toy.scores).of_numbers("item_", np.array([number]), after)
    assume(margin > cost)
    text = f"▁item_{number}{after}"
    alone = cut_after(0.0, text, toy.scores)
    assert alone == toy.pieces(text[1:])
    before = share * (min(margin, 1e7) - cost)
    assert cut_after(-before, text, toy.scores) == alone


def test_far_above_it_some_do_turn(t5: Tokenizer):
    numbers = np.arange(1, 12102)
    _, margins = Margins(t5.scores).of_numbers("item_", numbers, "")
    close = numbers[margins < 3000]
    assert 10 < len(close) < 60
    turned = 0
    for number in close.tolist():
        text = f"▁item_{number}"
        cuts = {tuple(cut_after(-before, text, t5.scores)) for before in np.linspace(0, 4000, 60)}
        turned += len(cuts) > 1
    assert turned >= 3


def test_the_emulation_is_what_sentencepiece_does_in_a_text(t5: Tokenizer):
    """So the two tests above speak of the library itself."""
    rng = np.random.default_rng(8)
    for _ in range(20):
        names = [f"item_{number}" for number in rng.choice([4603, 8888, 284, 433, 444, 1054, 1, 22], 60)]
        pieces, behind = [], np.float32(0.0)
        for name in names:
            cut = cut_after(float(behind), f"▁{name}", t5.scores)
            for piece in cut:
                behind = behind + np.float32(t5.scores[piece])
            pieces += cut
        assert pieces == t5.pieces(" ".join(names))


def test_where_there_is_one_way_or_none(toy: Tokenizer):
    margins = Margins(toy.scores)
    assert margins.of_text("  ") == (0.0, np.inf)
    assert margins.of_text("after the")[1] == np.inf
    assert margins.of_text("z") == (0.0, 0.0)
    assert Margins({**toy.scores, "after▁the": -1.0}).of_text("after")[1] == 0.0
    cost, margin = margins.of_numbers("item_", np.empty(0, np.int64), "")
    assert len(cost) == len(margin) == 0


@settings(deadline=None)
@given(number=st.integers(0, 99999), before=st.integers(0, 2**14))
def test_on_the_grid_even_ties_stay(toy: Tokenizer, number: int, before: int):
    scores = {piece: round(score / GRID) * GRID for piece, score in toy.scores.items()}
    _, margins = Margins(scores).of_numbers("item_", np.array([number]), "")
    assert margins[0] == 2.0**16
    text = f"▁item_{number}"
    assert cut_after(-before, text, scores) == cut_after(0.0, text, scores)


def test_many_numbers_at_once_are_each_on_its_own(t5: Tokenizer):
    margins = Margins(t5.scores)
    numbers = np.random.default_rng(3).permutation(40000)[:500]
    costs, found = margins.of_numbers("(user_", numbers, "),")
    for place in range(0, 500, 25):
        one = margins.of_numbers("(user_", numbers[place : place + 1], "),")
        assert (costs[place], found[place]) == (one[0][0], one[1][0])
        text = margins.of_text(f"(user_{numbers[place]}),")
        assert text == pytest.approx((costs[place], found[place]), rel=1e-9)
