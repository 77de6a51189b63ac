"""Torch randomness from a seed, without touching anybody else's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """Give torch's default generators the state of fresh ones with this seed, and restore them afterwards.

    Dropout and RecBole's initialisers draw from the default generators and take no other; this lends them ours.
    """
    on_cuda = torch.device(device).type == "cuda"
    devices = [torch.cuda.current_device()] if on_cuda else []
    with torch.random.fork_rng(devices=devices):
        set_states(fresh_states(seed, device))
        yield


def fresh_states(seed: int, device: str) -> dict[str, torch.Tensor]:
    """The states that generators seeded with `seed` start from, by device type."""
    states = {"cpu": torch.Generator().manual_seed(seed).get_state()}
    if torch.device(device).type == "cuda":
        states["cuda"] = torch.Generator(device).manual_seed(seed).get_state()
    return states


def get_states(device: str) -> dict[str, torch.Tensor]:
    """The current states of the default generators that a model on this device draws from."""
    states = {"cpu": torch.get_rng_state()}
    if torch.device(device).type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def set_states(states: dict[str, torch.Tensor]) -> None:
    """Put the default generators into these states."""
    torch.set_rng_state(states["cpu"].cpu())
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"].cpu())
