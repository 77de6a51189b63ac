"""NRT: a rating, and a tip by a GRU, from user and item (Li et al., SIGIR 2017); POD takes explanations for tips."""

from __future__ import annotations

from dataclasses import dataclass

from baselines._explaining.settings import ExplainingSettings, at_least_one
from bench.models import ModelInfo


@dataclass(frozen=True)
class NrtSettings(ExplainingSettings):
    """Defaults are the paper's sizes (see `baselines._explaining.settings`).

    embedding:     width of user, item and word vectors. hidden: of the GRU and the rating layers.
    rating_layers: sigmoid layers behind the first. rating_weight: of the rating loss; 0: there is none.
    """

    batch_size: int = 200
    embedding: int = 300
    hidden: int = 400
    rating_layers: int = 4
    rating_weight: float = 1.0

    network = "baselines._explaining.nrt:NrtNetwork"

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one(self, "embedding", "hidden")
        if self.rating_layers < 0 or self.rating_weight < 0:
            raise ValueError("rating_layers and rating_weight must not be negative")

    @property
    def body(self) -> int:
        return 3 * self.hidden * (self.embedding + self.hidden)

    @property
    def width(self) -> int:
        return self.hidden


MODELS = (
    ModelInfo(
        "nrt",
        "NRT",
        "explanation",
        ("explanation",),
        "baselines._explaining.model:ExplainingModel",
        NrtSettings,
        "Li et al., SIGIR 2017",
        requires=("torch", "safetensors"),
        protocol_settings=("held_out_pairs",),
        epoch_cost=1.3,
    ),
)
