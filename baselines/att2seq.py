"""Att2Seq: a review by an LSTM, from user and item (Dong et al., EACL 2017); POD takes explanations for reviews."""

from __future__ import annotations

from dataclasses import dataclass

from baselines._explaining.settings import ExplainingSettings, at_least_one
from bench.models import ModelInfo


@dataclass(frozen=True)
class Att2SeqSettings(ExplainingSettings):
    """Defaults are the paper's sizes (see `baselines._explaining.settings`).

    embedding: width of user and item vectors. hidden: of word vectors and the LSTM. layers: of the LSTM.
    dropout:   share of units dropped between them.
    """

    batch_size: int = 50
    clip: float = 5.0
    embedding: int = 64
    hidden: int = 512
    layers: int = 2
    dropout: float = 0.2

    network = "baselines._explaining.att2seq:Att2SeqNetwork"

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one(self, "embedding", "hidden", "layers")

    @property
    def body(self) -> int:
        return 8 * self.layers * self.hidden**2

    @property
    def width(self) -> int:
        return self.hidden


MODELS = (
    ModelInfo(
        "att2seq",
        "Att2Seq",
        "explanation",
        ("explanation",),
        "baselines._explaining.model:ExplainingModel",
        Att2SeqSettings,
        "Dong et al., EACL 2017",
        requires=("torch", "safetensors"),
        protocol_settings=("held_out_pairs",),
        epoch_cost=2.0,
    ),
)
