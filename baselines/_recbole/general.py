"""General RecBole recommenders under our loop: a user and an item give a score, trained on pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch

from baselines._recbole.batches import NegativeSampler
from baselines._recbole.sequential import Fields, RecBoleModel
from bench.models import Training
from bench.ragged import FloatArray
from bench.tasks import Queries, TaskName


class PairwiseModel(RecBoleModel):
    """Every training interaction against an item the user never trained on, drawn anew each epoch (BPR)."""

    selected_on: TaskName = "topn"

    def epoch(self, training: Training) -> Callable[[np.random.Generator], Iterator[Fields]]:
        users, items = training.sequences.row_of, training.sequences.values
        sampler = NegativeSampler(training.sequences, training.n_items)
        size = self.settings.batch_size

        def draw(rng: np.random.Generator) -> Iterator[Fields]:
            order = rng.permutation(len(users))
            for start in range(0, len(order), size):
                chosen = order[start : start + size]
                numbers, encode = self.encoding.users, self.encoding.items
                negative = encode[sampler.draw(users[chosen], rng)]
                fields = {"user_id": numbers[users[chosen]], "item_id": encode[items[chosen]], "neg_item_id": negative}
                yield self.placed(fields)

        return draw

    def scores(self, queries: Queries) -> FloatArray:
        self.network.eval()
        with torch.no_grad():
            fields = self.placed({"user_id": self.encoding.users[queries.users]})
            return self.our_order(self.network.full_sort_predict(fields).view(len(queries), -1))

    def candidate_scores(self, queries: Queries) -> FloatArray:
        assert queries.candidates is not None
        n, width = queries.candidates.shape
        self.network.eval()
        with torch.no_grad():
            fields = self.placed(
                {
                    "user_id": np.repeat(self.encoding.users[queries.users], width),
                    "item_id": self.encoding.items[np.maximum(queries.candidates, 0).ravel()],
                }
            )
            return self.network.predict(fields).view(n, width).float().cpu().numpy()
