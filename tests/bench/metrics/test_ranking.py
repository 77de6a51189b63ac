"""Hit ratio and NDCG against hand counts, the authors' own code, RecBole's evaluator and ir-measures."""

from __future__ import annotations

import importlib.util
import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.metrics.ranking import CUTOFFS, first_rank, hit_ratio, ndcg, ranking_scores


def random_lists(n: int = 300, m: int = 20, items: int = 60, seed: int = 0):
    rng = np.random.default_rng(seed)
    ranked = np.argsort(rng.random((n, items)), axis=1)[:, :m].astype(np.int32)
    ranked[: n // 10, m // 2 :] = -1
    return ranked, rng.integers(0, items, n).astype(np.int32)


def test_by_hand():
    ranked = np.array([[7, 3, 5], [1, 2, -1], [-1, -1, -1], [4, 4, 4]])
    truth = np.array([5, 9, 0, 4])
    assert hit_ratio(ranked, truth, 1).tolist() == [0, 0, 0, 1]
    assert hit_ratio(ranked, truth, 3).tolist() == [1, 0, 0, 1]
    assert ndcg(ranked, truth, 3).tolist() == [0.5, 0, 0, 1]
    assert ndcg(ranked, truth, 2).tolist() == [0, 0, 0, 1]
    assert first_rank(ranked, truth).tolist() == [3, 0, 0, 1]


def test_repeated_ids_count_once_unless_asked():
    ranked, truth = np.array([[4, 1, 4, 4]]), np.array([4])
    assert hit_ratio(ranked, truth, 4).tolist() == [1]
    assert hit_ratio(ranked, truth, 4, per_occurrence=True).tolist() == [3]
    assert hit_ratio(ranked, truth, 2, per_occurrence=True).tolist() == [1]
    assert ndcg(ranked, truth, 4).tolist() == [1]
    assert ndcg(ranked, truth, 4, per_occurrence=True)[0] == pytest.approx(1 + 0.5 + 1 / np.log2(5), rel=1e-15)


def test_the_dict_holds_the_papers_metrics_under_their_names():
    ranked, truth = random_lists()
    scores = ranking_scores(ranked, truth)
    assert list(scores) == ["HR@1", "HR@5", "NDCG@5", "HR@10", "NDCG@10"]
    assert all(column.shape == truth.shape and column.dtype == np.float64 for column in scores.values())
    assert np.array_equal(scores["HR@5"], hit_ratio(ranked, truth, 5))
    assert np.array_equal(scores["NDCG@10"], ndcg(ranked, truth, 10))


def test_no_users_give_empty_columns():
    scores = ranking_scores(np.empty((0, 20), np.int32), np.empty(0, np.int32), per_occurrence=True)
    assert all(column.shape == (0,) for column in scores.values())


@pytest.mark.parametrize("function", [hit_ratio, ndcg])
@pytest.mark.parametrize(
    ("ranked", "truth", "k", "words"),
    [
        ([[1, 2]], [1, 2], 1, r"got \(1, 2\) and \(2,\)"),
        ([1, 2], [1, 2], 1, r"ranked must be \(n, m\)"),
        ([[1, 2]], [1], 3, r"k must lie in 1\.\.2, got 3"),
        ([[1, 2]], [1], 0, "got 0"),
        ([[1, -1]], [-1], 1, "negative id"),
    ],
)
def test_what_does_not_fit_is_refused(function, ranked, truth, k, words):
    with pytest.raises(ValueError, match=words):
        function(np.array(ranked), np.array(truth), k)


def test_the_authors_own_figures(shared):
    golden = json.loads((shared / "golden" / "ranking_metrics.json").read_text())
    ranked, truth = np.array(golden["lists"]), np.array(golden["truth"])
    for name, function in (("HR", hit_ratio), ("NDCG", ndcg)):
        for k in (1, 5, 10):
            for per_occurrence in (False, True):  # the lists hold no id twice, so both ways agree
                mean = float(function(ranked, truth, k, per_occurrence=per_occurrence).mean())
                assert mean == pytest.approx(golden[f"{name}@{k}"], abs=1e-15)


def test_ir_measures_agrees_user_by_user():
    import ir_measures
    from ir_measures import Qrel, ScoredDoc, Success, nDCG

    ranked, truth = random_lists(seed=1)
    qrels = [Qrel(f"q{row}", f"d{item}", 1) for row, item in enumerate(truth)]
    run = [
        ScoredDoc(f"q{row}", f"d{item}", float(-place))
        for row, places in enumerate(ranked)
        for place, item in enumerate(places)
        if item >= 0
    ]
    measures = {Success @ k if name == "HR" else nDCG @ k: f"{name}@{k}" for name, k in CUTOFFS}
    ours, seen = ranking_scores(ranked, truth), 0
    for found in ir_measures.iter_calc(list(measures), qrels, run):
        column = ours[measures[found.measure]]
        assert column[int(found.query_id[1:])] == pytest.approx(found.value, abs=1e-12)
        seen += 1
    assert seen == len(truth) * len(CUTOFFS)


def test_recboles_evaluator_agrees_user_by_user(monkeypatch):
    if importlib.util.find_spec("recbole") is None:
        pytest.skip("recbole is not installed")
    torch = pytest.importorskip("torch")
    importlib.import_module("baselines._recbole.bridge")  # defines the names that RecBole misses in numpy 2
    monkeypatch.setattr(np, "float", float, raising=False)  # its NDCG alone uses this one
    from recbole.evaluator.collector import Collector
    from recbole.evaluator.metrics import NDCG, Hit

    rng = np.random.default_rng(2)
    scores = rng.permuted(np.tile(np.arange(50.0), (400, 1)), axis=1)
    truth = rng.integers(0, 50, 400)
    config = {
        "topk": [1, 5, 10],
        "metrics": ["Hit", "NDCG"],
        "metric_decimal_place": 12,
        "eval_args": {"mode": "full"},
        "device": "cpu",
    }
    collector = Collector(config)
    collector.eval_batch_collect(torch.from_numpy(scores), None, torch.arange(400), torch.from_numpy(truth))
    places, counts = Hit(config).used_info(collector.data_struct)
    theirs = {"HR": Hit(config).metric_info(places), "NDCG": NDCG(config).metric_info(places, counts)}
    ours = ranking_scores(np.argsort(-scores, axis=1)[:, :10].astype(np.int32), truth.astype(np.int32))
    for name, k in CUTOFFS:
        np.testing.assert_allclose(ours[f"{name}@{k}"], theirs[name][:, k - 1], rtol=0, atol=1e-12)
    means = {
        **Hit(config).calculate_metric(collector.data_struct),
        **NDCG(config).calculate_metric(collector.data_struct),
    }
    assert means["ndcg@10"] == pytest.approx(ours["NDCG@10"].mean(), abs=1e-11)


lists = st.integers(1, 12).flatmap(
    lambda m: st.lists(
        st.tuples(st.lists(st.integers(-1, 15), min_size=m, max_size=m), st.integers(0, 15)), min_size=1, max_size=8
    )
)


@given(lists)
def test_first_rank_is_where_a_search_finds_it(rows):
    ranked, truth = np.array([row for row, _ in rows]), np.array([item for _, item in rows])
    expected = [row.index(item) + 1 if item in row else 0 for row, item in rows]
    assert first_rank(ranked, truth).tolist() == expected
    for k in range(1, ranked.shape[1] + 1):
        rank = np.array(expected)
        inside = (rank > 0) & (rank <= k)
        assert hit_ratio(ranked, truth, k).tolist() == inside.tolist()
        np.testing.assert_allclose(ndcg(ranked, truth, k), inside / np.log2(np.maximum(rank, 1) + 1))


@given(lists)
def test_longer_lists_never_lose_and_bounds_hold(rows):
    ranked, truth = np.array([row for row, _ in rows]), np.array([item for _, item in rows])
    for function in (hit_ratio, ndcg):
        columns = [function(ranked, truth, k) for k in range(1, ranked.shape[1] + 1)]
        assert all((a <= b).all() for a, b in pairwise(columns))
        assert columns[-1].min() >= 0 and columns[-1].max() <= 1
        assert (function(ranked, truth, 1, per_occurrence=True) == columns[0]).all()
