"""The training loop: epochs, validation, early stopping, the best weights, resuming after a kill.

A killed process resumes from the end of its last epoch, with weights, optimiser, generators and counters as
they were, so that on a CPU the final weights are those of an uninterrupted run.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import nn

from bench.efficiency import Timing, timed
from bench.errors import RunFailed, UserError
from bench.models import Context
from engine.checkpoint import State, load_state, optimizer_tensors, restore_optimizer, save_state
from engine.randomness import get_states, set_states

Batch = TypeVar("Batch")
Stage = Literal["pretrain", "fit"]
_SAY_EVERY_S = 15.0
_STREAMS: dict[Stage, int] = {"fit": 17, "pretrain": 18}


@dataclass(frozen=True)
class Budget:
    """When training ends, and how it steps.

    epochs:         at most so many.
    patience:       evaluations without a better score before it ends.
    evaluate_every: epochs from one evaluation to the next.
    clip:           largest norm of the gradients; 0: as they are.
    least_steps:    training does not end for want of patience before so many steps without a better score. On small
                    data an epoch is a few steps, and epochs alone would stop a network that has hardly begun.
    """

    epochs: int
    patience: int
    evaluate_every: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    clip: float = 0.0
    least_steps: int = 0


@dataclass
class _Standing:
    epoch: int = 0
    best: float = -math.inf  # of a loss, minus it
    best_epoch: int = 0
    failures: int = 0
    steps_since: int = 0


class Trainer:
    """Trains a network on batches that are drawn anew each epoch.

    network:  what is trained; its device is the context's.
    batches:  generator -> the batches of one epoch; draws only from that generator.
    loss:     batch -> scalar tensor.
    evaluate: () -> validation score, higher is better; called in evaluation mode without gradients. None: train
              all epochs and keep the last weights.
    losses:   what evaluate returns is a loss: lower is better.
    stage:    tells stages of one model apart in checkpoints, messages and randomness.
    """

    def __init__(
        self,
        network: nn.Module,
        batches: Callable[[np.random.Generator], Sequence[Batch] | Iterable[Batch]],
        loss: Callable[[Batch], torch.Tensor],
        evaluate: Callable[[], float] | None,
        budget: Budget,
        context: Context,
        stage: Stage = "fit",
        *,
        losses: bool = False,
    ) -> None:
        self._network, self._batches, self._loss, self._evaluate = network, batches, loss, evaluate
        self._budget, self._context, self._stage, self._losses = budget, context, stage, losses
        self._rng = context.rng(_STREAMS[stage])
        self._standing = _Standing()
        self._best: dict[str, torch.Tensor] = {}
        self._spent = Timing()
        self._said = time.monotonic()
        self._curve: list[dict[str, float]] = []
        self._optimizer = torch.optim.Adam(
            network.parameters(), lr=budget.learning_rate, weight_decay=budget.weight_decay
        )

    def run(self) -> float:
        """Train to the end and leave the best weights in the network; returns the best validation score."""
        self._resume()
        while not self._finished():
            with timed() as epoch:
                row = self._one_epoch()
            self._spent.wall += epoch.wall
            self._spent.cpu += epoch.cpu
            self._curve.append({**row, "seconds": round(self._spent.wall, 3)})
            self._say(row)
            self._save()
        self._network.load_state_dict(self._best or self._network.state_dict())
        self._network.eval()
        self._context.curve.extend(self._curve)
        found = self._standing
        reached = f"best validation {self._best_score:.4f} at epoch {found.best_epoch} of" if self._best else "did"
        self._context.progress.line(f"{self._stage}: {reached} {found.epoch} epochs")
        return self._best_score

    @property
    def _column(self) -> str:
        return "validation_loss" if self._losses else "validation"

    @property
    def _best_score(self) -> float:
        return -self._standing.best if self._losses else self._standing.best

    def _finished(self) -> bool:
        standing, budget = self._standing, self._budget
        impatient = standing.failures >= budget.patience and standing.steps_since >= budget.least_steps
        return standing.epoch >= budget.epochs or impatient

    def _one_epoch(self) -> dict[str, float]:
        standing, budget = self._standing, self._budget
        self._network.train()
        standing.epoch += 1
        batches = list(self._batches(self._rng))
        if not batches:
            raise RunFailed("there is nothing to train on: no user has enough training items")
        label = f"{self._stage} epoch {standing.epoch}/{budget.epochs}"
        total = torch.zeros((), device=next(self._network.parameters()).device)
        for batch in self._context.progress.track(batches, len(batches), label):
            self._optimizer.zero_grad(set_to_none=True)
            loss = self._loss(batch)
            loss.backward()
            if budget.clip:
                nn.utils.clip_grad_norm_(self._network.parameters(), budget.clip)
            self._optimizer.step()
            total += loss.detach()
        standing.steps_since += len(batches)
        mean = float(total) / len(batches)
        if not math.isfinite(mean):
            raise RunFailed(f"the loss became {mean} in epoch {standing.epoch}; lower learning_rate with --set")
        row = {"epoch": float(standing.epoch), "loss": mean}
        if self._stage != "fit":
            row = {f"{self._stage}_{name}": value for name, value in row.items()}
        if self._evaluate and (standing.epoch % budget.evaluate_every == 0 or standing.epoch == budget.epochs):
            row[self._column] = self._assess(self._evaluate)
        return row

    def _say(self, row: dict[str, float]) -> None:
        """Tell how training goes, not more often than people read."""
        now = time.monotonic()
        if self._column in row and now - self._said >= _SAY_EVERY_S:
            standing, self._said = self._standing, now
            self._context.progress.line(
                f"{self._stage}: epoch {standing.epoch}, loss {row['loss']:.4f}, validation {row[self._column]:.4f} "
                f"(best {self._best_score:.4f} at epoch {standing.best_epoch})"
            )

    def _assess(self, evaluate: Callable[[], float]) -> float:
        self._network.eval()
        with torch.no_grad():
            score = evaluate()
        standing = self._standing
        worth = -score if self._losses else score
        if worth > standing.best:
            standing.best, standing.best_epoch, standing.failures, standing.steps_since = worth, standing.epoch, 0, 0
            self._best = {name: tensor.detach().clone() for name, tensor in self._network.state_dict().items()}
        else:
            standing.failures += 1
        return score

    def _save(self) -> None:
        if self._context.checkpoint is None:
            return
        state = State(facts={"standing": vars(self._standing), "curve": self._curve, "spent": vars(self._spent)})
        state.facts["rng"] = self._rng.bit_generator.state
        state.add("network", self._network.state_dict())
        state.add("best", self._best)
        state.add("optimizer", optimizer_tensors(self._optimizer))
        state.add("generator", get_states(self._context.device))
        save_state(state, self._context.checkpoint / f"{self._stage}.safetensors")

    def _resume(self) -> None:
        """Go on from the stage's checkpoint, where there is one; UserError where it is of another model."""
        if self._context.checkpoint is None:
            return
        path = self._context.checkpoint / f"{self._stage}.safetensors"
        state = load_state(path)
        if state is None:
            return
        try:
            self._restore(state)
        except (RuntimeError, KeyError, TypeError, ValueError) as error:
            fix = "start again with --force"
            raise UserError("this checkpoint is of another model or version", str(path), fix) from error
        self._context.spent.wall += self._spent.wall
        self._context.spent.cpu += self._spent.cpu
        self._context.progress.line(f"{self._stage}: resumed after epoch {self._standing.epoch}")

    def _restore(self, state: State) -> None:
        facts: dict[str, Any] = state.facts
        self._standing = _Standing(**facts["standing"])
        self._curve, self._spent = facts["curve"], Timing(**facts["spent"])
        self._rng.bit_generator.state = facts["rng"]
        self._network.load_state_dict(state.part("network"))
        place = next(self._network.parameters()).device
        self._best = {name: tensor.to(place) for name, tensor in state.part("best").items()}
        restore_optimizer(self._optimizer, state.part("optimizer"))
        set_states(state.part("generator"))
