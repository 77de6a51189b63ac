"""Att2Seq's network: ids through a layer into an LSTM (Dong et al., EACL 2017)."""

from __future__ import annotations

import torch
from torch import nn

from baselines._explaining.batches import Batch
from baselines._explaining.network import RecurrentNetwork, State, World, uniform_
from baselines.att2seq import Att2SeqSettings

_BOUND = 0.08


class Att2SeqNetwork(RecurrentNetwork):
    """Vectors of user and item, joined, through tanh give the first hidden state of each LSTM layer; cells begin at 0.

    Rating input and attention are left out, as in the released code.
    """

    def __init__(self, settings: Att2SeqSettings, world: World) -> None:
        super().__init__()
        self.weights = {"text": 1.0}
        self.layers, width = settings.layers, settings.hidden
        self.user_embedding = nn.Embedding(world.n_users, settings.embedding)
        self.item_embedding = nn.Embedding(world.n_items, settings.embedding)
        self.encoder = nn.Linear(2 * settings.embedding, self.layers * width)
        self.word_embedding = nn.Embedding(world.n_words, width)
        dropout = settings.dropout if self.layers > 1 else 0.0
        self.rnn = nn.LSTM(width, width, self.layers, batch_first=True, dropout=dropout)
        self.head = nn.Linear(width, world.n_words)
        uniform_(_BOUND, self)

    def start(self, users: torch.Tensor, items: torch.Tensor) -> State:
        joined = torch.cat([self.user_embedding(users), self.item_embedding(items)], dim=1)
        hidden = torch.tanh(self.encoder(joined)).unflatten(1, (self.layers, -1))
        return hidden, torch.zeros_like(hidden)

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        states, _ = self.read(batch.inputs, self.start(batch.users, batch.items))
        return {"text": self.text_loss(states, batch)}
