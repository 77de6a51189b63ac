"""Sequential RecBole networks under our loop: fitting, and scoring the catalogue after a history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from recbole.data.interaction import Interaction

from baselines._recbole.batches import (
    Rows,
    batches,
    end_positions,
    negatives_for,
    prefixes,
    right_padded,
    seen_keys,
    windows,
)
from baselines._recbole.bridge import Encoding, build
from baselines._torch.checkpoint import State, save_state
from baselines._torch.randomness import seeded
from baselines._torch.training import Budget, Trainer
from bench.models import Context, ScoringModel, Training
from bench.ragged import FloatArray, IntArray, Ragged
from bench.tasks import Queries

SELECTED_BY = "NDCG@10"


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


class SequentialModel(ScoringModel):
    """A RecBole sequential recommender.

    settings: a `baselines.recbole.SequentialSettings`.
    """

    causal = True
    fixed_width = False

    def __init__(self, settings: Any) -> None:
        self.settings = settings
        self.network: Any = None
        self.encoding: Encoding
        self._device = "cpu"

    def parameters(self) -> Mapping[str, Any]:
        """RecBole's parameters from our settings."""
        return self.settings.recbole()

    def fit(self, training: Training, context: Context) -> None:
        torch.set_num_threads(context.threads)
        self._device = context.device
        with seeded(context.seed, context.device):
            self.network, self.encoding = build(training, self.settings.network, self.parameters(), context.device)
            if self.causal:
                every_position(self.network)
            self.prepare(training, context)
            trainer = Trainer(
                self.network,
                self.epoch(training),
                self.network.calculate_loss if not self.causal else self._loss_everywhere,
                lambda: self.validate(training),
                self.budget(),
                context,
            )
            trainer.run()
        if context.checkpoint is not None:
            weights = State({name: tensor for name, tensor in self.network.state_dict().items()})
            save_state(weights, context.checkpoint / "best.safetensors")

    def budget(self) -> Budget:
        """The training budget of these settings."""
        s = self.settings
        return Budget(s.epochs, s.patience, s.evaluate_every, s.learning_rate, s.weight_decay)

    def prepare(self, training: Training, context: Context) -> None:
        """Anything before the main training; S3-Rec pretrains here."""

    def validate(self, training: Training) -> float:
        """Validation NDCG@10 of the next item."""
        validation = training.validation["sequential"]
        return validation.score(self.rank(validation.queries))[SELECTED_BY]

    def epoch(self, training: Training) -> Any:
        """generator -> batches of one epoch."""
        s = self.settings
        encoded = Ragged(self.encoding.items[training.sequences.values], training.sequences.offsets)
        rows = windows(encoded, s.max_length, s.stride) if self.causal else prefixes(encoded, s.max_length)
        seen = seen_keys(encoded, training.n_items + 1) if s.loss == "BPR" else None

        def draw(rng: np.random.Generator) -> Iterator[Interaction]:
            for chosen in batches(rows, s.batch_size, rng):
                yield self.interaction(rows, chosen, seen, training.n_items + 1, rng)

        return draw

    def interaction(
        self, rows: Rows, chosen: IntArray, seen: IntArray | None, n_items: int, rng: np.random.Generator
    ) -> Interaction:
        """A batch in RecBole's form; with `causal`, one target for each supervised position."""
        inputs, targets = rows.inputs.take(chosen), rows.targets.take(chosen)
        users = rows.users[chosen]
        fields = self.history_fields(users, inputs)
        fields["item_id"] = torch.from_numpy(targets.values.astype(np.int64))
        if self.causal:
            row, column = end_positions(inputs, targets.lengths)
            fields["place_row"], fields["place_column"] = torch.from_numpy(row), torch.from_numpy(column)
        if seen is not None:
            owners = np.repeat(users, targets.lengths)
            # RecBole's item 0 is padding and must not be drawn: draw from 0..n-1 shifted by marking it seen.
            drawn = negatives_for(owners, seen, n_items, rng)
            while (drawn == 0).any():
                zero = np.flatnonzero(drawn == 0)
                drawn[zero] = negatives_for(owners[zero], seen, n_items, rng)
            fields["neg_item_id"] = torch.from_numpy(drawn.astype(np.int64))
        return _Batch({name: tensor.to(self._device) for name, tensor in fields.items()})

    def history_fields(self, users: IntArray, histories: Ragged) -> dict[str, torch.Tensor]:
        """RecBole's fields of a history: user, padded items and length."""
        width = self.settings.max_length if self.fixed_width else int(histories.lengths.max(initial=1))
        return {
            "user_id": torch.from_numpy(self.encoding.users[users]),
            "item_id_list": torch.from_numpy(right_padded(histories, width)),
            "item_length": torch.from_numpy(np.maximum(histories.lengths, 1)),
        }

    def _loss_everywhere(self, batch: Any) -> torch.Tensor:
        self.network.places = (batch["place_row"], batch["place_column"])
        try:
            return self.network.calculate_loss(batch)
        finally:
            self.network.places = None

    def scores(self, queries: Queries) -> FloatArray:
        histories = queries.histories.tail(self.settings.max_length)
        histories = Ragged(self.encoding.items[histories.values], histories.offsets)
        fields = self.history_fields(queries.users, histories)
        batch = _Batch({name: tensor.to(self._device) for name, tensor in fields.items()})
        self.network.eval()
        with torch.no_grad():
            scores = self.network.full_sort_predict(batch).view(len(queries), -1)
        return self.our_order(scores)

    def our_order(self, scores: torch.Tensor) -> FloatArray:
        """(n, RecBole items) -> (n, n_items) numpy in our numbering."""
        found = scores.float().cpu().numpy()
        return np.take(found, self.encoding.items, axis=1)


class _Batch(dict[str, torch.Tensor]):
    """Fields by name: all that the networks used here ask of RecBole's Interaction."""


class Caser(SequentialModel):
    """Caser's convolutions have the history's length: no trimming, a row for each prefix."""

    causal = False
    fixed_width = True


class Hgn(SequentialModel):
    """HGN gates a fixed number of places: no trimming, a row for each prefix."""

    causal = False
    fixed_width = True
