"""One safetensors file a training state: tensors beside a JSON header, replaced in one step, no pickle."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from bench.errors import UserError
from bench.runs.record import whole_or_nothing

_HEADER = "podium"


@dataclass
class State:
    """tensors: flat names to tensors. facts: anything JSON can hold."""

    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def part(self, prefix: str) -> dict[str, torch.Tensor]:
        """The tensors under "prefix/", names without it."""
        return {name[len(prefix) + 1 :]: t for name, t in self.tensors.items() if name.startswith(prefix + "/")}

    def add(self, prefix: str, tensors: dict[str, torch.Tensor]) -> None:
        """Put tensors under "prefix/"."""
        self.tensors.update({f"{prefix}/{name}": tensor for name, tensor in tensors.items()})


def save_state(state: State, path: Path) -> None:
    """Write a state aside and rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    # Tied weights share memory, which safetensors refuses: every tensor is written for itself.
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.tensors.items()}
    with whole_or_nothing(aside):
        save_file(tensors, aside, metadata={_HEADER: json.dumps(state.facts)})
        aside.replace(path)


def load_state(path: Path) -> State | None:
    """The state in a file, None where there is no file; UserError where it is damaged."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as stored:
            facts = json.loads(stored.metadata()[_HEADER])
            return State({name: stored.get_tensor(name) for name in stored.keys()}, facts)  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"not a readable checkpoint ({error})", str(path), "start again with --force") from error


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimiser's per-parameter state, flat: "<parameter index>.<name>"."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": torch.as_tensor(value) for index, values in state.items() for name, value in values.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Put back what `optimizer_tensors` took out."""
    whole = optimizer.state_dict()
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = tensor
    whole["state"] = state
    optimizer.load_state_dict(whole)
