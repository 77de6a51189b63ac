"""Training POD: steps, validation, early stopping, checkpoints at any step (POD section 3.4 and 4.4).

A run that is killed resumes from its last checkpoint with weights, optimiser, generators and counters as they
were; samples are a function of the step. On a CPU the final weights are those of an uninterrupted run, bit for bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from bench.efficiency import Timing
from bench.errors import RunFailed, UserError
from bench.models import Context
from engine.checkpoint import State, load_state, optimizer_tensors, restore_optimizer, save_state
from engine.randomness import get_states, seeded, set_states
from pod.batches import Examples, Shape, make_batch
from pod.memory import MIB, laid_tokens, tokens_at_once
from pod.network import PodNetwork
from pod.samples import Sampler

STATE, BEST = "fit.safetensors", "best.safetensors"
_CHECK_EVERY = 20
# Seconds of training between checkpoints inside an epoch; one is written after every epoch.
_CHECKPOINT_EVERY_S = 120.0
_SAY_EVERY_S = 15.0


@dataclass(frozen=True)
class Plan:
    """How long to train, and how to step.

    epochs, patience: at most so many epochs; end after so many without a lower validation loss.
    reset_patience:   the counter starts again after an improvement; the released code never does that.
    learning_rate:    of AdamW. warmup: steps over which it rises from 0. decay: share of it left at the last epoch,
                      on a line; 1: constant, as in the paper.
    weight_decay:     of AdamW. clip: largest norm of the gradients, 0: as they are.
    parts:            a step is computed in so many parts, with the gradients of one.
    bf16:             compute in bfloat16 where a CUDA device does, weights and optimiser in float32.
    """

    epochs: int
    patience: int
    reset_patience: bool = True
    learning_rate: float = 5e-4
    warmup: int = 0
    decay: float = 1.0
    weight_decay: float = 0.01
    clip: float = 0.0
    parts: int = 1
    bf16: bool = False


@dataclass
class Standing:
    """How far training is. loss is that of the epoch under way; samples, tokens, laid, spent and validating of all.

    tokens, laid: what batches held, and what they held with padding. validating: wall seconds of validation.
    """

    epoch: int = 0
    step: int = 0
    steps_done: int = 0
    best: float = math.inf
    best_epoch: int = 0
    failures: int = 0
    ended: bool = False
    loss: float = 0.0
    samples: int = 0
    tokens: int = 0
    laid: int = 0
    parts: int = 1
    curve: list[dict[str, float]] = field(default_factory=list)
    spent: dict[str, float] = field(default_factory=lambda: {"wall": 0.0, "cpu": 0.0})
    validating: float = 0.0


class Learner:
    """Trains a network on a sampler's steps.

    shape, masked: how batches are laid out, and whether cross-attention sees padding.
    validate: epoch -> validation loss of each task; called in evaluation mode without gradients.
    origin:   what the run is about (model, data, version); a checkpoint of another is refused by name.
    """

    def __init__(
        self,
        network: PodNetwork,
        sampler: Sampler,
        plan: Plan,
        shape: Shape,
        validate: Callable[[int], Mapping[str, float]],
        context: Context,
        *,
        masked: bool,
        origin: Mapping[str, Any],
    ) -> None:
        self._network, self._sampler, self._plan, self._shape = network, sampler, plan, shape
        self._validate, self._context, self._masked, self._origin = validate, context, masked, dict(origin)
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self._optimizer = torch.optim.AdamW(
            trained, lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=_fused(trained)
        )
        self.standing = Standing(parts=plan.parts)
        self._best: dict[str, torch.Tensor] = {}
        self._saved = self._said = time.monotonic()
        self._at_once, self._most_parts = math.inf, 1

    def run(self) -> float:
        """Train to the end and leave the best weights in the network; returns their validation loss."""
        self._resume()
        self._keep_to_budget()
        standing, plan = self.standing, self._plan
        while not standing.ended and standing.epoch < plan.epochs:
            self._epoch()
        if self._best:
            self._network.load_state_dict(self._best)
        self._network.eval()
        self._context.curve.extend(standing.curve)
        if self._context.memory_mib:
            self._context.facts["most_parts"] = self._most_parts
        self._context.progress.line(
            f"fit: best validation loss {standing.best:.4f} at epoch {standing.best_epoch} of {standing.epoch}"
        )
        return standing.best

    def _keep_to_budget(self) -> None:
        """Find out what fits into the memory that the context allows."""
        budget, device = self._context.memory_mib, self._context.device
        if budget and device.startswith("cuda"):
            share = budget * MIB / torch.cuda.get_device_properties(0).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, share))
        elif budget:
            self._network.train()
            with seeded(self._context.seed, device):
                self._at_once = tokens_at_once(self._network, self._sampler, self._shape, budget, masked=self._masked)

    def _parts(self, examples: Examples) -> int:
        """In how many parts a step is computed."""
        if self._at_once == math.inf:
            return self.standing.parts
        return max(self.standing.parts, math.ceil(laid_tokens(examples, self._shape) / self._at_once))

    def _divided(self, examples: Examples) -> list[np.ndarray]:
        """The rows of each part of a step."""
        parts = min(self._parts(examples), len(examples))
        self._most_parts = max(self._most_parts, parts)
        return np.array_split(np.arange(len(examples)), parts)

    def _epoch(self) -> None:
        standing, steps = self.standing, self._sampler.steps
        self._network.train()
        total = torch.tensor(standing.loss, dtype=torch.float64, device=self._context.device)
        left = range(standing.step, steps)
        label = f"fit epoch {standing.epoch + 1}/{self._plan.epochs}"
        self._clock = (time.perf_counter(), time.process_time())
        for number in self._context.progress.track(left, len(left), label):
            total += self._step(self._sampler.step(standing.epoch, number), self._sampler.scale(number))
            standing.step = number + 1
            if standing.step % _CHECK_EVERY == 0 or standing.step == steps:
                standing.loss = float(total)
                self._check(standing.loss / standing.step)
                if time.monotonic() - self._saved > _CHECKPOINT_EVERY_S and standing.step < steps:
                    self._save()
        self._assess()

    def _step(self, examples: Examples, scale: float) -> torch.Tensor:
        """One update by the loss times `scale`; returns the loss.

        Out of memory on CUDA halves the parts from here on, and says so.
        """
        loss = self._tried(examples, scale)
        while loss is None:
            # Not while the error is handled: its traceback holds what the device has to give back.
            if self.standing.parts >= len(examples):
                raise RunFailed("a single sample does not fit into the device's memory")
            self.standing.parts *= 2
            torch.cuda.empty_cache()
            self._context.progress.line(
                f"out of memory: steps are computed in {self.standing.parts} parts from here on, "
                "with the same samples and gradients a step"
            )
            loss = self._tried(examples, scale)
        self.standing.steps_done += 1
        self.standing.samples += len(examples)
        return loss

    def _tried(self, examples: Examples, scale: float) -> torch.Tensor | None:
        """The loss after an update; None, and nothing done or counted, where the device's memory was too small."""
        standing = self.standing
        counted = standing.tokens, standing.laid
        try:
            loss = self._gradients(examples, scale)
            if self._plan.clip:
                nn.utils.clip_grad_norm_(self._network.parameters(), self._plan.clip)
            for group in self._optimizer.param_groups:
                group["lr"] = self._rate()
            self._optimizer.step()  # the first one makes AdamW's moments
        except torch.OutOfMemoryError:
            standing.tokens, standing.laid = counted
            return None
        return loss

    def _gradients(self, examples: Examples, scale: float) -> torch.Tensor:
        self._optimizer.zero_grad(set_to_none=True)
        loss = torch.zeros((), dtype=torch.float64, device=self._context.device)
        for rows in self._divided(examples):
            batch = make_batch(examples.take(rows), self._shape, self._context.device, whole=examples)
            with self._precision():
                part = self._network(batch, masked=self._masked)
            (part * scale).backward()
            loss += part.detach()
            for side in (batch.inputs, batch.outputs):
                if side is not None:
                    self.standing.tokens += int(side.lengths.sum())
                    self.standing.laid += side.tokens
        return loss

    def _precision(self) -> AbstractContextManager[Any]:
        return torch.autocast("cuda", torch.bfloat16) if self._plan.bf16 else nullcontext()

    def _rate(self) -> float:
        """The learning rate of the step to come."""
        plan, done = self._plan, self.standing.steps_done
        rate = plan.learning_rate * min(1.0, (done + 1) / max(1, plan.warmup))
        return rate * (1.0 - (1.0 - plan.decay) * min(1.0, done / max(1, plan.epochs * self._sampler.steps)))

    def _check(self, mean: float) -> None:
        """End the run where the loss is no number any more; the best weights so far stay in the checkpoint."""
        if math.isfinite(mean):
            return
        standing, folder = self.standing, self._context.checkpoint
        kept = f"the weights of epoch {standing.best_epoch} are in {folder / BEST}" if folder and self._best else ""
        where = f"in epoch {standing.epoch + 1}, by step {standing.step}"
        advice = "lower learning_rate with --set and run again"
        raise RunFailed("; ".join(filter(None, [f"the loss became {mean} {where}", kept, advice])))

    def _assess(self) -> None:
        """Validate, note the epoch, remember the best weights, decide whether to go on."""
        standing, plan = self.standing, self._plan
        self._network.eval()
        self._tick()
        with torch.no_grad(), self._precision():
            losses = dict(self._validate(standing.epoch))
        standing.validating += self._tick()
        mean = sum(losses.values()) / len(losses)
        self._check(mean)
        standing.epoch += 1
        if mean < standing.best:
            standing.best, standing.best_epoch = mean, standing.epoch
            standing.failures = 0 if plan.reset_patience else standing.failures
            self._best = {name: tensor.detach().clone() for name, tensor in self._network.state_dict().items()}
            self._save_best()
        else:
            standing.failures += 1
        standing.ended = standing.failures >= plan.patience
        self._tick()
        row = {
            "epoch": float(standing.epoch),
            "loss": standing.loss / standing.step,
            "validation_loss": mean,
            **{f"validation_loss_{task}": value for task, value in losses.items()},
            "samples": float(standing.samples),
            "tokens": float(standing.tokens),
            "padding": round(1 - standing.tokens / max(1, standing.laid), 4),
            "seconds": round(standing.spent["wall"], 3),
            "cpu_seconds": round(standing.spent["cpu"], 3),
            "validation_seconds": round(standing.validating, 3),
        }
        standing.curve.append(row)
        standing.step, standing.loss = 0, 0.0
        self._say(row)
        self._save()

    def _say(self, row: Mapping[str, float]) -> None:
        if time.monotonic() - self._said < _SAY_EVERY_S:
            return
        self._said = time.monotonic()
        tasks = ", ".join(f"{k.removeprefix('validation_loss_')} {v:.4f}" for k, v in row.items() if "loss_" in k)
        self._context.progress.line(
            f"fit: epoch {row['epoch']:.0f}, loss {row['loss']:.4f}, validation {row['validation_loss']:.4f} ({tasks}; "
            f"best {self.standing.best:.4f} at epoch {self.standing.best_epoch})"
        )

    def _tick(self) -> float:
        """Add the time since the last look to what was spent; returns its wall seconds.

        What a device was given to do counts where it was given, not where somebody waits for it.
        """
        if self._context.device.startswith("cuda"):
            torch.cuda.synchronize()
        now = (time.perf_counter(), time.process_time())
        wall = now[0] - self._clock[0]
        self.standing.spent["wall"] += wall
        self.standing.spent["cpu"] += now[1] - self._clock[1]
        self._clock = now
        return wall

    def _save_best(self) -> None:
        if self._context.checkpoint is not None:
            save_state(State(dict(self._best), {"origin": self._origin}), self._context.checkpoint / BEST)

    def _save(self) -> None:
        self._saved = time.monotonic()
        if self._context.checkpoint is None:
            return
        self._tick()
        state = State(facts={"origin": self._origin, "standing": asdict(self.standing)})
        state.add("network", self._network.state_dict())
        state.add("optimizer", optimizer_tensors(self._optimizer))
        state.add("generator", get_states(self._context.device))
        save_state(state, self._context.checkpoint / STATE)

    def _resume(self) -> None:
        """Go on from the checkpoint, where there is one; UserError where it is of another run."""
        if self._context.checkpoint is None:
            return
        state = load_state(self._context.checkpoint / STATE)
        if state is None:
            return
        self._restore(state)
        spent = Timing(**self.standing.spent)
        self._context.spent.wall += spent.wall
        self._context.spent.cpu += spent.cpu
        place = f"epoch {self.standing.epoch + 1}, step {self.standing.step}"
        self._context.progress.line(f"fit: resumed at {place} of {self._sampler.steps}")

    def _restore(self, state: State) -> None:
        path = str(self._context.checkpoint)
        check_origin(state.facts.get("origin", {}), self._origin, path)
        best = load_state(self._context.checkpoint / BEST) if self._context.checkpoint else None
        try:
            self.standing = Standing(**state.facts["standing"])
            self._network.load_state_dict(state.part("network"))
            restore_optimizer(self._optimizer, state.part("optimizer"))
            set_states(state.part("generator"))
        except (RuntimeError, KeyError, TypeError, ValueError) as error:
            raise UserError(
                "this checkpoint is of another shape or version", path, "start again with --force"
            ) from error
        if best is None and self.standing.best_epoch:
            raise UserError(f"{BEST} is missing beside this checkpoint", path, "start again with --force")
        self._best = {} if best is None else {name: t.to(self._context.device) for name, t in best.tensors.items()}


def check_origin(found: Mapping[str, Any], wanted: Mapping[str, Any], where: str) -> None:
    """Raise UserError, naming the first difference, where weights or a checkpoint belong to another run."""
    for name, value in wanted.items():
        if found.get(name) != value:
            what = f"made with {name} {found.get(name)!r}, this run has {value!r}"
            raise UserError(what, where, "start again with --force, or remove it")


def _fused(parameters: list[nn.Parameter]) -> bool:
    """Whether AdamW has a fused kernel for these parameters: CUDA and CPU do, for floating-point numbers."""
    return all(parameter.device.type in ("cuda", "cpu") for parameter in parameters)


def token_batches(lengths: np.ndarray, budget: int) -> Iterator[np.ndarray]:
    """Rows in batches of like length whose padded size is at most `budget` tokens, long ones first: if memory is too
    small, that shows at once. A row longer than the budget is a batch of its own.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, budget // max(1, int(lengths[order[start]])))
        yield order[start : start + size]
        start += size
