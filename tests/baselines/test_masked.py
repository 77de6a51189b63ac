"""BERT4Rec: masked batches, their loss by hand, and scores against RecBole's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from worlds import dataset_of, fitted, padded_by_hand, pristine, queries_of, roughened, training_of

from bench.models import Training
from bench.splits import make_split

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("recbole", reason="RecBole is not installed")

N_ITEMS, WIDTH, RATIO, COPIES = 40, 9, 0.4, 3


def small_training() -> Training:
    rng = np.random.default_rng(3)
    return training_of(make_split(dataset_of([rng.permutation(N_ITEMS)[: 3 + n % 12] for n in range(36)], N_ITEMS)))


@pytest.fixture(scope="module")
def model() -> Any:
    how = {"dropout": 0.0, "max_length": WIDTH, "mask_ratio": RATIO, "copies": COPIES}
    return roughened(fitted("bert4rec", small_training(), **how))


def test_a_history_scores_as_recbole_scores_it_behind_one_item_that_it_drops(model):
    rng = np.random.default_rng(5)
    histories = [rng.permutation(N_ITEMS)[: 1 + n % (WIDTH - 1)].tolist() for n in range(24)]
    queries = queries_of(histories, N_ITEMS)
    items = model.encoding.items
    table, lengths = padded_by_hand([[0, *history] for history in histories], items, WIDTH)
    network = pristine(model, small_training())
    with torch.no_grad():
        own = network.full_sort_predict({"item_id_list": table, "item_length": lengths}).numpy()[:, items]
    assert own.std() > 0.1
    assert np.abs(model.scores(queries) - own).max() < 1e-5
    model.chunk = 5
    ranking = model.rank(queries)
    for row, history in enumerate(histories):
        expected = np.sort(np.delete(own[row], history))[::-1][:20]
        assert np.allclose(ranking.scores[row], expected, atol=1e-5)


def test_only_the_last_items_that_fit_beside_the_mask_count(model):
    history = list(range(WIDTH + 5))
    long, short = queries_of([history], N_ITEMS), queries_of([history[-(WIDTH - 1) :]], N_ITEMS)
    assert np.array_equal(model.scores(long), model.scores(short))
    assert np.isfinite(model.scores(queries_of([[]], N_ITEMS))).all()


def test_masked_batches_hide_the_right_number_in_the_right_places(model):
    training = small_training()
    ours = {int(number): item for item, number in enumerate(model.encoding.items)}
    sequences = [training.sequences[u][-WIDTH:].tolist() for u in range(training.n_users)]
    rows_of: dict[tuple[int, ...], list[set[int]]] = {}
    for batch in model.epoch(training)(np.random.default_rng(0)):
        table, truth, places = (batch[n].numpy() for n in ("Mask_item_id_list", "Pos_item_id", "MASK_INDEX"))
        assert set(np.unique(places[:, 0])) <= set(range(1, WIDTH))
        for row in range(len(table)):
            hidden = {int(place) for place in places[row] if place > 0}
            assert hidden == set(np.flatnonzero(table[row] == model.network.mask_token).tolist())
            assert len(hidden) == int((places[row] > 0).sum()) and 0 not in hidden
            whole = table[row].copy()
            whole[places[row][places[row] > 0]] = truth[row][places[row] > 0]
            items = tuple(ours[int(number)] for number in whole if number)
            assert len(items) == (whole > 0).sum() and not whole[len(items) :].any()
            rows_of.setdefault(items, []).append(hidden)
    expected = {tuple(items) for items in sequences if len(items) >= 2}
    assert rows_of.keys() == expected
    for items, masks in rows_of.items():
        many = min(max(1, round(len(items) * RATIO)), len(items) - 1)
        assert len(masks) == COPIES + 1 and {len(items) - 1} in masks
        assert sorted(map(len, masks)) == sorted([1] + [many] * COPIES)


def test_masks_fall_anywhere_but_first_and_change_with_the_epoch(model):
    epoch, rng = model.epoch(small_training()), np.random.default_rng(0)
    counts = np.zeros(WIDTH, int)
    for _ in range(30):
        for batch in epoch(rng):
            full = (batch["Mask_item_id_list"] > 0).all(1).numpy() & (batch["Mask_item_id_list"].shape[1] == WIDTH)
            places = batch["MASK_INDEX"].numpy()[full]
            counts += np.bincount(places[places > 0], minlength=WIDTH)
    # Place 8 is also masked alone, once for every three maskings of four places each: 1.5 + 0.5 + …
    assert counts[0] == 0 and counts[1:-1].min() > 0.8 * counts[1:-1].max() and counts[-1] > counts[1:-1].max()


def test_the_loss_is_the_cross_entropy_at_the_masks(model):
    network = model.network.eval()
    weight, bias = network.item_embedding.weight.detach().numpy(), network.output_bias.detach().numpy()
    for batch in model.epoch(small_training())(np.random.default_rng(1)):
        with torch.no_grad():
            states = network(batch["Mask_item_id_list"]).numpy().astype(np.float64)
        losses = []
        for row, (places, truth) in enumerate(
            zip(batch["MASK_INDEX"].tolist(), batch["Pos_item_id"].tolist(), strict=True)
        ):
            for place, item in zip(places, truth, strict=True):
                if place:
                    logits = weight[: N_ITEMS + 1] @ states[row, place] + bias
                    losses.append(np.log(np.exp(logits).sum()) - logits[item])
        assert model.loss(batch).item() == pytest.approx(np.mean(losses), abs=1e-5)
