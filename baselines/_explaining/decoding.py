"""Greedy decoding: the likeliest word at each step, sentences that have ended leave the batch."""

from __future__ import annotations

import torch

from baselines._explaining.network import ExplainingNetwork
from baselines._explaining.vocabulary import BOS, EOS, FIRST_SAID


def greedy(network: ExplainingNetwork, users: torch.Tensor, items: torch.Tensor, most: int) -> torch.Tensor:
    """(n,) users and items -> (n, most) words, <eos> from the end on.

    <pad>, <bos> and <unk> are never chosen: the released code of the three allows them, but an explanation with
    "<unk>" in it says nothing (the original NRT drops such beams, too).
    """
    said = torch.full((len(users), most), EOS, dtype=torch.int64, device=users.device)
    live = torch.arange(len(users), device=users.device)
    words, state = torch.full_like(live, BOS), network.start(users, items)
    for place in range(most):
        if not len(live):
            break
        states, state = network.step(words, state)
        words = network.head(states)[:, FIRST_SAID:].argmax(dim=1) + FIRST_SAID
        said[live, place] = words
        going = torch.nonzero(words != EOS).squeeze(1)
        if len(going) < len(live):
            live, words, state = live[going], words[going], tuple(part[going] for part in state)
    return said
