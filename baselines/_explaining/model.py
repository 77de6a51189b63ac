"""An explaining model as the referee sees it: fit on sentences, then write one for each pair."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from baselines._explaining.batches import Batch, Sentences, by_length, shuffled
from baselines._explaining.decoding import greedy
from baselines._explaining.network import ExplainingNetwork, RatingScale, World
from baselines._explaining.vocabulary import Vocabulary
from bench.errors import RunFailed
from bench.models import Context, Pairs, Training
from engine.checkpoint import State, save_state
from engine.randomness import seeded
from engine.training import Budget, Trainer

_AT_ONCE = 512


class ExplainingModel:
    """A network of this package under the suite's training loop.

    settings: a record derived from `ExplainingSettings`; its `network` names the network's class.
    """

    def __init__(self, settings: Any) -> None:
        self.settings = settings
        self.network: ExplainingNetwork
        self.vocabulary: Vocabulary
        self.device = "cpu"

    def fit(self, training: Training, context: Context) -> None:
        """Learn the training sentences up to the lowest validation loss; the vocabulary is theirs alone.

        Raises RunFailed where there are no sentences.
        """
        if training.explanations is None or not len(training.explanations[0]):
            raise RunFailed("there are no training sentences to learn from")
        torch.set_num_threads(context.threads)
        self.device = context.device
        pairs = training.explanations
        self.vocabulary = Vocabulary.of_texts(pairs[0].texts, self.settings.vocabulary)
        parts = [Sentences.of_pairs(part, self.vocabulary, self.settings.words) for part in pairs]
        with seeded(context.seed, context.device):
            self.network = self._build(training, parts)
            self._tell(parts, context)
            self._trainer(parts[0], parts[1], context).run()
        if context.checkpoint is not None:
            state = State(dict(self.network.state_dict()), {"vocabulary": self.vocabulary.words})
            save_state(state, context.checkpoint / "best.safetensors")

    def explain(self, pairs: Pairs) -> list[str]:
        """A sentence for each pair, decoded greedily, at most `words` words and marks."""
        self.network.eval()
        said: list[list[int]] = []
        with torch.no_grad():
            for begin in range(0, len(pairs), _AT_ONCE):
                users, items = (
                    torch.from_numpy(ids[begin : begin + _AT_ONCE].astype(np.int64)).to(self.device)
                    for ids in (pairs.users, pairs.items)
                )
                said += greedy(self.network, users, items, self.settings.words).tolist()
        return [self.vocabulary.decode(words) for words in said]

    def _build(self, training: Training, parts: list[Sentences]) -> ExplainingNetwork:
        rated = [part.ratings for part in parts if part.ratings is not None]
        scale = RatingScale.of(rated[0]) if len(rated) == len(parts) else None
        world = World(training.n_users, training.n_items, len(self.vocabulary), scale)
        module, _, name = self.settings.network.partition(":")
        return getattr(importlib.import_module(module), name)(self.settings, world).to(self.device)

    def _tell(self, parts: list[Sentences], context: Context) -> None:
        """What has to be said beside the numbers."""
        context.facts["vocabulary"] = len(self.vocabulary)
        context.facts["parameters"] = sum(parameter.numel() for parameter in self.network.parameters())
        context.facts["losses"] = dict(self.network.weights)
        context.facts["unknown_words"] = {"train": parts[0].unknown, "valid": parts[1].unknown}
        if getattr(self.settings, "rating_weight", 0.0) and "rating" not in self.network.weights:
            context.facts["left_out"] = "the rating loss, as this data set has no ratings of the explained pairs"

    def _trainer(self, train: Sentences, valid: Sentences, context: Context) -> Trainer:
        s, lengths = self.settings, train.words.lengths

        def epoch(rng: np.random.Generator) -> list[Batch]:
            return [train.batch(rows, self.device) for rows in shuffled(lengths, s.batch_size, rng)]

        def loss(batch: Batch) -> torch.Tensor:
            return self._mean(self.network.losses(batch), train, len(batch))

        budget = Budget(s.epochs, s.patience, learning_rate=s.learning_rate, clip=s.clip)
        validate = self._validator(valid) if len(valid) else None
        return Trainer(self.network, epoch, loss, validate, budget, context, losses=True)

    def _validator(self, valid: Sentences) -> Callable[[], float]:
        """The token mean of the text loss: what is asked for is text.

        The released code adds the rating loss, which on few ratings rises from the first epoch on.
        """

        def mean() -> float:
            total = torch.zeros((), dtype=torch.float64, device=self.device)
            for rows in by_length(valid.words.lengths, _AT_ONCE):
                total += self.network.losses(valid.batch(rows, self.device))["text"]
            return float(total) / valid.units["text"]

        return mean

    def _mean(self, sums: dict[str, torch.Tensor], whole: Sentences, n: int) -> torch.Tensor:
        """The weighted sum of losses of n sentences, each a mean over what the whole set has in as many of them.

        So a token weighs the same in a batch of short sentences as in one of long ones, and the mean over the batches
        of an epoch is the token mean of the whole.
        """
        parts = [
            weight * sums[name] * (len(whole) / (n * max(1, whole.units[name])))
            for name, weight in self.network.weights.items()
        ]
        return torch.stack(parts).sum()
