"""What the fit and the decoding ask of a network, and what recurrent ones share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from baselines._explaining.batches import Batch
from bench.ragged import FloatArray

State = tuple[torch.Tensor, ...]
"""What a decoder knows of n sentences so far: tensors whose first dimension is n."""


@dataclass(frozen=True)
class RatingScale:
    """low, high: the whole numbers that hold the training ratings. mean: of them."""

    low: int
    high: int
    mean: float

    @classmethod
    def of(cls, ratings: FloatArray) -> RatingScale:
        """The scale of (n,) ratings."""
        return cls(int(np.floor(ratings.min())), int(np.ceil(ratings.max())), float(ratings.mean()))


@dataclass(frozen=True)
class World:
    """Sizes that the data decide. scale: of the ratings, None where there are none."""

    n_users: int
    n_items: int
    n_words: int
    scale: RatingScale | None


class ExplainingNetwork(nn.Module, ABC):
    """A network that reads a user and an item and writes a sentence, word by word.

    weights: of each loss in the sum that is trained.
    head:    states (., width) -> (., n_words) logits.
    """

    weights: dict[str, float]
    head: nn.Linear

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Each loss as a sum: text over tokens, context over tokens but <eos>, rating over pairs."""

    @abstractmethod
    def start(self, users: torch.Tensor, items: torch.Tensor) -> State:
        """(n,) users and items -> the state before <bos>."""

    @abstractmethod
    def step(self, words: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """(n,) words and the state before them -> (n, width) for the head, and the state after them."""

    def text_loss(self, states: torch.Tensor, batch: Batch) -> torch.Tensor:
        """(b, l, width) -> the summed cross-entropy of the real tokens; logits are made of these alone."""
        logits = self.head(states.flatten(0, 1)[batch.places])
        return functional.cross_entropy(logits, batch.targets, reduction="sum")


class RecurrentNetwork(ExplainingNetwork):
    """A recurrent decoder over word vectors.

    Its state is what `rnn` keeps, layers second: (n, layers, width) hidden, and the same of cells in an LSTM.
    """

    word_embedding: nn.Embedding
    rnn: nn.LSTM | nn.GRU

    def read(self, inputs: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """(n, l) words after a state -> (n, l, width) states at each of them, and the last state."""
        before = tuple(part.transpose(0, 1).contiguous() for part in state)
        gru = isinstance(self.rnn, nn.GRU)
        states, after = self.rnn(self.word_embedding(inputs), before[0] if gru else before)
        return states, tuple(part.transpose(0, 1) for part in ((after,) if gru else after))

    def step(self, words: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        states, after = self.read(words[:, None], state)
        return states[:, 0], after


def uniform_(bound: float, *modules: nn.Module) -> None:
    """Draw the weights of layers and embeddings from U(-bound, bound), and set their biases to 0."""
    for module in modules:
        for name, parameter in module.named_parameters():
            if "bias" in name:
                nn.init.zeros_(parameter)
            else:
                nn.init.uniform_(parameter, -bound, bound)


def squared_error(predicted: torch.Tensor, ratings: torch.Tensor | None) -> torch.Tensor:
    """The summed squared error of (b,) predicted ratings; ValueError where there is nothing to compare with."""
    if ratings is None:
        raise ValueError("a batch without ratings")
    return functional.mse_loss(predicted, ratings, reduction="sum")
