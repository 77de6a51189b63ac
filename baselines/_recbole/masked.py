"""BERT4Rec under our loop: items are masked anew each epoch, and asked for by a mask after the history."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch

from baselines._recbole.batches import Rows, batches, right_padded
from baselines._recbole.sequential import Fields, SequentialModel
from bench.models import Training
from bench.ragged import BoolArray, FloatArray, IntArray, Ragged
from bench.tasks import Queries


class MaskedModel(SequentialModel):
    """A bidirectional network trained to fill in masked items (Sun et al., CIKM 2019).

    An epoch shows every training sequence `copies` times with a share of its items masked, and once with its
    last item masked alone, which is the question that recommendation asks.
    """

    causal = False

    def epoch(self, training: Training) -> Callable[[np.random.Generator], Iterator[Fields]]:
        s = self.settings
        sequences = training.sequences.tail(s.max_length)
        # A lone item has no neighbour to be told from; RecBole's loss also skips a mask in the first place.
        rows = np.flatnonzero(sequences.lengths >= 2)
        sequences = sequences.take(rows)
        masks = _mask_counts(sequences.lengths, s.mask_ratio)
        counts = np.concatenate([np.ones(len(rows), np.int64), *[masks] * s.copies])
        inputs = sequences.take(np.tile(np.arange(len(rows)), s.copies + 1))
        users = np.tile(rows, s.copies + 1)
        table = Rows(users, inputs, Ragged(np.zeros(int(counts.sum()), np.int32), np.append(0, np.cumsum(counts))))
        last_only = np.arange(len(users)) < len(rows)

        def draw(rng: np.random.Generator) -> Iterator[Fields]:
            # Padding may share a batch, but a different number of masks would be scored for nothing.
            for chosen in batches(table, s.batch_size, rng, by=counts):
                yield self.masked_batch(inputs.take(chosen), counts[chosen], last_only[chosen], rng)

        return draw

    def masked_batch(self, rows: Ragged, counts: IntArray, last_only: BoolArray, rng: np.random.Generator) -> Fields:
        """RecBole's fields of masked rows: masked items, true items and places of the masks (0 fills up)."""
        width, most = int(rows.lengths.max()), int(counts.max())
        keys = rng.random((len(rows), width))
        column = np.arange(width)[None, :]
        keys[(column >= rows.lengths[:, None]) | (column == 0)] = 2.0
        keys[last_only, rows.lengths[last_only] - 1] = -1.0
        places = np.argsort(keys, axis=1)[:, :most]
        places[np.arange(most)[None, :] >= counts[:, None]] = 0
        items = right_padded(self.encoded(rows), width)
        truth = np.take_along_axis(items, places, axis=1)
        hidden = np.zeros_like(items, dtype=bool)
        np.put_along_axis(hidden, places, True, axis=1)
        hidden[:, 0] = False
        items[hidden] = self.network.mask_token
        fields = {
            "Mask_item_id_list": items,
            "Pos_item_id": truth,
            "Neg_item_id": truth,
            "MASK_INDEX": np.ascontiguousarray(places),
        }
        return self.placed(fields)

    def scores(self, queries: Queries) -> FloatArray:
        """Scores of what stands behind a mask after the history; RecBole's own form would drop the oldest item."""
        histories = queries.histories.tail(self.settings.max_length - 1)
        rows = np.arange(len(histories))
        items = np.pad(right_padded(self.encoded(histories), int(histories.lengths.max(initial=0))), ((0, 0), (0, 1)))
        items[rows, histories.lengths] = self.network.mask_token
        network = self.network
        network.eval()
        with torch.no_grad():
            states = network(torch.from_numpy(items).to(self.device))[rows, torch.from_numpy(histories.lengths)]
            scores = states @ network.item_embedding.weight[: network.n_items].T + network.output_bias
        return self.our_order(scores)


def _mask_counts(lengths: IntArray, ratio: float) -> IntArray:
    """(n,) how many items of each row are masked: the ratio, at least one, never the first."""
    return np.clip(np.rint(lengths * ratio).astype(np.int64), 1, lengths - 1)
