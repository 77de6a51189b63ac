"""Sequential RecBole networks under our loop: fitting, and scoring the catalogue after a history."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from baselines._recbole.batches import (
    NegativeSampler,
    Rows,
    batches,
    end_positions,
    left_padded,
    prefixes,
    right_padded,
    windows,
)
from baselines._recbole.bridge import Encoding, build
from bench.models import Context, ScoringModel, Training
from bench.ragged import FloatArray, IntArray, Ragged
from bench.tasks import Queries, TaskName
from engine.checkpoint import State, save_state
from engine.randomness import seeded
from engine.training import Budget, Trainer

SELECTED_BY = "NDCG@10"
LEAST_STEPS = 2000

Fields = dict[str, torch.Tensor]
"""Tensors by field name: all that the networks used here ask of RecBole's Interaction."""


class EveryPosition:
    """Mixed into a causal network: while `places` is set, its outputs are taken at all of these positions.

    RecBole picks the last position of each row through `gather_indexes`; replacing that one step lets its own
    `forward` and `calculate_loss` supervise a whole sequence in one pass.
    """

    places: tuple[torch.Tensor, torch.Tensor] | None = None

    def gather_indexes(self, output: torch.Tensor, gather_index: torch.Tensor) -> torch.Tensor:
        """(b, l, h) outputs -> (targets, h) at `places`, or RecBole's own (b, h)."""
        if self.places is None:
            return super().gather_indexes(output, gather_index)  # type: ignore[misc]
        return output[self.places]


def every_position(network: Any) -> Any:
    """Give a built network the mixin; its weights and everything else stay."""
    kind = type(network)
    network.__class__ = type(f"EveryPosition{kind.__name__}", (EveryPosition, kind), {})
    return network


class FromTheEnd(nn.Embedding):
    """Position embeddings counted back from the last column: the latest item always has the first of them.

    RecBole counts from the oldest item; the original SASRec pads on the left, so that a position says how
    recent an item is.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """(b, l) columns 0..l-1 -> (b, l, h)."""
        return super().forward(input.flip(-1))


class RecBoleModel(ScoringModel):
    """A RecBole network under our loop; subclasses say how batches are made and scores are read.

    settings: a record of `baselines.recbole` with `network`, `recbole()` and a training budget.
    """

    selected_on: TaskName = "sequential"

    def __init__(self, settings: Any) -> None:
        self.settings = settings
        self.network: Any = None
        self.encoding: Encoding
        self.device = "cpu"

    def fit(self, training: Training, context: Context) -> None:
        torch.set_num_threads(context.threads)
        self.device = context.device
        with seeded(context.seed, context.device):
            self.network, self.encoding = build(
                training, self.settings.network, self.settings.recbole(), context.device
            )
            self.prepare(training, context)
            Trainer(
                self.network, self.epoch(training), self.loss, lambda: self.validate(training), self.budget(), context
            ).run()
        if context.checkpoint is not None:
            save_state(State(dict(self.network.state_dict())), context.checkpoint / "best.safetensors")

    def budget(self) -> Budget:
        """The training budget of these settings."""
        s = self.settings
        rates = {"learning_rate": s.learning_rate, "weight_decay": s.weight_decay}
        return Budget(s.epochs, s.patience, s.evaluate_every, least_steps=LEAST_STEPS, **rates)

    def prepare(self, training: Training, context: Context) -> None:
        """Anything between building the network and training it; S3-Rec pretrains here."""

    def validate(self, training: Training) -> float:
        """Validation NDCG@10 of the task that selects the weights."""
        validation = training.validation[self.selected_on]
        return validation.score(self.rank(validation.queries))[SELECTED_BY]

    def epoch(self, training: Training) -> Callable[[np.random.Generator], Iterator[Fields]]:
        """generator -> batches of one epoch."""
        raise NotImplementedError

    def loss(self, batch: Fields) -> torch.Tensor:
        """RecBole's own loss of a batch."""
        return self.network.calculate_loss(batch)

    def encoded(self, rows: Ragged) -> Ragged:
        """Rows of our items in RecBole's numbers."""
        return Ragged(self.encoding.items[rows.values], rows.offsets)

    def placed(self, fields: Mapping[str, IntArray]) -> Fields:
        """Arrays as tensors on the device."""
        return {name: torch.from_numpy(values).to(self.device) for name, values in fields.items()}

    def our_order(self, scores: torch.Tensor) -> FloatArray:
        """(n, RecBole items) -> (n, n_items) numpy in our numbering."""
        return np.take(scores.float().cpu().numpy(), self.encoding.items, axis=1)


class SequentialModel(RecBoleModel):
    """A network that reads a history and scores what comes next.

    causal:      its state at a position depends on the past alone, so a row trains all its positions in one pass;
                 not with positions counted from the end, which differ for each target.
    fixed_width: its weights have the history's length, so rows are not trimmed.
    """

    causal = True
    fixed_width = False

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.from_end = settings.positions == "end"
        self.causal = self.causal and not self.from_end

    def prepare(self, training: Training, context: Context) -> None:
        if self.from_end:
            self.network.position_embedding.__class__ = FromTheEnd
        if self.causal:
            every_position(self.network)

    def epoch(self, training: Training) -> Callable[[np.random.Generator], Iterator[Fields]]:
        s = self.settings
        rows = windows(training.sequences, s.max_length, s.stride) if self.causal else None
        rows = rows or prefixes(training.sequences, s.max_length)
        sampler = NegativeSampler(training.sequences, training.n_items) if s.loss == "BPR" else None

        def draw(rng: np.random.Generator) -> Iterator[Fields]:
            for chosen in batches(rows, s.batch_size, rng):
                yield self.batch(rows, chosen, sampler, rng)

        return draw

    def batch(self, rows: Rows, chosen: IntArray, sampler: NegativeSampler | None, rng: np.random.Generator) -> Fields:
        """The chosen rows as RecBole's fields; with `causal`, one target for each supervised position."""
        inputs, targets = rows.inputs.take(chosen), rows.targets.take(chosen)
        fields = self.history_fields(rows.users[chosen], inputs)
        fields["item_id"] = self.encoding.items[targets.values]
        if self.causal:
            fields["place_row"], fields["place_column"] = end_positions(inputs, targets.lengths)
        if sampler is not None:
            owners = np.repeat(rows.users[chosen], targets.lengths)
            fields["neg_item_id"] = self.encoding.items[sampler.draw(owners, rng)]
        return self.placed(fields)

    def history_fields(self, users: IntArray, histories: Ragged) -> dict[str, IntArray]:
        """RecBole's fields of a history: user, padded items and the number of columns up to the latest item."""
        width = self.settings.max_length if self.fixed_width else max(1, int(histories.lengths.max(initial=1)))
        lengths = np.full(len(histories), width) if self.from_end else np.maximum(histories.lengths, 1)
        padded = (left_padded if self.from_end else right_padded)(self.encoded(histories), width)
        return {"user_id": self.encoding.users[users], "item_id_list": padded, "item_length": lengths}

    def loss(self, batch: Fields) -> torch.Tensor:
        if not self.causal:
            return super().loss(batch)
        self.network.places = (batch["place_row"], batch["place_column"])
        try:
            return super().loss(batch)
        finally:
            self.network.places = None

    def scores(self, queries: Queries) -> FloatArray:
        histories = queries.histories.tail(self.settings.max_length)
        self.network.eval()
        with torch.no_grad():
            fields = self.placed(self.history_fields(queries.users, histories))
            return self.our_order(self.network.full_sort_predict(fields).view(len(queries), -1))


class FixedWidthModel(SequentialModel):
    """Caser's convolutions and HGN's gates have the history's length: no trimming, and a row for each prefix."""

    causal = False
    fixed_width = True
