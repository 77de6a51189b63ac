"""A shop small enough to check by hand, and models that train, fail, hang or die on demand, without torch."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from bench.data.dataset import DataNote, Dataset
from bench.errors import RunFailed, UserError
from bench.models import Context, ModelInfo, NoSettings, Registry, ScoringModel
from bench.protocols import PROTOCOLS
from bench.ragged import Ragged
from bench.runs.execute import execute
from bench.runs.identity import job_for
from bench.runs.record import Unwritable
from bench.splits import make_split

HISTORIES = ([0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4], [5, 0, 6, 1, 7], [0, 4])
N_ITEMS = 8


def tiny_dataset(name="tiny", histories=HISTORIES, **more):
    users = tuple(f"u{index}" for index in range(len(histories)))
    items = tuple(f"i{index}" for index in range(N_ITEMS))
    notes = (DataNote("repeated user-item pairs dropped, the earliest kept", 2), DataNote("of nothing", 0))
    return Dataset(name, "made by hand", users, items, Ragged.from_rows(histories), notes=notes, **more)


def tiny_split(**more):
    return make_split(tiny_dataset(**more))


@dataclass(frozen=True)
class StepperSettings:
    """steps: of training. pause: seconds a step. end: how it goes wrong at the last step. trace: a file for steps."""

    steps: int = 3
    pause: float = 0.0
    end: str = ""
    trace: str = ""
    backbone: str = "t0-tiny"


class Stepper(ScoringModel):
    """Adds random weights to items, a checkpoint after each step; the result is a function of seed and steps."""

    def __init__(self, settings):
        self._settings = settings
        self._weights = np.zeros(0)

    def fit(self, training, context: Context) -> None:
        assert context.checkpoint is not None
        path, done = context.checkpoint / "state.json", 0
        self._weights = np.zeros(training.n_items)
        if path.exists():
            stored = json.loads(path.read_text())
            done, self._weights = stored["done"], np.array(stored["weights"])
        for step in range(done, self._settings.steps):
            time.sleep(self._settings.pause)
            if step == self._settings.steps - 1:
                self._go_wrong()
            self._weights = self._weights + context.rng(step).random(training.n_items)
            path.parent.mkdir(parents=True, exist_ok=True)
            aside = path.with_name(".aside")
            aside.write_text(json.dumps({"done": step + 1, "weights": self._weights.tolist()}))
            aside.replace(path)
            context.curve.append({"epoch": step + 1.0, "loss": 1.0 / (step + 1)})
            if self._settings.trace:
                with Path(self._settings.trace).open("a") as stream:
                    stream.write(f"{step} {os.getpid()}\n")

    def _go_wrong(self) -> None:
        end = self._settings.end
        if end == "run":
            raise RunFailed("the loss became nan")
        if end == "user":
            raise UserError("cannot do this", "stepper", "do something else")
        if end == "memory":
            raise MemoryError
        if end == "bug":
            raise ZeroDivisionError("a line\nand another \\input{x}")
        if end == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if end == "disk":
            raise Unwritable("No space left on device", "checkpoints")
        if end == "interrupt":
            raise KeyboardInterrupt

    def scores(self, queries):
        return np.tile(self._weights.astype(np.float32), (len(queries), 1))


class Ascending(ScoringModel):
    """Prefers low item indices: its lists can be written down by hand."""

    def __init__(self, settings):
        del settings

    def fit(self, training, context) -> None:
        self.training = training

    def scores(self, queries):
        return np.tile(-np.arange(queries.n_items, dtype=np.float32), (len(queries), 1))


class Clocked(Ascending):
    """Prefers low items, either way; counts what it reads, and notes every time it is asked where it is told to."""

    def __init__(self, settings):
        self._trace = settings.trace

    def fit(self, training, context) -> None:
        context.checkpoint.mkdir(parents=True, exist_ok=True)
        (context.checkpoint / "best.safetensors").write_bytes(b"weights")

    def restore(self, weights, training, context) -> None:
        assert weights.read_bytes() == b"weights"

    def way(self, name):
        return ClockedWay(name, self._trace)


class ClockedWay(Ascending):
    def __init__(self, name, trace):
        self.name, self.trace, self.work = name, trace, {"encoded": 0, "decoded": 0}

    def rank(self, queries):
        self.work["encoded"] += len(queries) * (20 if self.name == "plain" else 1)
        self.work["decoded"] += 3 * len(queries)
        if self.trace:
            with Path(self.trace).open("a") as stream:
                stream.write(f"{self.name} {queries.task}\n")
        return super().rank(queries)


class Cheat(Ascending):
    """Lists items of the history, which no list may hold."""

    def rank(self, queries):
        from bench.tasks import Ranking

        items = np.full((len(queries), queries.k), -1, np.int32)
        items[:, 0] = [queries.histories[row][0] for row in range(len(queries))]
        return Ranking(items, np.where(items >= 0, 1.0, -np.inf).astype(np.float32))


TASKS = ("sequential", "topn")
STEPPER = ModelInfo("stepper", "Stepper", "fake", TASKS, "fakes:Stepper", StepperSettings, epoch_cost=1.0)
ASCENDING = ModelInfo("ascending", "Ascending", "rule", TASKS, "fakes:Ascending", NoSettings, deterministic=True)
CHEAT = ModelInfo("cheat", "Cheat", "rule", ("sequential",), "fakes:Cheat", NoSettings, deterministic=True)
NUMBERED = ModelInfo(
    "numbered",
    "Numbered",
    "probe",
    TASKS,
    "fakes:Ascending",
    NoSettings,
    protocol_settings=("item_numbering",),
    deterministic=True,
)
CLOCKED = ModelInfo(
    "clocked",
    "Clocked",
    "fake",
    TASKS,
    "fakes:Clocked",
    StepperSettings,
    asking=("trace",),
    ways={"plain": "slowly", "ours": "fast"},
)
REGISTRY = Registry({info.name: info for info in (STEPPER, ASCENDING, CHEAT, NUMBERED)}, {})


def make_job(info=ASCENDING, split=None, seed=0, protocol="sound", preset="smoke", **settings):
    split = split or tiny_split()
    values = info.settings(**settings)
    return job_for(info, values, PROTOCOLS[protocol], seed, split, split.dataset.name, preset)


def run(job, split, runs, **more):
    from bench.progress import Progress

    return execute(job, split, runs, device="cpu", threads=1, progress=Progress(), **more)


@dataclass(frozen=True)
class PretendSettings:
    """What tables of time and of prompt vectors vary."""

    strategy: str = "fastest"
    prompts: int | None = None
    inference: str = "continuous"
    backbone: str = "scratch:none"


class Pretend(Clocked):
    """Looks like POD: a learning curve with times, weights, ways, and an answer that depends on K."""

    SPEED: ClassVar = {"sample-mixed": 8.0, "task-alternated": 3.0, "packed": 1.0}

    def __init__(self, settings):
        self.settings, self._trace = settings, ""

    def fit(self, training, context) -> None:
        super().fit(training, context)
        speed = self.SPEED.get(self.settings.strategy, 2.0)
        for epoch in range(1, 4):
            context.curve.append(
                {
                    "epoch": float(epoch),
                    "loss": 3.0 / epoch,
                    "validation_loss": (2.0, 1.0, 1.5)[epoch - 1],
                    "samples": 100.0 * epoch,
                    "tokens": 1000.0 * epoch,
                    "padding": 0.25,
                    "seconds": speed * epoch,
                    "cpu_seconds": speed * epoch,
                    "validation_seconds": 0.5 * epoch,
                }
            )


@dataclass(frozen=True)
class WordySettings(PretendSettings):
    """The same, asked with words."""

    inference: str = "continuous+discrete"


def pretended(name, settings, fits=""):
    """A stand-in for POD or its variant."""
    return ModelInfo(
        name,
        name.upper(),
        "llm",
        TASKS,
        "fakes:Pretend",
        settings,
        protocol_settings=("item_numbering", "prompt_vectors", "constrained"),
        asking=("inference",),
        fits=fits,
        ways={"plain": "slowly", "ours": "fast"},
    )


POD = pretended("pod", PretendSettings)
WORDY = pretended("pod-discrete", WordySettings, fits="pod")
