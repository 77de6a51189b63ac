"""Differences seed by seed, by hand."""

import pytest

from bench.report.seeds import differences_by_seed, of_one_sign, seed_range, seeds_in_words


@pytest.mark.parametrize(
    ("ours", "theirs", "found"),
    [
        ({0: 5.0, 1: 7.0}, {0: 4.0, 1: 9.0}, (1.0, -2.0)),
        ({1: 7.0, 0: 5.0}, {0: 4.0}, (1.0, 3.0)),  # theirs knows no chance
        ({0: 5.0}, {0: 4.0, 1: 9.0}, (1.0, -4.0)),
        ({0: 5.0, 1: 7.0}, {0: 4.0, 2: 8.0}, (1.0, 1.0, -2.0)),  # means stand in: 6 of ours, 6 of theirs
        ({0: 5.0}, {0: 4.0}, (1.0,)),
    ],
)
def test_every_seed_has_a_difference(ours, theirs, found):
    assert differences_by_seed(ours, theirs) == found


def test_signs():
    assert of_one_sign((0.1, 0.0)) and of_one_sign((-0.1, 0.0)) and of_one_sign(()) and of_one_sign((0.0, 0.0))
    assert not of_one_sign((0.1, -0.1, 0.2))


def test_one_seed_is_told_of_nowhere():
    assert seeds_in_words((0.5,), 2) == "" and seed_range((0.5,)) == {}
    assert seeds_in_words((0.5, -0.25), 2) == " (by seed +0.50, -0.25)"
    assert seed_range((0.5, -0.25)) == {"difference_least_seed": -0.25, "difference_most_seed": 0.5}
