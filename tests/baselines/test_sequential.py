"""Sequential models: our losses and scores against RecBole's own, and whether each learns a small world."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from worlds import (
    dataset_of,
    fitted,
    padded_by_hand,
    pristine,
    queries_of,
    rings,
    roughened,
    training_of,
)

from bench.errors import RunFailed
from bench.ragged import Ragged
from bench.splits import make_split
from bench.tasks import judge, make_queries, select_top

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("recbole", reason="RecBole is not installed")

from baselines._recbole.batches import NegativeSampler, prefixes, windows  # noqa: E402

N_ITEMS, WIDTH = 40, 9
CAUSAL = ["sasrec", "sasrec-pairwise", "gru4rec", "gru4rec-bpr", "fdsa", "fdsa-bpr", "s3rec"]


def small_training(longest: int = WIDTH + 3):
    """Histories of 1 to `longest` training items, attributes of nought to three numbers."""
    rng = np.random.default_rng(3)
    rows = [rng.permutation(N_ITEMS)[: 3 + n % longest] for n in range(36)]
    attributes = Ragged.from_rows([rng.permutation(6)[: i % 4] + 1 for i in range(N_ITEMS)])
    return training_of(make_split(dataset_of(rows, N_ITEMS, attributes)))


def known(name: str, training: Any, **settings: Any) -> Any:
    """A model of known weights without dropout; "…-bpr" takes the other loss."""
    base = name.removesuffix("-bpr")
    settings |= {"loss": "BPR"} if base != name else {}
    settings |= {"state_size": 12} if base == "gru4rec" else {}
    settings |= {"dropout": 0.0} if base != "hgn" else {}
    settings |= {"stride": 4} if base not in ("hgn", "caser") and "stride" not in settings else {}
    return roughened(fitted(base, training, max_length=WIDTH, **settings))


def interaction(model: Any, rows: Any, **more: Any) -> Any:
    """RecBole's own form of training rows: one for each prefix, padded to the full length."""
    from recbole.data.interaction import Interaction

    items = model.encoding.items
    table, lengths = padded_by_hand([rows.inputs[r] for r in range(len(rows.users))], items, WIDTH)
    fields = {"user_id": torch.from_numpy(model.encoding.users[rows.users]), "item_id_list": table}
    fields |= {"item_length": lengths, "item_id": torch.from_numpy(items[rows.targets.values])}
    return Interaction(fields | more)


def gradients(network: Any) -> dict[str, Any]:
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", CAUSAL)
def test_every_position_in_one_pass_is_recboles_loss_over_all_prefixes(name):
    training = small_training()
    model = known(name, training, stride=1)
    ours, theirs = model.network.double().train(), pristine(model, training).double().train()
    rows = windows(training.sequences, WIDTH, 1)
    rng, chosen = np.random.default_rng(0), np.arange(len(rows.users))
    sampler = NegativeSampler(training.sequences, N_ITEMS) if model.settings.loss == "BPR" else None
    batch = model.batch(rows, chosen, sampler, rng)
    singles = prefixes(training.sequences, WIDTH)
    # RecBole's rows come in another order; a negative stays with its target.
    negative = {}
    if sampler is not None:
        owners = np.repeat(rows.users, rows.targets.lengths).tolist()
        drawn = batch["neg_item_id"].tolist()
        keyed = dict(zip(zip(owners, rows.targets.values.tolist(), strict=True), drawn, strict=True))
        wanted = zip(singles.users.tolist(), singles.targets.values.tolist(), strict=True)
        negative["neg_item_id"] = torch.tensor([keyed[key] for key in wanted])
    ours.zero_grad()
    mine = model.loss(batch)
    mine.backward()
    own = theirs.calculate_loss(interaction(model, singles, **negative))
    own.backward()
    assert mine.item() == pytest.approx(own.item(), abs=1e-5) and mine.item() > 0.1
    left, right = gradients(ours), gradients(theirs)
    assert left.keys() == right.keys() and any(g.abs().max() > 1e-3 for g in left.values())
    for key in left:
        assert torch.allclose(left[key], right[key], atol=1e-5), key
    assert ours.places is None


@pytest.mark.parametrize("name", ["sasrec", "gru4rec"])
def test_short_histories_need_one_row_a_user(name):
    training = small_training(longest=WIDTH)
    model = known(name, training)
    rows = windows(training.sequences, WIDTH, 4)
    assert len(rows.users) == int((training.sequences.lengths >= 2).sum())
    model.network.double().train()
    mine = model.loss(model.batch(rows, np.arange(len(rows.users)), None, np.random.default_rng(0)))
    own = pristine(model, training).double().calculate_loss(interaction(model, prefixes(training.sequences, WIDTH)))
    assert mine.item() == pytest.approx(own.item(), abs=1e-5)


@pytest.mark.parametrize("name", ["caser", "hgn", "caser-bpr", "hgn-bpr"])
def test_fixed_width_models_train_on_recboles_own_rows(name):
    training = small_training()
    model = known(name, training)
    rows = prefixes(training.sequences, WIDTH)
    sampler = NegativeSampler(training.sequences, N_ITEMS) if name.endswith("-bpr") else None
    batch = model.batch(rows, np.arange(len(rows.users)), sampler, np.random.default_rng(0))
    negative = {"neg_item_id": batch["neg_item_id"]} if sampler else {}
    own = pristine(model, training).calculate_loss(interaction(model, rows, **negative))
    model.network.eval()
    assert model.loss(batch).item() == pytest.approx(own.item(), abs=1e-5)


def histories_of_all_lengths() -> list[list[int]]:
    rng = np.random.default_rng(5)
    return [rng.permutation(N_ITEMS)[: 1 + n % (WIDTH + 4)].tolist() for n in range(30)]


@pytest.mark.parametrize("name", ["sasrec", "gru4rec", "fdsa", "s3rec", "caser", "hgn"])
def test_scores_of_trimmed_rows_are_recboles_over_full_length(name):
    training = small_training()
    model = known(name, training)
    histories = histories_of_all_lengths()
    queries = queries_of(histories, N_ITEMS)
    table, lengths = padded_by_hand(histories, model.encoding.items, WIDTH)
    users = torch.from_numpy(model.encoding.users[queries.users])
    with torch.no_grad():
        found = pristine(model, training).full_sort_predict(
            {"user_id": users, "item_id_list": table, "item_length": lengths}
        )
    own = np.stack([[row[model.encoding.items[item]] for item in range(N_ITEMS)] for row in found.numpy()])
    assert own.std() > 0.1
    assert np.abs(model.scores(queries) - own).max() < 1e-5
    # Ranking groups by length, seven at a time; the answers come back in the order asked.
    model.chunk = 7
    ranking, expected = model.rank(queries), select_top(own.astype(np.float32), queries)
    assert np.allclose(ranking.scores, expected.scores, atol=1e-5)
    assert (ranking.items == expected.items).mean() > 0.99


def test_positions_from_the_end_are_recboles_with_rows_and_positions_turned_round():
    training = small_training()
    model = known("sasrec", training, positions="end")
    histories = histories_of_all_lengths()
    # RecBole's own network on rows padded from the left to the full length, its position table upside down.
    own = pristine(model, training)
    with torch.no_grad():
        own.position_embedding.weight.copy_(model.network.position_embedding.weight.flip(0))
    items = model.encoding.items
    table = torch.tensor([[0] * (WIDTH - len(h[-WIDTH:])) + [int(items[i]) for i in h[-WIDTH:]] for h in histories])
    fields = {"item_id_list": table, "item_length": torch.full((len(histories),), WIDTH)}
    queries = queries_of(histories, N_ITEMS)
    with torch.no_grad():
        expected = own.full_sort_predict(fields).numpy()[:, items]
    assert np.abs(model.scores(queries) - expected).max() < 1e-5
    rows = prefixes(training.sequences, WIDTH)
    batch = model.batch(rows, np.arange(len(rows.users)), None, np.random.default_rng(0))
    inputs = [rows.inputs[r] for r in range(len(rows.users))]
    table = torch.tensor([[0] * (WIDTH - len(row)) + items[row].tolist() for row in inputs])
    fields = {"item_id_list": table, "item_length": torch.full((len(inputs),), WIDTH)}
    loss = own.calculate_loss(fields | {"item_id": torch.from_numpy(items[rows.targets.values])})
    model.network.eval()
    assert model.loss(batch).item() == pytest.approx(loss.item(), abs=1e-5)


def test_an_empty_history_is_answered():
    training = small_training()
    model = known("sasrec", training)
    scores = model.scores(queries_of([[], [1, 2]], N_ITEMS))
    assert scores.shape == (2, N_ITEMS) and np.isfinite(scores).all()


@pytest.mark.parametrize("name", ["sasrec", "caser", "bert4rec"])
def test_users_with_one_training_item_each_leave_nothing_to_train_on(name):
    training = training_of(make_split(dataset_of([[n, n + 1, n + 2] for n in range(10)], 12)))
    with pytest.raises(RunFailed, match="nothing to train on"):
        fitted(name, training)


LEARNT = {
    "sasrec": {"dropout": 0.1, "epochs": 10},
    "sasrec-pairwise": {"dropout": 0.0, "epochs": 30},
    "gru4rec": {"dropout": 0.0, "epochs": 10, "state_size": 16, "learning_rate": 0.02},
    "fdsa": {"dropout": 0.0, "epochs": 10},
    "s3rec": {"dropout": 0.1, "epochs": 10, "pretrain_epochs": 2, "pretrain_batch_size": 64},
    "caser": {"dropout": 0.0, "epochs": 20, "hidden_size": 32, "max_length": 3, "learning_rate": 0.02},
    "hgn": {"epochs": 20, "learning_rate": 0.02, "max_length": 3},
    "bert4rec": {"dropout": 0.0, "epochs": 40, "max_length": 5},
}


@pytest.mark.parametrize("name", [*LEARNT, "sasrec from the end"])
def test_each_learns_that_the_next_item_follows_from_the_last(name):
    split = rings()
    name, _, end = name.partition(" ")
    how = {"hidden_size": 16, "learning_rate": 0.01, "evaluate_every": 5} | LEARNT[name]
    how |= {"positions": "end"} if end else {}
    model = fitted(name, training_of(split), **how)
    queries = make_queries(split, "sequential", "test")
    reached = judge(model.rank(queries), queries, split.truth("test"))
    # Caser pools over places and learns slowest.
    assert reached["HR@1"].mean() > (0.6 if name == "caser" else 0.9)
