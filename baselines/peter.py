"""PETER: a small Transformer that reads user and item before the words (Li et al., ACL 2021), without features."""

from __future__ import annotations

from dataclasses import dataclass

from baselines._explaining.settings import ExplainingSettings, at_least_one
from bench.models import ModelInfo


@dataclass(frozen=True)
class PeterSettings(ExplainingSettings):
    """Defaults are the paper's sizes (see `baselines._explaining.settings`).

    embedding: width of all vectors and states. inner: of the feed-forward layers. layers, heads: of the Transformer.
    dropout:   share of units dropped.
    context_weight, rating_weight: of these losses beside the text's; 0: there is none.
    """

    clip: float = 1.0
    embedding: int = 512
    inner: int = 2048
    layers: int = 2
    heads: int = 2
    dropout: float = 0.2
    context_weight: float = 1.0
    rating_weight: float = 0.1

    network = "baselines._explaining.peter:PeterNetwork"

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one(self, "embedding", "inner", "layers", "heads")
        if self.embedding % self.heads or self.embedding % 2:
            raise ValueError("embedding must be even and a multiple of heads")
        if self.context_weight < 0 or self.rating_weight < 0:
            raise ValueError("context_weight and rating_weight must not be negative")

    @property
    def body(self) -> int:
        return self.layers * self.embedding * (4 * self.embedding + 2 * self.inner)

    @property
    def width(self) -> int:
        return self.embedding


MODELS = (
    ModelInfo(
        "peter",
        "PETER",
        "explanation",
        ("explanation",),
        "baselines._explaining.model:ExplainingModel",
        PeterSettings,
        "Li et al., ACL 2021",
        requires=("torch", "safetensors"),
        protocol_settings=("held_out_pairs",),
        epoch_cost=4.1,
    ),
)
