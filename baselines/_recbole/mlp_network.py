"""A multi-layer perceptron over user and item embeddings, as a RecBole pairwise recommender."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.model.init import xavier_normal_initialization
from recbole.model.loss import BPRLoss
from recbole.utils import InputType
from torch import nn

_ITEMS_AT_ONCE = 2048


class MLP(GeneralRecommender):
    """Embeddings of user and item, joined, through rectified layers to one score; BPR loss (POD section 4.2).

    The tower of NeuMF (He et al., WWW 2017) without its matrix factorisation half.
    """

    input_type = InputType.PAIRWISE

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        size: int = config["embedding_size"]
        layers: list[int] = list(config["mlp_hidden_size"])
        self.user_embedding = nn.Embedding(self.n_users, size)
        self.item_embedding = nn.Embedding(self.n_items, size)
        # The first layer is kept in two halves: applied to each user and item once, not to every pair of them.
        self.first_user = nn.Linear(size, layers[0])
        self.first_item = nn.Linear(size, layers[0], bias=False)
        rest: list[nn.Module] = [nn.ReLU()]
        for inner, outer in pairwise(layers):
            rest += [nn.Dropout(config["dropout_prob"]), nn.Linear(inner, outer), nn.ReLU()]
        self.rest = nn.Sequential(*rest, nn.Dropout(config["dropout_prob"]), nn.Linear(layers[-1], 1))
        self.loss = BPRLoss()
        self.apply(xavier_normal_initialization)

    def forward(self, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
        """(n,) users and (n,) items, RecBole's numbers -> (n,) scores."""
        first = self.first_user(self.user_embedding(user)) + self.first_item(self.item_embedding(item))
        return self.rest(first).squeeze(-1)

    def calculate_loss(self, interaction: Any) -> torch.Tensor:
        """BPR over interaction's user, item and negative item."""
        user = interaction[self.USER_ID]
        positive = self.forward(user, interaction[self.ITEM_ID])
        return self.loss(positive, self.forward(user, interaction[self.NEG_ITEM_ID]))

    def predict(self, interaction: Any) -> torch.Tensor:
        """(n,) scores of interaction's (user, item) pairs."""
        return self.forward(interaction[self.USER_ID], interaction[self.ITEM_ID])

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """(n * items,) scores of every item for each user."""
        users = self.first_user(self.user_embedding(interaction[self.USER_ID]))
        items = self.first_item(self.item_embedding.weight)
        parts = [
            self.rest(users[:, None, :] + items[None, start : start + _ITEMS_AT_ONCE, :]).squeeze(-1)
            for start in range(0, len(items), _ITEMS_AT_ONCE)
        ]
        return torch.cat(parts, dim=1).reshape(-1)
