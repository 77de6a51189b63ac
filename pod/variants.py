"""POD and its variants, as the registry knows them; importing this needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.models import ModelInfo
from bench.tasks import TaskName

Strategy = Literal["task-alternated", "sample-mixed", "packed", "fastest"]
Inference = Literal["continuous", "continuous+discrete", "discrete"]


# T5's positions are relative and know no end, but it was trained on inputs of so many tokens.
POSITIONS = 512
_EPOCH_COSTS = {"mini": 0.4, "small": 15.0, "base": 60.0}


@dataclass(frozen=True)
class PodSettings:
    """How POD is built, trained and asked. Defaults are the paper's (section 4.4).

    backbone:       a T5-family model of the hub, a folder with one, or scratch:NAME (see `pod.backbone`).
    item_tokens:    "sentencepiece": an item is written in pieces, as in the paper; "independent": one added token an
                    item (Hua et al., SIGIR-AP 2023).
    prompts:        K, prompt vectors a task; none: what the protocol has, 10 in the published logs and 3 in the paper.
    templates:      "": the suite's own worded templates; else the content of a templates file (--templates).
    strategy:       "task-alternated" (Algorithm 1), "sample-mixed" (padded, as P5 does), "packed" (sample-mixed without
                    padding: the same losses and gradients) or "fastest": packed where padding is masked, else
                    task-alternated.
    mask_padding:   losses and cross-attention leave padding out under every protocol; none: as the protocol says.
    tasks:          tasks to train on, of those that the data allows; the others are asked all the same.
    batch_size:     samples a step. topn_batch_size: of top-N, whose inputs are ten times as long; none: the same.
    epochs, patience: at most so many epochs; end after so many without a lower mean validation loss.
    learning_rate, weight_decay: of AdamW. warmup: steps over which the rate rises. decay: share left at the end.
    clip:           largest norm of the gradients; 0: none.
    parts:          a step is computed in so many parts with the gradients of one, to save memory.
    precision:      "bf16" computes in bfloat16 on CUDA.
    dropout:        of the backbone; none: its own.
    whole_word_scale: standard deviation of the initial whole-word embeddings.
    words_on_prompts: whole-word embedding 0 is added to prompt vectors too, as the paper says and its code does not.
    validation_users: validate on so many users and pairs a task, the same ones always; 0: all.
    inference:      "continuous": prompt vectors and ids alone; "continuous+discrete": with the words of the first
                    worded template; "discrete": those words without prompt vectors.
    bare:           train on the bare template beside the worded ones.
    beams:          of ranking. explanation_beams: of explanation; the published 21 in 3 groups are three times 7.
    inference_batch: rows of a batch where the protocol's results depend on it.
    token_budget:   input tokens of a batch elsewhere.
    """

    backbone: str = "t5-small"
    item_tokens: Literal["sentencepiece", "independent"] = "sentencepiece"
    prompts: int | None = None
    templates: str = ""
    strategy: Strategy = "task-alternated"
    mask_padding: bool | None = None
    tasks: tuple[str, ...] = ("explanation", "sequential", "topn")
    batch_size: int = 64
    topn_batch_size: int | None = None
    epochs: int = 100
    patience: int = 5
    learning_rate: float = 5e-4
    weight_decay: float = 0.01
    warmup: int = 0
    decay: float = 1.0
    clip: float = 0.0
    parts: int = 1
    precision: Literal["fp32", "bf16"] = "fp32"
    dropout: float | None = None
    whole_word_scale: float = 1.0
    words_on_prompts: bool = False
    validation_users: int = 0
    inference: Inference = "continuous"
    bare: bool = True
    beams: int = 20
    explanation_beams: int = 7
    inference_batch: int = 32
    token_budget: int = 16384

    def __post_init__(self) -> None:
        if self.prompts is not None and not 0 <= self.prompts <= POSITIONS:
            limit = "the positions of an input that T5 was trained with"
            raise ValueError(f"prompts (K) must lie in 0 to {POSITIONS}, {limit}, not {self.prompts}")
        for name in ("batch_size", "epochs", "patience", "parts", "beams", "explanation_beams", "inference_batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        for name in ("learning_rate", "weight_decay", "warmup", "clip", "whole_word_scale", "validation_users"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")
        known = ("explanation", "sequential", "topn")
        if not self.tasks or not set(self.tasks) <= set(known):
            raise ValueError(f"tasks must be some of {', '.join(known)}")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise ValueError("dropout must be at least 0 and below 1")

    @property
    def expected_epochs(self) -> int:
        """For `--dry-run`."""
        return min(self.epochs, 25)

    @property
    def expected_epoch_cost(self) -> float:
        """CPU-seconds of an epoch per 1,000 training interactions, for `--dry-run`; 0 where nobody measured it.

        Of scratch:mini from whole runs; of T5-small's shape from benchmarks/training.py, 37 times as much a step; of
        T5-base's by its four times as many operations. A CUDA device takes a small part of it.
        """
        size = next((size for size in _EPOCH_COSTS if size in self.backbone), "")
        return _EPOCH_COSTS.get(size, 0.4 if self.backbone.startswith("scratch:") else 0.0)


@dataclass(frozen=True)
class IndependentSettings(PodSettings):
    """POD with one added token an item."""

    item_tokens: Literal["sentencepiece", "independent"] = "independent"


@dataclass(frozen=True)
class DiscreteSettings(PodSettings):
    """POD asked with prompt vectors and words."""

    inference: Inference = "continuous+discrete"


@dataclass(frozen=True)
class SequentialSettings(PodSettings):
    """POD trained on the sequential task alone."""

    tasks: tuple[str, ...] = ("sequential",)


@dataclass(frozen=True)
class P5Settings(PodSettings):
    """P5: words only. No prompt vectors, worded templates alone, samples of all tasks mixed in padded batches whose
    padding neither losses nor attention see.
    """

    prompts: int | None = 0
    strategy: Strategy = "sample-mixed"
    mask_padding: bool | None = True
    inference: Inference = "discrete"
    bare: bool = False


@dataclass(frozen=True)
class IndependentP5Settings(P5Settings):
    """P5 with one added token an item."""

    item_tokens: Literal["sentencepiece", "independent"] = "independent"


ASKING = ("inference", "beams", "explanation_beams", "inference_batch", "token_budget")
# Of the protocol, what is done with a trained network alone.
PROTOCOL_ASKING = ("constrained", "keep_history", "per_occurrence")
# The protocol settings that touch what these models learn or answer; not how sentences are judged.
PROTOCOL = (
    "item_numbering",
    "held_out_pairs",
    "count_padding",
    "mask_cross_attention",
    "prompt_vectors",
    "shuffle_first_pass",
    "whole_history_negatives",
    "redraw_validation",
    "reset_patience",
    "constrained",
    "keep_history",
    "per_occurrence",
)
WAYS = {"plain": "as released", "ours": "encoded once"}
REQUIRES = ("torch", "transformers", "safetensors", "sentencepiece", "tokenizers")


def text_model(
    name: str,
    title: str,
    settings: type[PodSettings],
    paper: str,
    fits: str = "",
    tasks: tuple[TaskName, ...] = ("explanation", "sequential", "topn"),
) -> ModelInfo:
    """The registry's entry of a model of this family."""
    return ModelInfo(
        name,
        title,
        "llm",
        tasks,
        "pod.recommender:Pod",
        settings,
        paper,
        requires=REQUIRES,
        protocol_settings=PROTOCOL,
        asking=(*ASKING, *PROTOCOL_ASKING),
        fits=fits,
        ways=WAYS,
    )


_PAPER = "Li et al., CIKM 2023"

MODELS: tuple[ModelInfo, ...] = (
    text_model("pod", "POD", PodSettings, _PAPER),
    text_model("pod-discrete", "POD (with words)", DiscreteSettings, f"{_PAPER}, Table 6", fits="pod"),
    text_model(
        "pod-independent", "POD (a token an item)", IndependentSettings, f"{_PAPER}; ids of Hua et al., SIGIR-AP 2023"
    ),
    text_model("pod-sequential", "POD (sequential alone)", SequentialSettings, _PAPER, tasks=("sequential",)),
)
