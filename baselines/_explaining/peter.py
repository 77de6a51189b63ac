"""PETER's network: user, item and words as one sequence under one mask (Li et al., ACL 2021)."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from baselines._explaining.batches import Batch
from baselines._explaining.network import ExplainingNetwork, State, World, squared_error, uniform_
from baselines._explaining.vocabulary import EOS
from baselines.peter import PeterSettings

_BOUND = 0.1
_IDS = 2


def peter_mask(length: int) -> torch.Tensor:
    """(length, length) whether a place (row) sees another (column): itself, those before it, and the user the item.

    Places: user, item, words. Source: PETER, section 4.2 and figure 3.
    """
    mask = torch.ones(length, length, dtype=torch.bool).tril()
    mask[0, 1] = True
    return mask


def sinusoids(length: int, width: int) -> torch.Tensor:
    """(length, width) positions of Vaswani et al. 2017: sines in even, cosines in odd columns."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angles = torch.arange(length)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


class Layer(nn.Module):
    """A Transformer layer, normalised after each half, that keeps keys and values for the places to come."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.rate = heads, dropout
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.first, self.second = nn.Linear(width, inner), nn.Linear(inner, width)
        self.norm_attended, self.norm_fed = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        nn.init.xavier_uniform_(self.project.weight)
        nn.init.zeros_(self.project.bias)
        nn.init.zeros_(self.out.bias)

    def forward(
        self, states: torch.Tensor, mask: torch.Tensor | None = None, past: State = ()
    ) -> tuple[torch.Tensor, State]:
        """(b, l, width) -> the same after this layer, and keys and values, (b, heads, past + l, width / heads) each.

        mask: (l, past + l) what is seen; None: everything.
        """
        query, key, value = self.project(states).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if past:
            key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
        rate = self.rate if self.training else 0.0
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=rate)
        states = self.norm_attended(states + self.dropout(self.out(seen.transpose(1, 2).flatten(2))))
        fed = self.second(self.dropout(functional.relu(self.first(states))))
        return self.norm_fed(states + self.dropout(fed)), (key, value)


class PeterNetwork(ExplainingNetwork):
    """The state at the user predicts the rating, the one at the item all words at once (context), those at the words
    the next word. Without ratings that loss is left out; features are left out, as POD's comparison does.
    """

    mask: torch.Tensor
    positions: torch.Tensor

    def __init__(self, settings: PeterSettings, world: World) -> None:
        super().__init__()
        scale = world.scale if settings.rating_weight else None
        weights = {"text": 1.0, "context": settings.context_weight, "rating": settings.rating_weight if scale else 0.0}
        self.weights = {name: weight for name, weight in weights.items() if weight}
        width = settings.embedding
        self.user_embedding = nn.Embedding(world.n_users, width)
        self.item_embedding = nn.Embedding(world.n_items, width)
        self.word_embedding = nn.Embedding(world.n_words, width)
        self.layers = nn.ModuleList(
            Layer(width, settings.heads, settings.inner, settings.dropout) for _ in range(settings.layers)
        )
        self.head = nn.Linear(width, world.n_words)
        self.dropout = nn.Dropout(settings.dropout)
        uniform_(_BOUND, self.user_embedding, self.item_embedding, self.word_embedding, self.head)
        # A sentence of `words` words is read behind <bos>, and its end is predicted.
        longest = _IDS + settings.words + 1
        self.register_buffer("mask", peter_mask(longest), persistent=False)
        self.register_buffer("positions", sinusoids(longest, width), persistent=False)
        if scale:
            last = nn.Linear(width, 1)
            self.rating = nn.Sequential(nn.Linear(width, width), nn.Sigmoid(), last)
            uniform_(_BOUND, self.rating)
            nn.init.constant_(last.bias, scale.mean)

    def read(self, users: torch.Tensor, items: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        """(b,) users and items, (b, l) words -> (b, 2 + l, width) states at user, item and words."""
        states = self._embedded(torch.cat([self._ids(users, items), self.word_embedding(inputs)], dim=1), 0)
        length = states.shape[1]
        for layer in self.layers:
            states, _ = layer(states, self.mask[:length, :length])
        return states

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        states = self.read(batch.users, batch.items, batch.inputs)
        found = {"text": self.text_loss(states[:, _IDS:], batch)}
        if "context" in self.weights:
            found["context"] = self._context_loss(states[:, 1], batch)
        if "rating" in self.weights:
            found["rating"] = squared_error(self.rating(states[:, 0]).squeeze(1), batch.ratings)
        return found

    def start(self, users: torch.Tensor, items: torch.Tensor) -> State:
        return self._onward(self._embedded(self._ids(users, items), 0), ())[1]

    def step(self, words: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        states = self._embedded(self.word_embedding(words)[:, None], state[0].shape[2])
        states, state = self._onward(states, state)
        return states[:, 0], state

    def _ids(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        return torch.stack([self.user_embedding(users), self.item_embedding(items)], dim=1)

    def _embedded(self, vectors: torch.Tensor, begin: int) -> torch.Tensor:
        """(b, l, width) vectors at places `begin` onwards, scaled and with their positions."""
        places = self.positions[begin : begin + vectors.shape[1]]
        return self.dropout(vectors * math.sqrt(vectors.shape[2]) + places)

    def _onward(self, states: torch.Tensor, past: State) -> tuple[torch.Tensor, State]:
        """Places that see each other and all of the past -> their states, and keys and values of every layer."""
        kept: list[torch.Tensor] = []
        for number, layer in enumerate(self.layers):
            states, both = layer(states, None, past[2 * number : 2 * number + 2])
            kept.extend(both)
        return states, tuple(kept)

    def _context_loss(self, states: torch.Tensor, batch: Batch) -> torch.Tensor:
        """(b, width) -> the summed cross-entropy of every word of a sentence, all from its item's one state."""
        logs = functional.log_softmax(self.head(states), dim=1)
        found = logs[batch.rows, batch.targets]
        return -(found * (batch.targets != EOS)).sum()
