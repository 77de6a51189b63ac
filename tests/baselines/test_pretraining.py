"""S3-Rec's pretraining: its batches against the data, its loss against RecBole's, and what finetuning starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from worlds import Interrupted, Interrupting, dataset_of, fitted, queries_of, rings, training_of

from bench.models import Context, Training, discover
from bench.ragged import Ragged
from bench.splits import make_split

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("recbole", reason="RecBole is not installed")

from baselines._recbole.pretraining import Pretraining  # noqa: E402
from engine.checkpoint import load_state  # noqa: E402

N_ITEMS, WIDTH, RATIO = 40, 9, 0.3


def small_training() -> Training:
    """Histories of 1 to 14 training items; items of nought to three of seven attributes."""
    rng = np.random.default_rng(3)
    rows = [rng.permutation(N_ITEMS)[: 3 + n % 14] for n in range(60)]
    attributes = Ragged.from_rows([rng.permutation(7)[: i % 4] + 1 for i in range(N_ITEMS)])
    return training_of(make_split(dataset_of(rows, N_ITEMS, attributes)))


@pytest.fixture(scope="module")
def model() -> Any:
    return fitted("s3rec", small_training(), max_length=WIDTH, stride=4, mask_ratio=RATIO, pretrain_batch_size=4)


def batches_of(model: Any, epochs: int = 1, seed: int = 0) -> list[dict[str, Any]]:
    pretraining, rng = Pretraining(model, small_training()), np.random.default_rng(seed)
    return [{k: v.numpy() for k, v in b.items()} for _ in range(epochs) for b in pretraining.epoch(rng)]


def test_an_epoch_is_every_sequence_once_in_batches_of_one_length(model):
    training, numbers = small_training(), model.encoding.items
    expected = sorted(numbers[training.sequences[u][-WIDTH:]].tolist() for u in range(training.n_users))
    batches = batches_of(model)
    assert sorted(row for batch in batches for row in batch["positive"].tolist()) == expected
    assert all(len(batch["positive"]) <= 4 and (batch["positive"] > 0).all() for batch in batches)
    assert [len(b["positive"][0]) for b in batches] != sorted(len(b["positive"][0]) for b in batches)


def test_masked_items_and_their_negatives(model):
    batches, mask = batches_of(model, epochs=20), model.network.mask_token
    hidden = total = 0
    for batch in batches:
        places = batch["masked"] == mask
        hidden, total = hidden + places.sum(), total + places.size
        assert np.array_equal(batch["masked"][~places], batch["positive"][~places])
        assert np.array_equal(batch["negative"][~places], batch["positive"][~places])
        drawn = batch["negative"][places]
        strangers = ~(batch["negative"][:, :, None] == batch["positive"][:, None, :]).any(axis=2)
        assert strangers[places].all()
        assert ((drawn >= 1) & (drawn <= N_ITEMS)).all()
    assert hidden / total == pytest.approx(RATIO, abs=4 * np.sqrt(RATIO * (1 - RATIO) / total))
    drawn = np.concatenate([batch["negative"][batch["masked"] == mask] for batch in batches])
    assert len(np.unique(drawn)) == N_ITEMS


def test_segments_lie_inside_the_row_and_cover_at_most_half(model):
    mask, sizes, starts = model.network.mask_token, set(), set()
    for batch in batches_of(model, epochs=20):
        for row in range(len(batch["positive"])):
            whole, masked, own, wrong = (
                batch[name][row] for name in ("positive", "masked_segment", "positive_segment", "negative_segment")
            )
            if len(whole) < 2:
                assert all(np.array_equal(whole, other) for other in (masked, own, wrong))
                continue
            inside = np.flatnonzero(masked == mask)
            assert 1 <= len(inside) <= len(whole) // 2
            assert inside.tolist() == list(range(inside[0], inside[-1] + 1))
            outside = np.setdiff1d(np.arange(len(whole)), inside)
            assert np.array_equal(masked[outside], whole[outside]) and np.array_equal(own[inside], whole[inside])
            assert (own[outside] == mask).all() and (wrong[outside] == mask).all()
            assert ((wrong[inside] >= 1) & (wrong[inside] <= N_ITEMS)).all()
            if len(whole) == WIDTH:
                sizes.add(len(inside)), starts.add(int(inside[0]))
    assert sizes == {1, 2, 3, 4} and starts == set(range(WIDTH))


def test_negative_segments_are_runs_of_the_training_sequences(model):
    training, numbers, mask = small_training(), model.encoding.items, model.network.mask_token
    laid = numbers[training.sequences.tail(WIDTH).values].tolist()
    runs = {tuple(laid[i : i + n]) for n in range(1, WIDTH) for i in range(len(laid))}
    differing = total = 0
    for batch in batches_of(model, epochs=3):
        for own, wrong in zip(batch["positive_segment"], batch["negative_segment"], strict=True):
            if len(own) >= 2:
                assert tuple(wrong[wrong != mask].tolist()) in runs
                differing, total = differing + (own.tolist() != wrong.tolist()), total + 1
    assert differing > 0.9 * total


def test_the_loss_is_recboles_over_the_datasets_attributes(model):
    training, network = small_training(), model.network.eval()
    items = {int(number): item for item, number in enumerate(model.encoding.items)}
    assert training.attributes is not None
    codes = model.encoding.dataset.field2token_id["class"]
    pretraining = Pretraining(model, training)
    network.loss_fct, finetuned = torch.nn.BCEWithLogitsLoss(reduction="none"), network.loss_fct
    names = ("masked", "positive", "negative", "masked_segment", "positive_segment", "negative_segment")
    for batch in pretraining.epoch(np.random.default_rng(2)):
        features = np.zeros((*batch["positive"].shape, network.n_features), np.float32)
        for (row, place), number in np.ndenumerate(batch["positive"].numpy()):
            for value in training.attributes[items[int(number)]].tolist():
                features[row, place, codes[str(value)] - 1] = 1
        own = network.pretrain(torch.from_numpy(features), *(batch[name] for name in names))
        assert pretraining.loss(batch).item() == pytest.approx(own.item(), rel=1e-6) and own.item() > 0
    network.loss_fct = finetuned


def test_the_attribute_table_agrees_with_recboles_own_features(model):
    from recbole.data.interaction import Interaction

    feature = model.encoding.dataset.get_item_feature()
    assert isinstance(feature, Interaction)
    table = np.zeros((N_ITEMS + 1, model.network.n_features + 1), np.float32)
    np.put_along_axis(table, feature["class"].numpy(), 1.0, axis=1)
    assert np.array_equal(Pretraining(model, small_training())._features.numpy(), table[:, 1:])


def test_the_loss_is_finite_and_falls():
    context = Context(0)
    how = {"pretrain_epochs": 8, "pretrain_batch_size": 16, "learning_rate": 0.01}
    fitted("s3rec", training_of(rings(n_users=80)), context, **how)
    losses = [row["pretrain_loss"] for row in context.curve if "pretrain_loss" in row]
    assert len(losses) == 8 and np.isfinite(losses).all() and losses[-1] < 0.7 * losses[0]
    assert [row["pretrain_epoch"] for row in context.curve if "pretrain_epoch" in row] == list(range(1, 9))


class BeforeFinetuning(Interrupting):
    """Interrupts when finetuning is about to take its first step."""

    def track(self, steps: Any, total: int, label: str) -> Any:
        if label.startswith("fit"):
            self.end()
        return super().track(steps, total, label)


def about_to_finetune(training: Training, folder: Path | None = None, **settings: Any) -> Any:
    info = discover().get("s3rec")
    model: Any = info.build(info.settings(hidden_size=8, inner_size=16, layers=1, learning_rate=0.01, **settings))
    with pytest.raises(Interrupted):
        model.fit(training, Context(0, checkpoint=folder, progress=BeforeFinetuning()))
    return model.network


def test_finetuning_starts_from_the_pretrained_weights(tmp_path):
    training = training_of(rings(n_users=80))
    network = about_to_finetune(training, tmp_path, pretrain_epochs=2)
    state = load_state(tmp_path / "pretrain.safetensors")
    assert state is not None and not (tmp_path / "fit.safetensors").exists()
    pretrained, plain = state.part("network"), about_to_finetune(training, pretrain_epochs=0)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, pretrained[name]), name
    assert network.train_stage == plain.train_stage == "finetune"
    assert (network.item_embedding.weight - plain.item_embedding.weight).abs().max() > 0.01


def test_it_can_do_without_pretraining():
    context = Context(0)
    training = training_of(rings(n_users=80))
    model = fitted("s3rec", training, context, pretrain_epochs=0, epochs=2)
    assert [row["epoch"] for row in context.curve] == [1, 2]
    assert model.scores(queries_of([[1, 2]], training.n_items)).shape == (1, training.n_items)
