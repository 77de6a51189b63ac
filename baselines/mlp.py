"""MLP: user and item embeddings through a non-linear stack, trained on pairs (POD section 4.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from baselines.recbole import PairwiseSettings
from bench.models import ModelInfo


@dataclass(frozen=True)
class MlpSettings(PairwiseSettings):
    """layers: widths of the stack. dropout: share of units dropped between its layers."""

    layers: tuple[int, ...] = (128, 64)
    dropout: float = 0.3

    network = "baselines._recbole.mlp_network:MLP"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.layers or min(self.layers) < 1:
            raise ValueError("layers must be widths of at least 1")

    def recbole(self) -> dict[str, Any]:
        return {**super().recbole(), "mlp_hidden_size": list(self.layers), "dropout_prob": self.dropout}


MODELS = (
    ModelInfo(
        "mlp",
        "MLP",
        "general",
        ("sequential", "topn"),
        "baselines._recbole.general:PairwiseModel",
        MlpSettings,
        "Cheng et al., DLRS 2016; tower of He et al., WWW 2017",
        requires=("torch", "recbole", "safetensors"),
        epoch_cost=0.01,
    ),
)
