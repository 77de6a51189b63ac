"""What decides a run's result, and the key made of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.models import ModelInfo
from bench.protocols import Protocol
from bench.settings import as_dict
from bench.splits import Split
from bench.tasks import TaskName

FORMAT = 1
# Raised whenever a change of splitting, ranking, tie-breaking or metrics can change a number.
REFEREE = 1


@dataclass(frozen=True)
class Job:
    """One run to have: a model under settings, a protocol and a seed on a split.

    protocol: the first protocol that needs the run; another that agrees in the model's protocol settings shares it.
    explanations_fingerprint: of the explanation records; "" where the dataset has none.
    timed: it runs in a process of its own that no other run of ours shares the machine with.
    """

    info: ModelInfo
    settings: Any
    protocol: Protocol
    seed: int
    dataset: str
    preset: str
    dataset_fingerprint: str
    split_fingerprint: str
    explanations_fingerprint: str = ""
    timed: bool = False

    @property
    def tasks(self) -> tuple[TaskName, ...]:
        """What the run is asked: the model's tasks that this dataset allows."""
        return tuple(task for task in self.info.tasks if task != "explanation" or self.explanations_fingerprint)

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that decides the result, JSON-ready; device and threads are recorded, not part of it."""
        records = {"explanations": self.explanations_fingerprint} if "explanation" in self.tasks else {}
        return {
            **records,
            **({"timed": True} if self.timed else {}),
            "referee": REFEREE,
            "tasks": list(self.tasks),
            "dataset": self.dataset_fingerprint,
            "split": self.split_fingerprint,
            "model": self.info.name,
            "model_version": self.info.version,
            "settings": as_dict(self.settings),
            "protocol": self.protocol.subset(self.info.protocol_settings),
            "seed": self.seed,
        }

    @property
    def key(self) -> str:
        """Twelve hex digits of the identity."""
        return hashlib.sha256(canonical(self.identity)).hexdigest()[:12]

    @property
    def fit_key(self) -> str:
        """Twelve hex digits of what decides the fit alone: runs that agree in it may share weights."""
        return fit_key_of(self.identity, self.info)

    @property
    def folder(self) -> str:
        """The name of the run's folder under runs/."""
        return f"{self.info.name}-s{self.seed}-{self.key}"


def fit_key_of(identity: Mapping[str, Any], info: ModelInfo) -> str:
    """The `Job.fit_key` of a run with that identity, be it the model's or of one that it shares fits with."""
    asking = frozenset(info.asking)
    fit = {**identity, "model": info.fits or info.name}
    for part in ("settings", "protocol"):
        fit[part] = {name: value for name, value in identity[part].items() if name not in asking}
    return hashlib.sha256(canonical(fit)).hexdigest()[:12]


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: equal values, equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def job_for(
    info: ModelInfo, settings: Any, protocol: Protocol, seed: int, split: Split, dataset: str, preset: str
) -> Job:
    """The job of a model on a split; deterministic models have seed 0 whatever is asked."""
    seed = 0 if info.deterministic else seed
    prints = (split.dataset.fingerprint, split.fingerprint, split.explanations_fingerprint)
    return Job(info, settings, protocol, seed, dataset, preset, *prints)
