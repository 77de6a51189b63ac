"""S3-Rec under our loop: self-supervised pretraining with the item attributes, then the next item."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from baselines._recbole.bridge import Encoding
from baselines._recbole.sequential import Fields, SequentialModel
from bench.models import Context, Training
from bench.ragged import FloatArray, IntArray, Ragged
from engine.training import Budget, Trainer

_NAMES = ("masked", "positive", "negative", "masked_segment", "positive_segment", "negative_segment")


class S3Rec(SequentialModel):
    """S3-Rec (Zhou et al., CIKM 2020): RecBole's `pretrain` on batches of our making, then its finetuning loss."""

    def prepare(self, training: Training, context: Context) -> None:
        super().prepare(training, context)
        network = self.network
        pretraining = Pretraining(self, training)
        if self.settings.pretrain_epochs:
            budget = Budget(self.settings.pretrain_epochs, patience=1, learning_rate=self.settings.learning_rate)
            Trainer(network, pretraining.epoch, pretraining.loss, None, budget, context, stage="pretrain").run()
        network.train_stage = "finetune"
        network.loss_fct = torch.nn.CrossEntropyLoss()


class Pretraining:
    """The masked items, segments and attributes that S3-Rec pretrains on.

    RecBole builds these in Python loops over sequences padded to the full length; here rows of equal length
    share a batch, so there is no padding at all and places mean the same before and after.
    """

    def __init__(self, model: SequentialModel, training: Training) -> None:
        self._model, self._s = model, model.settings
        self._sequences = model.encoded(training.sequences.tail(self._s.max_length))
        self._items = model.encoding.items
        self._mask = model.network.mask_token
        self._features = _attribute_table(model.encoding, training, model.network.n_features).to(model.device)

    def epoch(self, rng: np.random.Generator) -> Iterator[Fields]:
        """Every training sequence once, in batches of equal length."""
        lengths = self._sequences.lengths
        order = rng.permutation(len(lengths))
        order = order[np.argsort(lengths[order], kind="stable")]
        pieces = []
        for group in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
            if len(group) and lengths[group[0]]:
                size = max(1, self._s.pretrain_batch_size)
                pieces += [group[start : start + size] for start in range(0, len(group), size)]
        for piece in rng.permutation(len(pieces)):
            yield self.batch(self._sequences.take(pieces[piece]), rng)

    def loss(self, batch: Fields) -> torch.Tensor:
        """RecBole's four losses of a batch, weighted and summed."""
        # Looked up here, not carried by the batches: an epoch of them is held at once, and attributes are many.
        features = self._features[batch["positive"].flatten()]
        return self._model.network.pretrain(features, *(batch[name] for name in _NAMES))

    def batch(self, rows: Ragged, rng: np.random.Generator) -> Fields:
        """The six tensors of items that `S3Rec.pretrain` takes besides their attributes, each (rows, length)."""
        items = rows.values.reshape(len(rows), -1).astype(np.int64)
        n, length = items.shape
        hidden = rng.random(items.shape) < self._s.mask_ratio
        negative = np.where(hidden, self._strangers(items, rng), items)
        starts, sizes = _segments(n, length, rng)
        column = np.arange(length)[None, :]
        inside = (column >= starts[:, None]) & (column < (starts + sizes)[:, None])
        values = self._sequences.values
        other = values[rng.integers(0, len(values) - length + 1, size=n)[:, None] + column]
        if length < 2:  # nothing can be cut out of one item: RecBole compares it with itself
            masked_segment = own = wrong = items
        else:
            masked_segment = np.where(inside, self._mask, items)
            own, wrong = np.where(inside, items, self._mask), np.where(inside, other, self._mask)
        arrays = (np.where(hidden, self._mask, items), items, negative, masked_segment, own, wrong)
        return self._model.placed(
            {name: np.ascontiguousarray(a, np.int64) for name, a in zip(_NAMES, arrays, strict=True)}
        )

    def _strangers(self, items: IntArray, rng: np.random.Generator) -> IntArray:
        """(n, length) for each place an item outside its row; any item where a row holds the whole catalogue."""
        out = self._items[rng.integers(0, len(self._items), items.shape)]
        todo = np.arange(len(items)) if items.shape[1] < len(self._items) else np.empty(0, np.int64)
        while len(todo):
            known = (out[todo][:, :, None] == items[todo][:, None, :]).any(axis=2)
            rows, places = np.nonzero(known)
            out[todo[rows], places] = self._items[rng.integers(0, len(self._items), len(rows))]
            todo = todo[np.unique(rows)]
        return out


def _segments(n: int, length: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """(n,) starts and (n,) sizes of random segments of at most half the row."""
    sizes = rng.integers(1, max(1, length // 2) + 1, size=n)
    return rng.integers(0, length - sizes + 1), sizes


def _attribute_table(encoding: Encoding, training: Training, width: int) -> torch.Tensor:
    """(RecBole items, attributes) 0/1: what `pretrain` is to tell from an item's surroundings."""
    attributes = training.attributes
    assert attributes is not None, "the registry asks for attributes"
    codes = encoding.dataset.field2token_id["class"]
    table: FloatArray = np.zeros((len(encoding.items) + 1, width), np.float32)
    columns = np.array([codes[str(value)] - 1 for value in attributes.values.tolist()], np.int64)
    table[encoding.items[attributes.row_of], columns] = 1.0
    return torch.from_numpy(table)
