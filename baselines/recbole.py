"""Sequential recommenders from RecBole: Caser, HGN, GRU4Rec, BERT4Rec, FDSA, SASRec and S3-Rec, and MF.

Networks and losses are RecBole 1.2.1's; loop, batching, masking, candidates and metrics are the suite's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from bench.models import ModelInfo
from bench.tasks import TaskName

_PACKAGE = "recbole.model.sequential_recommender"


def _at_least_one(settings: Any, *names: str) -> None:
    for name in names:
        if getattr(settings, name) < 1:
            raise ValueError(f"{name} must be at least 1")


@dataclass(frozen=True)
class TrainingSettings:
    """What all networks share.

    hidden_size:   width of the item embeddings.
    batch_size:    targets a step.
    epochs:        at most so many passes over the training targets.
    patience:      evaluations without a better validation NDCG@10 before training ends.
    evaluate_every: epochs from one evaluation to the next.
    learning_rate, weight_decay: of Adam.
    """

    hidden_size: int = 64
    batch_size: int = 256
    epochs: int = 500
    patience: int = 20
    evaluate_every: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 0.0

    network = ""

    def __post_init__(self) -> None:
        _at_least_one(self, "hidden_size", "batch_size", "epochs", "patience", "evaluate_every")
        if self.learning_rate <= 0 or self.weight_decay < 0:
            raise ValueError("learning_rate must be above 0 and weight_decay not below")
        if not 0 <= getattr(self, "dropout", 0.0) < 1:
            raise ValueError("dropout must lie in 0..1")

    @property
    def expected_epochs(self) -> int:
        """For estimates of time: early stopping ends most runs well before the limit."""
        return min(self.epochs, 40)

    def recbole(self) -> dict[str, Any]:
        """RecBole's parameters."""
        return {"hidden_size": self.hidden_size, "embedding_size": self.hidden_size}


@dataclass(frozen=True)
class SequentialSettings(TrainingSettings):
    """max_length: history items that are looked at. loss: CE over the whole catalogue, or BPR with one negative."""

    max_length: int = 50
    loss: Literal["CE", "BPR"] = "CE"

    positions = "start"

    def __post_init__(self) -> None:
        super().__post_init__()
        _at_least_one(self, "max_length")

    def recbole(self) -> dict[str, Any]:
        return {**super().recbole(), "MAX_ITEM_LIST_LENGTH": self.max_length, "loss_type": self.loss}


@dataclass(frozen=True)
class CausalSettings(SequentialSettings):
    """Networks that train all positions of a sequence in one pass.

    dropout: share of units dropped.
    stride:  distance of training windows in histories longer than max_length (`batches.windows`).
    """

    dropout: float = 0.5
    stride: int = 25

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.stride <= self.max_length:
            raise ValueError("stride must lie in 1..max_length; set both")

    def recbole(self) -> dict[str, Any]:
        return {**super().recbole(), "dropout_prob": self.dropout}


def _check_transformer(settings: Any) -> None:
    _at_least_one(settings, "layers", "heads", "inner_size")
    if settings.hidden_size % settings.heads:
        raise ValueError("hidden_size must be a multiple of heads")


def _transformer(settings: Any) -> dict[str, Any]:
    return {
        "n_layers": settings.layers,
        "n_heads": settings.heads,
        "inner_size": settings.inner_size,
        "hidden_dropout_prob": settings.dropout,
        "attn_dropout_prob": settings.dropout,
    }


@dataclass(frozen=True)
class TransformerSettings(CausalSettings):
    """layers, heads: of the encoder. inner_size: width of its feed-forward layers."""

    layers: int = 2
    heads: int = 2
    inner_size: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_transformer(self)

    def recbole(self) -> dict[str, Any]:
        return {**super().recbole(), **_transformer(self)}


@dataclass(frozen=True)
class SasRecSettings(TransformerSettings):
    """SASRec (Kang and McAuley, ICDM 2018).

    positions: counted back from the latest item ("end", as the original does; a row for each target), or from the
               oldest ("start", as RecBole does; all targets of a row in one pass, half the cost).
    """

    positions: Literal["start", "end"] = "start"

    network = f"{_PACKAGE}.sasrec:SASRec"


@dataclass(frozen=True)
class SasRecPairwiseSettings(TransformerSettings):
    """SASRec with one negative for each target, close to the original's loss."""

    loss: Literal["CE", "BPR"] = "BPR"

    network = f"{_PACKAGE}.sasrec:SASRec"


@dataclass(frozen=True)
class Gru4RecSettings(CausalSettings):
    """state_size: width of the GRU."""

    dropout: float = 0.3
    state_size: int = 128

    network = f"{_PACKAGE}.gru4rec:GRU4Rec"

    def __post_init__(self) -> None:
        super().__post_init__()
        _at_least_one(self, "state_size")

    def recbole(self) -> dict[str, Any]:
        return {**super().recbole(), "hidden_size": self.state_size, "num_layers": 1}


@dataclass(frozen=True)
class CaserSettings(SequentialSettings):
    """dropout: share of units dropped. vertical, horizontal: numbers of filters. l2: weight of the regulariser."""

    max_length: int = 5
    dropout: float = 0.5
    vertical: int = 4
    horizontal: int = 16
    l2: float = 1e-4

    network = f"{_PACKAGE}.caser:Caser"

    def __post_init__(self) -> None:
        super().__post_init__()
        _at_least_one(self, "vertical", "horizontal")

    def recbole(self) -> dict[str, Any]:
        return {
            **super().recbole(),
            "dropout_prob": self.dropout,
            "nv": self.vertical,
            "nh": self.horizontal,
            "reg_weight": self.l2,
        }


@dataclass(frozen=True)
class HgnSettings(SequentialSettings):
    """pooling: how gated items are summed up. l2: weights of the two regularisers."""

    max_length: int = 5
    pooling: Literal["average", "max"] = "average"
    l2: tuple[float, ...] = (0.0, 0.0)

    network = f"{_PACKAGE}.hgn:HGN"

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.l2) != 2:
            raise ValueError("l2 must be two numbers")

    def recbole(self) -> dict[str, Any]:
        return {**super().recbole(), "pooling_type": self.pooling, "reg_weight": list(self.l2)}


@dataclass(frozen=True)
class FdsaSettings(TransformerSettings):
    """FDSA: a second encoder over the attributes of the items."""

    network = f"{_PACKAGE}.fdsa:FDSA"

    def recbole(self) -> dict[str, Any]:
        return {**super().recbole(), "selected_features": ["class"], "pooling_mode": "mean"}


@dataclass(frozen=True)
class Bert4RecSettings(SequentialSettings):
    """mask_ratio: share of a sequence's items that are masked. copies: maskings of a sequence an epoch.

    dropout, layers, heads, inner_size: as in `TransformerSettings`.
    """

    dropout: float = 0.2
    layers: int = 2
    heads: int = 2
    inner_size: int = 256
    mask_ratio: float = 0.2
    copies: int = 2

    network = f"{_PACKAGE}.bert4rec:BERT4Rec"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_transformer(self)
        if self.loss != "CE":
            raise ValueError("bert4rec trains with loss CE alone")
        if not 0 < self.mask_ratio < 1 or self.copies < 0 or self.max_length < 2:
            raise ValueError("mask_ratio must lie in 0..1, copies must not be negative, max_length must exceed 1")

    def recbole(self) -> dict[str, Any]:
        masks = {"MASK_ITEM_SEQ": "Mask_item_id_list", "POS_ITEMS": "Pos_item_id", "NEG_ITEMS": "Neg_item_id"}
        more = {"MASK_INDEX": "MASK_INDEX", "mask_ratio": self.mask_ratio}
        return {**super().recbole(), **_transformer(self), **masks, **more}


@dataclass(frozen=True)
class S3RecSettings(TransformerSettings):
    """pretrain_epochs: passes of self-supervised pretraining. pretrain_batch_size: sequences a step there.

    mask_ratio: share of items masked in pretraining. weights: of the attribute, item, masked attribute and
    segment losses.
    """

    pretrain_epochs: int = 100
    pretrain_batch_size: int = 256
    mask_ratio: float = 0.2
    weights: tuple[float, ...] = (0.2, 1.0, 1.0, 0.5)

    network = f"{_PACKAGE}.s3rec:S3Rec"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss != "CE":
            raise ValueError("s3rec finetunes with loss CE alone")
        if len(self.weights) != 4:
            raise ValueError("weights must be four numbers")
        _at_least_one(self, "pretrain_batch_size")
        if self.pretrain_epochs < 0 or not 0 < self.mask_ratio < 1:
            raise ValueError("pretrain_epochs must not be negative and mask_ratio must lie in 0..1")

    @property
    def expected_epochs(self) -> int:
        return super().expected_epochs + self.pretrain_epochs

    def recbole(self) -> dict[str, Any]:
        names = ("aap_weight", "mip_weight", "map_weight", "sp_weight")
        stage = {"train_stage": "pretrain", "item_attribute": "class", "mask_ratio": self.mask_ratio}
        return {**super().recbole(), **stage, **dict(zip(names, self.weights, strict=True))}


@dataclass(frozen=True)
class PairwiseSettings(TrainingSettings):
    """Recommenders that score a user and an item, trained on pairs (BPR); batch_size counts interactions."""

    batch_size: int = 2048

    network = "recbole.model.general_recommender.bpr:BPR"


_REQUIRES = ("torch", "recbole", "safetensors")


def _neural(name: str, title: str, settings: type, factory: str, paper: str, cost: float, **more: Any) -> ModelInfo:
    family = "general" if factory.startswith("general") else "sequential"
    tasks: tuple[TaskName, ...] = ("sequential", "topn")
    where = f"baselines._recbole.{factory}"
    return ModelInfo(name, title, family, tasks, where, settings, paper, requires=_REQUIRES, epoch_cost=cost, **more)


_SASREC = "Kang and McAuley, ICDM 2018"
_ATTRIBUTES = {"needs": ("attributes",)}

MODELS = (
    _neural("caser", "Caser", CaserSettings, "sequential:FixedWidthModel", "Tang and Wang, WSDM 2018", 0.12),
    _neural("hgn", "HGN", HgnSettings, "sequential:FixedWidthModel", "Ma et al., KDD 2019", 0.11),
    _neural("gru4rec", "GRU4Rec", Gru4RecSettings, "sequential:SequentialModel", "Hidasi et al., ICLR 2016", 0.08),
    _neural("bert4rec", "BERT4Rec", Bert4RecSettings, "masked:MaskedModel", "Sun et al., CIKM 2019", 0.1),
    _neural(
        "fdsa", "FDSA", FdsaSettings, "sequential:SequentialModel", "Zhang et al., IJCAI 2019", 0.11, **_ATTRIBUTES
    ),
    _neural("sasrec", "SASRec", SasRecSettings, "sequential:SequentialModel", _SASREC, 0.16),
    _neural(
        "sasrec-pairwise", "SASRec (pairwise)", SasRecPairwiseSettings, "sequential:SequentialModel", _SASREC, 0.09
    ),
    _neural("s3rec", "S3-Rec", S3RecSettings, "pretraining:S3Rec", "Zhou et al., CIKM 2020", 0.09, **_ATTRIBUTES),
    _neural("mf", "MF", PairwiseSettings, "general:PairwiseModel", "Rendle et al., UAI 2009", 0.004),
)
