"""NRT's network: ids through layers to a rating, and with it into a GRU (Li et al., SIGIR 2017)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from baselines._explaining.batches import Batch
from baselines._explaining.network import RecurrentNetwork, State, World, squared_error, uniform_
from baselines.nrt import NrtSettings

_BOUND = 0.1


class NrtNetwork(RecurrentNetwork):
    """Vectors of user and item give a rating through sigmoid layers; they and the rating, rounded to one of its levels,
    give the first hidden state of the GRU through tanh. Gradients do not pass the rounding.

    Without ratings the rating and its level are left out. The loss over words of reviews is left out always.
    """

    def __init__(self, settings: NrtSettings, world: World) -> None:
        super().__init__()
        self.scale = world.scale if settings.rating_weight else None
        self.weights = {"text": 1.0} | ({"rating": settings.rating_weight} if self.scale else {})
        size, width = settings.embedding, settings.hidden
        self.user_embedding = nn.Embedding(world.n_users, size)
        self.item_embedding = nn.Embedding(world.n_items, size)
        levels = self.scale.high - self.scale.low + 1 if self.scale else 0
        self.encoder = nn.Linear(2 * size + levels, width)
        self.word_embedding = nn.Embedding(world.n_words, size)
        self.rnn = nn.GRU(size, width, batch_first=True)
        self.head = nn.Linear(width, world.n_words)
        # The GRU keeps torch's own initial weights, as in the released code.
        uniform_(_BOUND, self.user_embedding, self.item_embedding, self.encoder, self.word_embedding, self.head)
        if self.scale:
            inner = [nn.Linear(width, width) for _ in range(settings.rating_layers)]
            self.rating_layers = nn.ModuleList([nn.Linear(2 * size, width), *inner])
            self.rating_head = nn.Linear(width, 1)
            uniform_(_BOUND, self.rating_layers, self.rating_head)
            nn.init.constant_(self.rating_head.bias, self.scale.mean)

    def ratings(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """(n,) predicted ratings; only where there were ratings to learn from."""
        state = self._joined(users, items)
        for layer in self.rating_layers:
            state = torch.sigmoid(layer(state))
        return self.rating_head(state).squeeze(1)

    def start(self, users: torch.Tensor, items: torch.Tensor) -> State:
        return self._start(users, items, self.ratings(users, items) if self.scale else None)

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        ratings = self.ratings(batch.users, batch.items) if self.scale else None
        states, _ = self.read(batch.inputs, self._start(batch.users, batch.items, ratings))
        found = {"text": self.text_loss(states, batch)}
        return found if ratings is None else found | {"rating": squared_error(ratings, batch.ratings)}

    def _joined(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.user_embedding(users), self.item_embedding(items)], dim=1)

    def _start(self, users: torch.Tensor, items: torch.Tensor, ratings: torch.Tensor | None) -> State:
        known = self._joined(users, items)
        if ratings is not None and self.scale is not None:
            low, high = self.scale.low, self.scale.high
            level = ratings.detach().round().clamp(low, high).long() - low
            known = torch.cat([known, functional.one_hot(level, high - low + 1).to(known.dtype)], dim=1)
        return (torch.tanh(self.encoder(known))[:, None],)
