"""Beam search over a decoder: the one behind the published numbers, all users of a batch at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pod.decoder import BLOCK, Decoder, Memory

# Going on with fewer users copies the memory of those that remain: worth it once this share is through.
DROP_SHARE = 0.125


@dataclass(frozen=True)
class Search:
    """beams: hypotheses kept open a user, and finished ones before it stops. returned: how many come back, best first.

    max_length: ids at most, start token and EOS included. min_length: EOS is forbidden while there are fewer ids.
    """

    beams: int
    returned: int
    max_length: int = 50
    min_length: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.returned <= self.beams:
            raise ValueError(f"returned must be from 1 to beams, not {self.returned} of {self.beams}")
        if self.max_length < 2 or self.min_length >= self.max_length:
            raise ValueError(f"no room between min_length {self.min_length} and max_length {self.max_length}")


# The published searches. Explanation: 21 beams in 3 groups with diversity penalty 0 are three times the same 7 beams.
RANKING = Search(beams=20, returned=20)
EXPLANATION = Search(beams=7, returned=1, min_length=10)


@dataclass(frozen=True, eq=False)
class Hypotheses:
    """ids: (n, returned, T) int64, start token first, then EOS and padding. scores: (n, returned) float32, best first.

    A hypothesis cut at the search's maximal length has no EOS; where there is none at all the score is -inf.
    """

    ids: Tensor
    scores: Tensor


@dataclass(eq=False)
class _Finished:
    """The best finished hypotheses of each user, best first: scores (n, beams), ids (n, beams, T)."""

    scores: Tensor
    ids: Tensor

    def add(self, scores: Tensor, ids: Tensor) -> None:
        """Take (n, m) more with ids (n, m, t), -inf where there is none; of equals the later one comes first."""
        beams = self.scores.shape[1]
        scores = torch.cat([scores.flip(1), self.scores], 1)
        ids = torch.cat([torch.nn.functional.pad(ids, (0, self.ids.shape[2] - ids.shape[2])).flip(1), self.ids], 1)
        self.scores, order = (each[:, :beams] for each in torch.sort(scores, dim=1, descending=True, stable=True))
        self.ids = ids.gather(1, order[..., None].expand(-1, -1, ids.shape[2]))


@torch.no_grad()
def beam_search(decoder: Decoder, memory: Memory, search: Search) -> Hypotheses:
    """The published search over the whole vocabulary (PUBLISHED.md lines 15 and 17).

    Each step takes the best 2 * beams continuations of a user's open hypotheses by summed log-probability; an EOS among
    the first `beams` of them finishes its hypothesis with score = sum (EOS included) / ids (start token included, EOS
    not); the best others stay open. A user is through with `beams` finished hypotheses; at `max_length` the open ones
    count with what they have. Users that are through leave the batch.

    Which of two continuations with the very same sum is taken is `torch.topk`'s choice, the same on every run.
    """
    users, beams, device = len(memory), search.beams, memory.device
    found = Hypotheses(
        torch.full((users, search.returned, search.max_length), decoder.pad, dtype=torch.int64, device=device),
        torch.full((users, search.returned), -math.inf, device=device),
    )
    finished = _Finished(
        torch.full((users, beams), -math.inf, device=device), found.ids[:, :1].expand(-1, beams, -1).clone()
    )
    where, done = torch.arange(users, device=device), torch.zeros(users, dtype=torch.bool, device=device)
    ids = torch.full((users, 1, 1), decoder.start_token, dtype=torch.int64, device=device)
    sums, parents, state = torch.zeros(users, 1, device=device), None, decoder.start(memory)
    while len(where):
        length = ids.shape[2]
        hidden = decoder.step(ids[..., -1], state, parents)
        scores, rows, tokens = _continuations(decoder, hidden, sums, 2 * beams, length < search.min_length)
        continued = torch.cat([_pick(ids, rows), tokens[..., None]], 2)
        ends = tokens == decoder.eos
        finished.add((scores / length).masked_fill(~ends | done[:, None], -math.inf)[:, :beams], continued[:, :beams])
        done = finished.scores[:, -1] > -math.inf
        # EOS comes at most once a hypothesis, so that `beams` of the 2 * beams always go on.
        order = torch.sort(ends.to(torch.int8), dim=1, stable=True).indices[:, :beams]
        parents, ids = rows.gather(1, order), _pick(continued, order)
        sums = scores.masked_fill(ends, -math.inf).gather(1, order)
        if length + 1 == search.max_length:
            finished.add((sums / search.max_length).masked_fill(done[:, None], -math.inf), ids)
            done = torch.ones_like(done)
        leave = int(done.sum())
        if leave == len(where) or leave >= DROP_SHARE * len(where):
            found.ids[where] = finished.ids[:, : search.returned]
            found.scores[where] = finished.scores[:, : search.returned]
            stay = (~done).nonzero()[:, 0]
            where, done, ids, sums, parents = (each[stay] for each in (where, done, ids, sums, parents))
            finished = _Finished(finished.scores[stay], finished.ids[stay])
            state.keep(stay)
    return Hypotheses(found.ids[..., : ids.shape[2]], found.scores)


def _continuations(
    decoder: Decoder, hidden: Tensor, sums: Tensor, count: int, no_eos: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The best `count` continuations of each user's hypotheses: summed log-probabilities, hypotheses and tokens.

    hidden: (n, b, d_model); sums: (n, b), -inf for none. Returns three (n, count), best first.
    """
    parts = []
    for users, log_probs in decoder.log_probs(hidden):
        if no_eos:
            log_probs[..., decoder.eos] = -math.inf
        parts.append(_best(log_probs, sums[users], count, decoder.vocabulary))
    scores, rows, tokens = (torch.cat(each) for each in zip(*parts, strict=True))
    return scores, rows, tokens


def _best(log_probs: Tensor, sums: Tensor, count: int, vocabulary: int) -> tuple[Tensor, Tensor, Tensor]:
    """`_continuations` from (n, b, V') log-probabilities, V' a multiple of BLOCK.

    The best `count` values lie in the `count` blocks of largest maximum: one pass to find these, then a small search.
    """
    users, width, columns = log_probs.shape
    blocks = columns // BLOCK
    maxima = log_probs.view(users, width, blocks, BLOCK).amax(-1) + sums[..., None]
    chosen = maxima.flatten(1).topk(min(count, width * blocks), dim=1, sorted=False).indices
    first = torch.arange(users, device=chosen.device)[:, None] * (width * blocks)
    values = log_probs.view(-1, BLOCK)[(chosen + first).flatten()].view(*chosen.shape, BLOCK)
    values = values + sums.gather(1, chosen // blocks)[..., None]
    scores, places = values.flatten(1).topk(min(count, width * vocabulary), dim=1)
    block = chosen.gather(1, places // BLOCK)
    tokens = block % blocks * BLOCK + places % BLOCK
    return scores, block // blocks, tokens.clamp_(max=vocabulary - 1)


def _pick(ids: Tensor, rows: Tensor) -> Tensor:
    """(n, b, t) and (n, m) places in b to (n, m, t)."""
    return ids.gather(1, rows[..., None].expand(-1, -1, ids.shape[2]))
