"""Sequential recommenders from RecBole: Caser, HGN, GRU4Rec, BERT4Rec, FDSA, SASRec and S3-Rec, and MF.

Networks and losses are RecBole 1.2.1's; loop, batching, masking, candidates and metrics are the suite's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from bench.models import ModelInfo

_PACKAGE = "recbole.model.sequential_recommender"


@dataclass(frozen=True)
class SequentialSettings:
    """Settings that all sequential networks share.

    hidden_size:   width of item embeddings and states.
    dropout:       share of units dropped.
    max_length:    history items that are looked at.
    stride:        distance of training windows in histories longer than that (`batches.windows`).
    loss:          CE over the whole catalogue, or BPR with one negative.
    batch_size:    targets a step.
    epochs:        at most so many passes over the training targets.
    patience:      evaluations without a better validation NDCG@10 before training ends.
    evaluate_every: epochs from one evaluation to the next.
    """

    hidden_size: int = 64
    dropout: float = 0.5
    max_length: int = 50
    stride: int = 25
    loss: Literal["CE", "BPR"] = "CE"
    batch_size: int = 2048
    epochs: int = 500
    patience: int = 20
    evaluate_every: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 0.0

    network = ""

    def __post_init__(self) -> None:
        if self.max_length < 1 or not 1 <= self.stride <= self.max_length:
            raise ValueError("stride must lie in 1..max_length")
        if self.batch_size < 1 or self.epochs < 1 or self.patience < 1 or self.evaluate_every < 1:
            raise ValueError("batch_size, epochs, patience and evaluate_every must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError("dropout must lie in 0..1")

    @property
    def expected_epochs(self) -> int:
        """For estimates of time: early stopping ends most runs well before the limit."""
        return min(self.epochs, 60)

    def recbole(self) -> dict[str, Any]:
        """RecBole's parameters."""
        return {
            "MAX_ITEM_LIST_LENGTH": self.max_length,
            "hidden_size": self.hidden_size,
            "embedding_size": self.hidden_size,
            "loss_type": self.loss,
            "dropout_prob": self.dropout,
        }


@dataclass(frozen=True)
class TransformerSettings(SequentialSettings):
    """layers, heads: of the encoder. inner_size: width of its feed-forward layers."""

    layers: int = 2
    heads: int = 2
    inner_size: int = 256

    def recbole(self) -> dict[str, Any]:
        return {
            **super().recbole(),
            "n_layers": self.layers,
            "n_heads": self.heads,
            "inner_size": self.inner_size,
            "hidden_dropout_prob": self.dropout,
            "attn_dropout_prob": self.dropout,
        }


@dataclass(frozen=True)
class SasRecSettings(TransformerSettings):
    """SASRec (Kang and McAuley, ICDM 2018)."""

    network = f"{_PACKAGE}.sasrec:SASRec"


@dataclass(frozen=True)
class Gru4RecSettings(SequentialSettings):
    """state_size: width of the GRU."""

    dropout: float = 0.3
    state_size: int = 128

    network = f"{_PACKAGE}.gru4rec:GRU4Rec"

    def recbole(self) -> dict[str, Any]:
        return {**super().recbole(), "hidden_size": self.state_size, "num_layers": 1}


@dataclass(frozen=True)
class CaserSettings(SequentialSettings):
    """vertical, horizontal: numbers of filters. l2: weight of the regulariser."""

    dropout: float = 0.5
    max_length: int = 5
    stride: int = 5
    vertical: int = 4
    horizontal: int = 16
    l2: float = 1e-4

    network = f"{_PACKAGE}.caser:Caser"

    def recbole(self) -> dict[str, Any]:
        return {**super().recbole(), "nv": self.vertical, "nh": self.horizontal, "reg_weight": self.l2}


@dataclass(frozen=True)
class HgnSettings(SequentialSettings):
    """pooling: how gated items are summed up. l2: weights of the two regularisers."""

    max_length: int = 5
    stride: int = 5
    pooling: Literal["average", "max"] = "average"
    l2: tuple[float, ...] = (0.0, 0.0)

    network = f"{_PACKAGE}.hgn:HGN"

    def recbole(self) -> dict[str, Any]:
        return {**super().recbole(), "pooling_type": self.pooling, "reg_weight": list(self.l2)}


_REQUIRES = ("torch", "recbole", "safetensors")


def _sequential(name: str, title: str, settings: type, factory: str, paper: str, cost: float, **more: Any) -> ModelInfo:
    return ModelInfo(
        name,
        title,
        "sequential",
        ("sequential", "topn"),
        f"baselines._recbole.{factory}",
        settings,
        paper,
        requires=_REQUIRES,
        epoch_cost=cost,
        **more,
    )


MODELS = (
    _sequential("caser", "Caser", CaserSettings, "sequential:Caser", "Tang and Wang, WSDM 2018", 0.2),
    _sequential("hgn", "HGN", HgnSettings, "sequential:Hgn", "Ma et al., KDD 2019", 0.2),
    _sequential("gru4rec", "GRU4Rec", Gru4RecSettings, "sequential:SequentialModel", "Hidasi et al., ICLR 2016", 0.1),
    _sequential("sasrec", "SASRec", SasRecSettings, "sequential:SequentialModel", "Kang and McAuley, ICDM 2018", 0.1),
)
