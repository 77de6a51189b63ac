"""MF and pairs: every interaction once an epoch, honest negatives, RecBole's loss and scores, and learning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from worlds import blocks, dataset_of, fitted, pristine, roughened, training_of

from bench.models import Context, discover
from bench.splits import make_split
from bench.tasks import judge, make_queries

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("recbole", reason="RecBole is not installed")


def test_an_epoch_is_every_interaction_once_against_an_unseen_item():
    training = training_of(blocks(n_users=60))
    model = fitted("mf", training)
    users = {int(number): user for user, number in enumerate(model.encoding.users)}
    items = {int(number): item for item, number in enumerate(model.encoding.items)}
    expected = sorted(zip(training.sequences.row_of.tolist(), training.sequences.values.tolist(), strict=True))
    epoch, rng = model.epoch(training), np.random.default_rng(0)
    seen = set(expected)
    orders, against = [], []
    for _ in range(2):
        pairs, negatives = [], []
        for batch in epoch(rng):
            columns = [batch[name].tolist() for name in ("user_id", "item_id", "neg_item_id")]
            assert len(columns[0]) <= 64
            for user, item, negative in zip(*columns, strict=True):
                pairs.append((users[user], items[item]))
                negatives.append((users[user], items[negative]))
        assert sorted(pairs) == expected and not seen & set(negatives)
        orders.append(pairs), against.append(sorted(negatives))
    assert orders[0] != orders[1] and against[0] != against[1]


def test_loss_and_scores_are_recboles():
    split = blocks(n_users=60)
    training = training_of(split)
    model = roughened(fitted("mf", training))
    network = pristine(model, training)
    batch = next(iter(model.epoch(training)(np.random.default_rng(0))))
    user, item = network.user_embedding.weight, network.item_embedding.weight
    margin = (user[batch["user_id"]] * (item[batch["item_id"]] - item[batch["neg_item_id"]])).sum(1)
    by_hand = torch.nn.functional.softplus(-margin).mean().item()
    assert model.loss(batch).item() == pytest.approx(network.calculate_loss(batch).item(), abs=1e-6)
    assert model.loss(batch).item() == pytest.approx(by_hand, abs=1e-5)
    queries = make_queries(split, "sequential", "test")
    numbers = torch.from_numpy(model.encoding.users[queries.users])
    with torch.no_grad():
        own = network.full_sort_predict({"user_id": numbers}).view(len(queries), -1).numpy()
    expected = own[:, model.encoding.items]
    assert expected.std() > 0.1 and np.abs(model.scores(queries) - expected).max() < 1e-5


@pytest.mark.parametrize("name", ["mf", "mlp"])
def test_candidates_score_as_they_do_in_the_catalogue(name):
    split = blocks(n_users=60)
    model = roughened(fitted(name, training_of(split)))
    queries = make_queries(split, "topn", "test")
    assert queries.candidates is not None
    catalogue = np.take_along_axis(model.scores(queries), queries.candidates, axis=1)
    assert np.abs(model.candidate_scores(queries) - catalogue).max() < 1e-5


def hit_ratio(model: Any, split: Any, name: str = "HR@5") -> float:
    queries = make_queries(split, "topn", "test")
    return float(judge(model.rank(queries), queries, split.truth("test"))[name].mean())


@pytest.mark.parametrize(
    ("name", "how"),
    [("mf", {"learning_rate": 0.02}), ("mlp", {"learning_rate": 0.01, "layers": (16, 8), "dropout": 0.0})],
)
def test_taste_is_learnt_where_popularity_knows_nothing(name, how):
    split = blocks()
    training = training_of(split)
    popular = discover().get("popularity")
    rival = popular.build(popular.settings())
    rival.fit(training, Context(0))
    model = fitted(name, training, hidden_size=16, epochs=30, evaluate_every=5, **how)
    assert hit_ratio(rival, split) < 0.2 < 0.8 < hit_ratio(model, split)


def test_users_and_items_never_trained_on_still_get_scores():
    rng = np.random.default_rng(0)
    rows = [rng.permutation(20)[: 3 + n % 5] for n in range(20)] + [[], [19]]
    split = make_split(dataset_of(rows, 130))
    training = training_of(split)
    for name in ("mf", "mlp"):
        model = fitted(name, training)
        ranking = model.rank(make_queries(split, "sequential", "test"))
        assert (ranking.items >= 0).all() and np.isfinite(ranking.scores).all()
