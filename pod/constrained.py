"""Decoding straight to items: a beam search that can only spell ids of the catalogue, and exact scores of candidates.

Probabilities are a softmax over the vocabulary rows that ids use (the sound protocol, PUBLISHED.md line 15). The score
of an item is that of the published search: summed log-probability of its id, EOS included, by the id's tokens, the
start token counted and EOS not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pod.beam import DROP_SHARE, Search
from pod.decoder import Decoder, Memory
from pod.trie import Allowed, Trie


@dataclass(frozen=True, eq=False)
class Ranked:
    """items: (n, returned) int64, best first, -1 where there are no more. scores: (n, returned) float32, -inf there."""

    items: Tensor
    scores: Tensor

    def joined(self, items: Tensor, scores: Tensor) -> Ranked:
        """The best of these and (n, m) more; of equals these come first."""
        scores, order = torch.cat([self.scores, scores], 1).sort(dim=1, descending=True, stable=True)
        items = torch.cat([self.items, items], 1).gather(1, order)
        kept = self.scores.shape[1]
        return Ranked(items[:, :kept], scores[:, :kept])

    def take(self, users: Tensor) -> Ranked:
        return Ranked(self.items[users], self.scores[users])


@torch.no_grad()
def search_items(
    decoder: Decoder, memory: Memory, search: Search, trie: Trie, allowed: Allowed | None = None
) -> Ranked:
    """The items a beam search finds for each user among those it may be given; all of them where `allowed` is None.

    Each step keeps the best `search.beams` prefixes that an allowed item begins with. Every id that ends is taken,
    whatever its rank among the prefixes, and a prefix is given up only when no id below it can still come among the
    best `search.returned`: with as many beams as items, the result is that of scoring every item. Lengths are the
    trie's; those of `search` are not used. Of equal scores the shorter id comes first, then the one of the better
    prefix.
    """
    users, device = len(memory), memory.device
    found = _none(users, search.returned, device)
    if users == 0:
        return found
    best, where = found, torch.arange(users, device=device)
    nodes = torch.zeros(users, 1, dtype=torch.int64, device=device)
    tokens = torch.full_like(nodes, decoder.start_token)
    sums, parents, state = torch.zeros(users, 1, device=device), None, decoder.start(memory)
    for depth, widest in enumerate(trie.widest):
        hidden = decoder.step(tokens, state, parents)
        level = _expand(decoder, hidden, nodes, sums, trie, widest, allowed)
        best = level.finish(best, trie, depth, allowed)
        sums, parents, nodes = level.open(best.scores[:, -1], trie, depth, search.beams)
        live = (sums > -math.inf).sum(1)
        width, leave = int(live.max()), int((live == 0).sum())
        sums, parents, nodes = sums[:, :width], parents[:, :width], nodes[:, :width]
        if width == 0 or leave >= DROP_SHARE * len(where):
            found.items[where], found.scores[where] = best.items, best.scores
            stay = live.nonzero()[:, 0]
            where, sums, parents, nodes = where[stay], sums[stay], parents[stay], nodes[stay]
            best = best.take(stay)
            allowed = None if allowed is None else allowed.take(stay)
            state.keep(stay)
        if width == 0:
            break
        tokens = trie.rows[trie.columns[nodes]]
    return found


@dataclass(frozen=True, eq=False)
class _Level:
    """What one step opens, for n users with b prefixes of at most W children each.

    nodes:    (n, b) the prefixes. ends: (n, b) their sums with EOS; None where ids end by themselves.
    children: (n, b * W) nodes. sums: (n, b * W) theirs, -inf where there is no child or none that is allowed.
    """

    nodes: Tensor
    ends: Tensor | None
    children: Tensor
    sums: Tensor

    def finish(self, best: Ranked, trie: Trie, depth: int, allowed: Allowed | None) -> Ranked:
        """`best` with the ids that end here; the prefixes are of `depth` tokens."""
        if self.ends is None:
            items = trie.item[self.children]
            scores = (self.sums / (depth + 2)).masked_fill(items < 0, -math.inf)
        else:
            items, low = trie.item[self.nodes], trie.low[self.nodes]
            scores = (self.ends / (depth + 1)).masked_fill(items < 0, -math.inf)
            if allowed is not None:
                scores = scores.masked_fill(~allowed.between(low, low + 1), -math.inf)
        if scores.shape[1] > best.scores.shape[1]:
            scores, order = scores.topk(best.scores.shape[1], dim=1)
            items = items.gather(1, order)
        return best.joined(items.masked_fill(scores == -math.inf, -1), scores)

    def open(self, worst: Tensor, trie: Trie, depth: int, beams: int) -> tuple[Tensor, Tensor, Tensor]:
        """The best `beams` children that can still lead to a score of `worst`, (n,), or more: sums, parents, nodes."""
        # Probabilities only lower a sum, and no id below a child has more tokens than its longest.
        bound = self.sums / (trie.longest[self.children] + 1)
        hopeless = (bound < worst[:, None]) | (trie.children[self.children] == 0 if self.ends is None else False)
        sums = self.sums.masked_fill(hopeless, -math.inf)
        sums, order = sums.topk(min(beams, sums.shape[1]), dim=1)
        each = self.children.shape[1] // self.nodes.shape[1]
        return sums, order // max(1, each), self.children.gather(1, order)


def _expand(
    decoder: Decoder, hidden: Tensor, nodes: Tensor, sums: Tensor, trie: Trie, widest: int, allowed: Allowed | None
) -> _Level:
    """hidden: (n, b, d_model) of prefixes `nodes`, (n, b), with these sums, -inf for none."""
    offsets = torch.arange(widest, device=nodes.device)
    there = offsets < trie.children[nodes][..., None]
    children = torch.where(there, trie.first[nodes][..., None] + offsets, 0)
    columns = trie.columns[children]
    parts, ends = [], []
    for users, log_probs in decoder.log_probs(hidden, trie.rows):
        parts.append(log_probs.gather(2, columns[users]))
        if trie.eos >= 0:
            ends.append(log_probs[..., trie.eos].clone())
    total = (torch.cat(parts) + sums[..., None]).masked_fill(~there, -math.inf).flatten(1)
    children = children.flatten(1)
    if allowed is not None:
        total = total.masked_fill(~allowed.between(trie.low[children], trie.high[children]), -math.inf)
    return _Level(nodes, torch.cat(ends) + sums if ends else None, children, total)


@torch.no_grad()
def score_candidates(decoder: Decoder, memory: Memory, trie: Trie, candidates: Tensor) -> Tensor:
    """The exact score of every candidate of each user: (n, c) int64 items, -1 for none, to (n, c) float32, -inf there.

    A prefix that several candidates of a user share is read once.
    """
    order = trie.rank[candidates].sort(1).indices
    items = candidates.gather(1, order)
    paths, lengths = trie.paths[items], trie.lengths[items]
    total, state = torch.zeros(items.shape, device=items.device), decoder.start(memory)
    slots = torch.zeros_like(items)
    for depth in range(paths.shape[2]):
        # Where ids end by themselves, nothing is asked of a whole one.
        asked = (paths[..., depth] >= 0) & ((lengths > depth) | (trie.eos >= 0))
        if not bool(asked.any()):
            break
        above, (slots, places) = slots, _distinct(paths[..., depth], asked)
        nodes, parents = (_spread(each, slots, places) for each in (paths[..., depth], above))
        tokens = trie.rows[trie.columns[nodes]] if depth else torch.full_like(nodes, decoder.start_token)
        hidden = decoder.step(tokens, state, parents if depth else None)
        following = paths[..., depth + 1] if depth + 1 < paths.shape[2] else torch.full_like(items, -1)
        columns = torch.where(following >= 0, trie.columns[following], max(trie.eos, 0))
        wanted = slots * len(trie.rows) + columns
        parts = [
            log_probs.flatten(1).gather(1, wanted[users]) for users, log_probs in decoder.log_probs(hidden, trie.rows)
        ]
        total += torch.cat(parts).masked_fill_(~asked, 0.0)
    scores = (total / (lengths + 1)).masked_fill_(items < 0, -math.inf)
    return torch.empty_like(scores).scatter_(1, order, scores)


def _distinct(nodes: Tensor, asked: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Number the distinct nodes of each user: (n, c), not falling along a row where `asked`.

    Returns (n, c) the number of each node, and where in (n, c) each is met first.
    """
    seen = nodes.masked_fill(~asked, -1).cummax(1).values
    first = asked.clone()
    first[:, 1:] &= seen[:, 1:] > seen[:, :-1]
    users, places = first.nonzero(as_tuple=True)
    return (first.cumsum(1) - 1).clamp_(min=0), (users, places)


def _spread(values: Tensor, slots: Tensor, places: tuple[Tensor, Tensor]) -> Tensor:
    """(n, c) values at the places of `_distinct` to (n, width), one a distinct node; 0 where a user has fewer."""
    own = slots[places]
    spread = values.new_zeros(len(values), int(own.max()) + 1)
    spread[places[0], own] = values[places]
    return spread


def _none(users: int, returned: int, device: torch.device) -> Ranked:
    items = torch.full((users, returned), -1, dtype=torch.int64, device=device)
    return Ranked(items, torch.full((users, returned), -math.inf, device=device))
