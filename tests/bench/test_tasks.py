"""Queries, the one place where ties are broken, and the referee's refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data.demo import make_demo
from bench.ragged import Ragged
from bench.splits import make_split
from bench.tasks import Queries, Ranking, check_ranking, judge, make_queries, select_top, tie_keys


def queries_of(histories, n_items, candidates=None, **more) -> Queries:
    return Queries(
        "sequential" if candidates is None else "topn",
        "test",
        np.arange(len(histories), dtype=np.int32),
        Ragged.from_rows(histories),
        None if candidates is None else np.array(candidates, np.int32),
        n_items,
        **more,
    )


def brute_force(scores, queries):
    """Sort every item of every query by (score, hash), the slow and plain way."""
    items = []
    for row in range(len(queries)):
        allowed = range(queries.n_items) if queries.candidates is None else queries.candidates[row].tolist()
        barred = set() if queries.keep_history or queries.candidates is not None else set(queries.histories[row])
        value = {
            item: float(scores[row, place])
            for place, item in enumerate(allowed)
            if item >= 0 and item not in barred and scores[row, place] > -np.inf
        }
        ranked = sorted(value, key=lambda item: (-value[item], int(tie_keys(queries.users[row], np.array([item]))[0])))
        items.append((ranked + [-1] * queries.k)[: queries.k])
    return items


@st.composite
def questions(draw):
    n, n_items = draw(st.integers(1, 5)), draw(st.integers(1, 14))
    histories = draw(st.lists(st.lists(st.integers(0, n_items - 1), max_size=5), min_size=n, max_size=n))
    candidates = None
    if draw(st.booleans()):
        width = draw(st.integers(1, n_items))
        orders = draw(st.lists(st.permutations(range(n_items)), min_size=n, max_size=n))
        missing = draw(st.integers(0, width - 1))
        candidates = [list(order[: width - missing]) + [-1] * missing for order in orders]
    k, keep = draw(st.integers(1, 16)), draw(st.booleans())
    queries = queries_of(histories, n_items, candidates, k=k, keep_history=keep)
    width = n_items if candidates is None else len(candidates[0])
    level = st.sampled_from([-np.inf, -1.5, 0.0, 0.0, 2.0, np.inf, np.nan])  # few levels, so that ties abound
    rows = draw(st.lists(st.lists(level, min_size=width, max_size=width), min_size=n, max_size=n))
    return np.array(rows, np.float32), queries


@given(questions())
def test_select_top_is_a_full_sort(question):
    scores, queries = question
    expected = brute_force(scores, queries)
    ranking = select_top(scores.copy(), queries)
    assert ranking.items.tolist() == expected
    assert ranking.items.dtype == np.int32 and ranking.scores.dtype == np.float32
    assert ((ranking.scores == -np.inf) == (ranking.items < 0)).all()
    assert (ranking.scores[:, 1:] <= ranking.scores[:, :-1]).all()
    check_ranking(ranking, queries)


@given(questions(), st.randoms(use_true_random=False))
def test_an_answer_does_not_depend_on_who_shares_the_batch(question, random):
    scores, queries = question
    together = select_top(scores.copy(), queries)
    order = np.array(random.sample(range(len(queries)), len(queries)))
    apart = select_top(scores[order], queries.take(order))
    assert np.array_equal(together.items[order], apart.items)
    for row in range(len(queries)):
        alone = select_top(scores[[row]], queries.take(np.array([row])))
        assert np.array_equal(alone.items[0], together.items[row])


@pytest.mark.parametrize("levels", [1, 3])
def test_ties_favour_neither_the_truth_nor_low_numbers(levels):
    n, n_items, k = 20_000, 50, 10
    rng = np.random.default_rng(4)
    queries = queries_of([[]] * n, n_items, k=k)
    scores = rng.integers(0, levels, (n, n_items)).astype(np.float32)
    ranking = select_top(scores.copy(), queries)
    share = np.bincount(ranking.items.ravel(), minlength=n_items) / n
    # Each item is listed with probability k / n_items; five standard errors either way.
    error = np.sqrt(0.2 * 0.8 / n)
    assert np.abs(share - k / n_items).max() < 5 * error
    first = np.bincount(ranking.items[:, 0], minlength=n_items) / n
    assert np.abs(first - 1 / n_items).max() < 5 * np.sqrt(0.02 * 0.98 / n)
    for truth in (0, n_items - 1):  # what a referee that sorts by number would rank first or last
        hit = judge(ranking, queries, np.full(n, truth))["HR@10"].mean()
        assert abs(hit - k / n_items) < 5 * error


def test_ties_among_candidates_do_not_favour_their_place():
    n = 20_000
    rng = np.random.default_rng(5)
    candidates = rng.permuted(np.tile(np.arange(100, dtype=np.int32), (n, 1)), axis=1)
    queries = queries_of([[]] * n, 100, candidates, k=10)
    ranking = select_top(np.zeros((n, 100), np.float32), queries)
    place = np.argmax(candidates == ranking.items[:, :1], axis=1)
    counts = np.bincount(place, minlength=100)
    assert ((counts - n / 100) ** 2 / (n / 100)).sum() < 99 + 5 * np.sqrt(2 * 99)  # chi-square, 99 degrees


def test_tie_keys_differ_for_every_pair():
    keys = tie_keys(np.arange(500)[:, None], np.arange(500))
    assert len(np.unique(keys)) == 500 * 500
    assert keys.dtype == np.uint64 and int(tie_keys(np.array(3), np.array(7))) == int(keys[3, 7])


def test_history_is_removed_unless_kept_and_the_list_may_be_short():
    queries = queries_of([[0, 2], []], 4, k=5)
    scores = np.array([[9, 1, 8, 2], [9, 1, 8, 2]], np.float32)
    assert select_top(scores.copy(), queries).items.tolist() == [[3, 1, -1, -1, -1], [0, 2, 3, 1, -1]]
    kept = replace(queries, keep_history=True)
    assert select_top(scores.copy(), kept).items.tolist() == [[0, 2, 3, 1, -1]] * 2


def test_scores_of_another_shape_or_kind_are_refused():
    queries = queries_of([[0]], 4)
    with pytest.raises(ValueError, match=r"must be \(1, 4\)"):
        select_top(np.zeros((1, 5), np.float32), queries)
    with pytest.raises(ValueError, match="floating-point"):
        select_top(np.zeros((1, 4), np.int64), queries)


def test_no_queries_no_answers():
    queries = queries_of([], 4)
    assert select_top(np.zeros((0, 4), np.float32), queries).items.shape == (0, 20)
    assert list(queries.chunks(3)) == []


def test_queries_of_a_split():
    split = make_split(make_demo())
    for stage in ("valid", "test"):
        queries = make_queries(split, "sequential", stage)
        assert queries.candidates is None and not queries.keep_history and len(queries) == len(split.users)
        topn = make_queries(split, "topn", stage, keep_history=True)
        assert topn.candidates is split.candidates[stage] and topn.keep_history
        for row, user in enumerate(queries.users[:20]):
            whole = split.dataset.sequences[int(user)].tolist()
            assert queries.histories[row].tolist() == whole[: -2 if stage == "valid" else -1]
    parts = list(topn.chunks(128))
    assert [place.stop - place.start for place, _ in parts] == [128, 128, 128, len(topn) - 384]
    assert np.array_equal(np.concatenate([part.users for _, part in parts]), topn.users)
    assert np.array_equal(parts[1][1].candidates, topn.candidates[128:256])


def answer(items, queries) -> Ranking:
    items = np.array(items)
    return Ranking(items, np.zeros(items.shape, np.float32))


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([[4, 5, -1], [1, 2, 9]], "user 1 (query 1) holds an item outside the catalogue"),
        ([[4, 5, -2], [1, 2, 3]], "user 0 (query 0) holds an item outside the catalogue"),
        ([[4, 5, 4], [1, 2, 3]], "user 0 (query 0) holds an item twice"),
        ([[4, 5, -1], [1, 2, 7]], "user 1 (query 1) holds an item of the history"),
        ([[4, 5], [1, 2]], "ranking must be (2, 3), got (2, 2)"),
        ([[4.0, 5.0, 6.0], [1, 2, 3]], "items must be whole numbers, got float64"),
    ],
)
def test_each_broken_rule_has_its_words(items, words):
    queries = queries_of([[0, 1], [7]], 9, k=3)
    with pytest.raises(ValueError) as caught:
        judge(answer(items, queries), queries, np.array([2, 3]))
    assert words in str(caught.value)


def test_scores_must_match_the_items():
    queries = queries_of([[0]], 9, k=2)
    with pytest.raises(ValueError, match="ranking must be"):
        check_ranking(Ranking(np.array([[1, 2]]), np.zeros((1, 3))), queries)


def test_candidates_are_the_only_choice():
    queries = queries_of([[0], [1]], 9, [[2, 3, 4], [5, 6, -1]], k=3)
    check_ranking(answer([[4, 2, 3], [6, -1, -1]], queries), queries)
    with pytest.raises(ValueError, match=r"user 1 \(query 1\) holds an item outside the candidates"):
        check_ranking(answer([[4, 2, 3], [6, 2, -1]], queries), queries)
    # The highest item of one row must not pass for the missing candidate of the next.
    with pytest.raises(ValueError, match=r"query 0"):
        check_ranking(answer([[8, 2, 3], [6, -1, -1]], queries), queries)


def test_the_first_offender_is_named_across_blocks():
    n = 20_000
    queries = queries_of([[0]] * n, 30, k=2)
    items = np.tile([1, 2], (n, 1))
    items[[9_000, 17_000]] = [0, 3]
    with pytest.raises(ValueError, match=r"query 9000\) holds an item of the history"):
        check_ranking(answer(items, queries), queries)


@given(questions(), st.data())
def test_the_referee_finds_what_sets_find(question, data):
    _, queries = question
    choice = st.integers(-1, queries.n_items - 1)
    row = st.lists(choice, min_size=queries.k, max_size=queries.k)
    items = data.draw(st.lists(row, min_size=len(queries), max_size=len(queries)))
    repeats = data.draw(st.booleans())
    fine = True
    for place, listed in enumerate(items):
        real = [item for item in listed if item >= 0]
        fine &= repeats or len(set(real)) == len(real)
        if queries.candidates is not None:
            fine &= set(real) <= set(queries.candidates[place].tolist())
        elif not queries.keep_history:
            fine &= not set(real) & set(queries.histories[place].tolist())
    ranking = answer(items, queries)
    if fine:
        check_ranking(ranking, queries, repeats=repeats)
    else:
        with pytest.raises(ValueError, match="holds"):
            check_ranking(ranking, queries, repeats=repeats)


def test_judge_gives_metrics_and_the_place_of_the_truth():
    queries = queries_of([[0], [0], [0]], 40, k=12)
    items = np.tile(np.arange(1, 13), (3, 1))
    values = judge(answer(items, queries), queries, np.array([1, 11, 30]))
    assert values["rank"].tolist() == [1, 11, 0]
    assert values["HR@10"].tolist() == [1, 0, 0] and values["NDCG@5"].tolist() == [1, 0, 0]
    items[0] = 1
    with pytest.raises(ValueError, match="twice"):
        judge(answer(items, queries), queries, np.array([1, 2, 3]))
    counted = judge(answer(items, queries), queries, np.array([1, 2, 3]), per_occurrence=True)
    assert counted["HR@10"].tolist() == [10, 1, 1] and counted["rank"].tolist() == [1, 2, 3]
