"""The protocol every model fulfils, and the registry that finds models without importing their libraries.

A model is one file in `baselines/` (or any module named by an entry point of the group `podium.models`)
with a tuple `MODELS` of `ModelInfo`. Heavy imports belong inside the class or a module that `factory` names.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from bench.efficiency import Timing
from bench.errors import UserError
from bench.progress import Progress
from bench.protocols import Protocol as EvaluationProtocol
from bench.ragged import FloatArray, IntArray, Ragged
from bench.tasks import Queries, Ranking, TaskName, select_top

ENTRY_POINTS = "podium.models"
PACKAGES = ("baselines",)
MODULES = ("pod.variants",)


@dataclass(frozen=True, eq=False)
class Validation:
    """Validation questions of one task and the referee's verdict on a ranking of them.

    queries: what to rank.
    truth:   (n,) the held-out validation items, for models that select by their loss.
    score:   ranking -> {"HR@1": mean, …, "NDCG@10": mean}.
    """

    queries: Queries
    truth: IntArray
    score: Callable[[Ranking], dict[str, float]]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Users and items of explanations, and the sentences and ratings where they may be seen.

    users, items: (n,) indices. texts: n sentences; empty where they are what is asked for.
    ratings:      (n,) float32 of the same reviews; None where not all are known, or sentences are asked for.
    """

    users: IntArray
    items: IntArray
    texts: tuple[str, ...] = ()
    ratings: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True, eq=False)
class Training:
    """Everything a model may learn from; no test item is in it.

    n_users, n_items: sizes; users and items are indices below them.
    sequences:    row u: training items of user u, oldest first.
    attributes:   row i: attribute numbers (from 1) of item i, or None.
    item_numbers: (n_items,) the number that text models and probes know each item by (protocol's numbering).
    validation:   per ranking task, for early stopping and tuning.
    protocol:     the evaluation protocol; a model may read only the settings its info names.
    negatives:    (users, generator) -> (n, 99) items that these users never touched, -1 where there are too few; under
                  `published` held-out items count as touched (PUBLISHED.md, line 11).
    explanations: training and validation pairs with their sentences; None where the dataset has no texts.
    """

    n_users: int
    n_items: int
    sequences: Ragged
    attributes: Ragged | None
    item_numbers: IntArray
    validation: Mapping[TaskName, Validation]
    protocol: EvaluationProtocol
    negatives: Callable[[IntArray, np.random.Generator], IntArray] | None = None
    explanations: tuple[Pairs, Pairs] | None = None


@dataclass(frozen=True, eq=False)
class Context:
    """How to run: randomness, place and reporting.

    seed:       the run's seed; derive generators from it, never seed a global one.
    device:     "cpu" or "cuda".
    threads:    how many CPU threads a library may use.
    checkpoint: a folder that outlives a killed process, for resuming; None: do not checkpoint.
    progress:   where to report steps and lines.
    curve:      one dict per epoch or step, kept in the run's record (curve.csv).
    facts:      what the model wants said beside its numbers; kept in the run's record, JSON-ready.
    offline:    never download. data_dir: where the user keeps data; a tokenizer may lie there.
    spent:      what killed processes spent on this fit before; set by the model that resumes.
    memory_mib: what a training step may take, weights included; a model that cannot keep to it says so. 0: no limit.
    """

    seed: int
    device: str = "cpu"
    threads: int = 1
    checkpoint: Path | None = None
    progress: Progress = field(default_factory=Progress)
    curve: list[dict[str, float]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    offline: bool = False
    data_dir: Path | None = None
    spent: Timing = field(default_factory=Timing)
    memory_mib: float = 0.0

    def rng(self, stream: int = 0) -> np.random.Generator:
        """An independent numpy generator; equal (seed, stream) give equal draws."""
        return np.random.default_rng([self.seed, stream])


class Model(Protocol):
    """What the referee calls. Built from its settings record, fitted once, asked as often as needed."""

    def fit(self, training: Training, context: Context) -> None:
        """Learn from the training data; validation may be asked for, test data is not there to be seen."""
        ...

    def rank(self, queries: Queries) -> Ranking:
        """Answer queries of a task the model's info names; see `bench.tasks.Ranking` for the form."""
        ...


class Explainer(Protocol):
    """What a model adds that its info says can explain."""

    def explain(self, pairs: Pairs) -> list[str]:
        """One sentence for each pair, in order; "" where it has nothing to say."""
        ...


class Restorable(Protocol):
    """What a model adds whose fit can be shared: it takes another run's weights instead of fitting."""

    def restore(self, weights: Path, training: Training, context: Context) -> None:
        """Become the model that wrote these weights; UserError where they are of another shape or version."""
        ...


class Timeable(Protocol):
    """What a model adds whose inference can be timed in several ways: see `ModelInfo.ways`."""

    def way(self, name: str) -> Any:
        """The fitted model with `rank` and, where it explains, `explain`, asked this way and doing nothing beside;
        `work` counts what it has read so far: {"encoded": tokens, "decoded": tokens}.
        """
        ...


class ScoringModel(ABC):
    """Base for models that can score items: ranking, history and ties are left to the referee.

    chunk: queries scored at a time; fewer where the catalogue is large.
    cells: scores held at a time, about ten bytes each.
    """

    chunk: int = 512
    cells: int = 1 << 23

    @abstractmethod
    def fit(self, training: Training, context: Context) -> None:
        """See `Model.fit`."""

    @abstractmethod
    def scores(self, queries: Queries) -> FloatArray:
        """(n, n_items) float32 scores of the catalogue for each query, higher is better; may be overwritten."""

    def rank(self, queries: Queries) -> Ranking:
        """Rank the catalogue or the candidates, a chunk of queries with histories of like length at a time."""
        items = np.empty((len(queries), queries.k), np.int32)
        scores = np.empty((len(queries), queries.k), np.float32)
        order = np.argsort(queries.histories.lengths, kind="stable")
        size = max(1, min(self.chunk, self.cells // max(1, queries.n_items)))
        for place, part in queries.take(order).chunks(size):
            top = select_top(self.scores(part) if part.candidates is None else self.candidate_scores(part), part)
            items[order[place]], scores[order[place]] = top.items, top.scores
        return Ranking(items, scores)

    def candidate_scores(self, queries: Queries) -> FloatArray:
        """(n, 100) float32 scores of each query's candidates; override where the catalogue is not needed for it."""
        if queries.candidates is None:
            raise ValueError("these queries have no candidates")
        return np.take_along_axis(self.scores(queries), np.maximum(queries.candidates, 0), axis=1)


@dataclass(frozen=True)
class NoSettings:
    """A model without settings."""


@dataclass(frozen=True)
class ModelInfo:
    """What the suite knows of a model before it loads it.

    name:      on the command line and in files; lower case.
    title:     in tables, as the paper prints it.
    family:    "rule", "probe" (shows a leak, competes with nobody), "sequential", "general", "llm" or "explanation".
    tasks:     what it can be asked.
    factory:   "module:Class"; called with the settings record.
    settings:  a frozen dataclass; defaults are the paper preset's.
    paper:     where the method is from.
    version:   raised whenever a change of code can change its results.
    requires:  importable packages it needs.
    needs:     data it cannot do without: "attributes", "ratings".
    protocol_settings: fields of `bench.protocols.Protocol` that touch it; empty: one run serves every protocol.
    deterministic: no randomness, so one run serves every seed.
    epoch_cost: CPU-seconds of one epoch per 1,000 training interactions, measured, for `--dry-run`.
    asking:    settings, and protocol settings, that touch asking only: runs that differ in nothing else share one fit,
               through its weights.
    fits:      the model whose fit it shares under the same other settings; "": its own.
    ways:      how its inference can be timed, by name, with what to call each; empty: not at all.
    """

    name: str
    title: str
    family: str
    tasks: tuple[TaskName, ...]
    factory: str
    settings: type = NoSettings
    paper: str = ""
    version: int = 1
    requires: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    protocol_settings: tuple[str, ...] = ()
    deterministic: bool = False
    epoch_cost: float = 0.0
    asking: tuple[str, ...] = ()
    fits: str = ""
    ways: Mapping[str, str] = field(default_factory=dict)

    def missing_packages(self) -> list[str]:
        """The required packages that are not installed."""
        return [package for package in self.requires if not _installed(package)]

    def build(self, settings: Any) -> Model:
        """Import the factory and make a model; raises UserError where a package is missing."""
        missing = self.missing_packages()
        if missing:
            fix = "pip install 'podium-bench[neural]'; for RecBole on Python 3.12 and later see docs/ARCHITECTURE.md"
            raise UserError(f"needs {', '.join(missing)}", f"model {self.name}", fix)
        module, _, attribute = self.factory.partition(":")
        return getattr(importlib.import_module(module), attribute)(settings)


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # what find_spec does where the parent of a sub-package is missing
        return False


@dataclass(frozen=True)
class Registry:
    """All models by name, and the modules that stepped aside with the reason."""

    models: Mapping[str, ModelInfo]
    broken: Mapping[str, str]

    def get(self, name: str) -> ModelInfo:
        """The model of that name; UserError with a suggestion otherwise."""
        if name in self.models:
            return self.models[name]
        close = get_close_matches(name, self.models, n=1, cutoff=0.4)
        hint = f"did you mean '{close[0]}'?" if close else "see --list for the names"
        raise UserError(f"unknown model '{name}'", "--models", hint)


def discover() -> Registry:
    """Import every model module (none may import a heavy library at its top) and collect their infos.

    Two models of one name are an error; a module that cannot be imported, or whose MODELS is not a tuple of
    ModelInfo, steps aside with its reason.
    """
    models: dict[str, ModelInfo] = {}
    broken: dict[str, str] = {}
    for name, load in _modules():
        try:
            found = _infos(load())
        except Exception as error:  # noqa: BLE001 - other people's code may raise anything; it costs its models only
            broken[name] = f"{type(error).__name__}: {error}".replace("\n", " ")
            continue
        for info in found:
            if info.name in models and models[info.name] != info:
                raise UserError(f"two models are called '{info.name}'", name, "rename one of them")
            models[info.name] = info
    return Registry(models, broken)


def _infos(loaded: Any) -> tuple[ModelInfo, ...]:
    """The models of a module, or of the tuple that an entry point names; a module without MODELS has none."""
    found = getattr(loaded, "MODELS", ()) if isinstance(loaded, ModuleType) else loaded
    if not isinstance(found, tuple) or not all(isinstance(info, ModelInfo) for info in found):
        raise TypeError("MODELS must be a tuple of ModelInfo")
    return found


def _modules() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Where models are declared, and how each is loaded."""
    for package in PACKAGES:
        path = importlib.import_module(package).__path__
        for module in sorted(pkgutil.iter_modules(path), key=lambda found: found.name):
            if not module.name.startswith("_"):
                full = f"{package}.{module.name}"
                yield full, lambda full=full: importlib.import_module(full)
    for name in MODULES:
        yield name, lambda name=name: importlib.import_module(name)
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        yield entry.value, entry.load
