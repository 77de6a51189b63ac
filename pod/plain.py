"""Decoding the way the released code does (PUBLISHED.md, line 22), for comparison: the same lists, slowly.

Inputs are repeated once a beam before the encoder, every beam keeps keys and values of the input for itself and
reorders them at each step, the log-probabilities of the whole vocabulary are sorted, finished hypotheses are kept in
lists a user at a time, and a batch runs until its last user is through. Written with the modules of transformers.
"""

from __future__ import annotations

from dataclasses import replace
from inspect import signature
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

from bench.models import Pairs
from bench.ragged import FloatArray, IntArray
from bench.tasks import Queries, Ranking
from pod.answering import Answerer
from pod.batches import Examples, Shape, make_batch
from pod.beam import EXPLANATION, RANKING, Search
from pod.samples import rows_of_one
from pod.t5 import T5Backbone
from pod.tokens import EOS

# The published explanation search: 21 beams in 3 groups whose diversity penalty is 0.
GROUPS = 3
Hypothesis = tuple[float, tuple[int, ...]]


@torch.no_grad()
def plain_search(
    backbone: T5Backbone, embedded: Tensor, real: Tensor, search: Search, *, groups: int = 1, masked: bool = False
) -> tuple[list[list[Hypothesis]], int]:
    """Each user's best hypotheses, score and ids with start token and EOS, best first; and how many steps that took.

    embedded: (n, L, d) inputs. real: (n, L) which tokens are no padding. groups: search.beams hypotheses in each.
    masked:   cross-attention does not see padding of the inputs.
    """
    network: Any = backbone.network
    rows, device = search.beams * groups, embedded.device
    mask = real.repeat_interleave(rows, 0).long()
    encoded = network.encoder(inputs_embeds=embedded.repeat_interleave(rows, 0), attention_mask=mask).last_hidden_state
    cache: Any = EncoderDecoderCache(DynamicCache(), DynamicCache())
    named = {"cache" if "cache" in signature(network.decoder.forward).parameters else "past_key_values": cache}
    ids = torch.full((len(encoded), 1), network.config.decoder_start_token_id, dtype=torch.int64, device=device)
    sums = torch.full((len(embedded), groups, search.beams), -1e9, device=device)
    sums[..., 0] = 0.0
    pools = [Pool(rows) for _ in range(len(embedded))]
    while True:
        state = network.decoder(
            input_ids=ids[:, -1:],
            encoder_hidden_states=encoded,
            encoder_attention_mask=mask if masked else None,
            use_cache=True,
            **named,
        )
        log_probs = torch.log_softmax(backbone.head(state.last_hidden_state[:, -1]).float(), -1)
        if ids.shape[1] < search.min_length:
            log_probs[:, EOS] = -float("inf")
        vocabulary = log_probs.shape[1]
        total = log_probs.view(*sums.shape, -1) + sums[..., None]
        best = total.flatten(2).topk(2 * search.beams, dim=2)
        parents, tokens, sums = _kept(best.values, best.indices, ids, pools, search.beams, vocabulary)
        ids = torch.cat([ids[parents], tokens[:, None]], 1)
        cache.reorder_cache(parents)
        if all(pool.done for pool in pools) or ids.shape[1] >= search.max_length:
            break
    open_ids = ids.view(len(pools), rows, -1).tolist()
    for pool, totals, ends in zip(pools, sums.flatten(1).tolist(), open_ids, strict=True):
        for total, row in zip(totals, ends, strict=True):
            if not pool.done:
                pool.add(total / len(row), row)
    return [pool.best()[: search.returned] for pool in pools], ids.shape[1] - 1


class Pool:
    """A user's finished hypotheses, at most `size` of them."""

    def __init__(self, size: int) -> None:
        self.size, self.done = size, False
        self.found: list[tuple[float, int, tuple[int, ...]]] = []

    def add(self, score: float, ids: list[int]) -> None:
        """Take a hypothesis; the worst leaves where there are too many."""
        self.found.append((score, len(self.found), tuple(ids)))
        if len(self.found) > self.size:
            self.found.remove(min(self.found))

    def best(self) -> list[Hypothesis]:
        """All, best first; of equals the later one."""
        return [(score, ids) for score, _, ids in sorted(self.found, reverse=True)]


def _kept(
    scores: Tensor, places: Tensor, ids: Tensor, pools: list[Pool], beams: int, vocabulary: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Each user's and group's continuations, best first, into finished hypotheses and the beams that go on.

    scores, places: (n, groups, 2 * beams). One after the other, with tensors of one element, as transformers 4.18 does.
    Returns (n * rows,) parents, (n * rows,) tokens and (n, groups, beams) sums.
    """
    users, groups, _ = scores.shape
    rows, following = places // vocabulary, places % vocabulary
    parents, tokens = torch.zeros(2, users, groups, beams, dtype=torch.int64, device=ids.device)
    sums = torch.zeros(users, groups, beams, device=ids.device)
    for user, pool in enumerate(pools):
        for group in range(groups):
            if pool.done:
                continue
            first, kept = (user * groups + group) * beams, 0
            continuations = zip(following[user, group], scores[user, group], rows[user, group], strict=True)
            for rank, (token, score, row) in enumerate(continuations):
                parent = first + row
                if token.item() == EOS:
                    if rank < beams:
                        hypothesis = ids[parent].clone()
                        pool.add(score.item() / len(hypothesis), [*hypothesis.tolist(), EOS])
                    continue
                parents[user, group, kept], tokens[user, group, kept] = parent, token
                sums[user, group, kept] = score
                kept += 1
                if kept == beams:
                    break
            pool.done = len(pool.found) >= pool.size
    return parents.flatten(), tokens.flatten(), sums


class PlainAnswerer(Answerer):
    """A trained network, asked as the released code asks it: free searches alone, whatever the protocol."""

    def rank(self, queries: Queries) -> Ranking:
        """What the free search says, judged as under `published`."""
        return self._free(queries)

    def explain(self, pairs: Pairs) -> list[str]:
        """A sentence for each pair, in order."""
        search = replace(EXPLANATION, beams=self._settings.explanation_beams)
        examples = self._examples("explanation", pairs.users, rows_of_one(pairs.items))
        sentences = [""] * len(pairs)
        for rows, found in self._searched(examples, "explanation", search, GROUPS):
            ids = _table([[user[0]] for user in found])[0][:, 0]
            for row, sentence in zip(rows, self._built.renderer.decode(ids), strict=True):
                sentences[row] = sentence
        return sentences

    def _generated(self, queries: Queries) -> tuple[IntArray, FloatArray]:
        search = replace(RANKING, beams=self._settings.beams, returned=self._settings.beams)
        items = np.full((len(queries), search.returned), -1, np.int64)
        scores = np.full(items.shape, -np.inf, np.float32)
        for rows, found in self._searched(self._asked(queries), queries.task, search, 1):
            ids, values = _table(found)
            items[rows, : ids.shape[1]] = self._built.renderer.parse_items(ids)
            scores[rows, : ids.shape[1]] = values
        return items, scores

    def _searched(self, examples: Examples, label: str, search: Search, groups: int) -> Any:
        """Neighbours in batches as large as the released code's, padded to the longest of each."""
        size, shape = self._settings.inference_batch, Shape(self._shape.vectors, packed=False)
        parts = [np.arange(at, min(at + size, len(examples))) for at in range(0, len(examples), size)]
        self._encoded += int((examples.ids.lengths + shape.vectors).sum()) * search.beams * groups
        for part in self._context.progress.track(parts, len(parts), f"asking plainly: {label}"):
            batch = make_batch(examples.take(part), shape, self._context.device)
            (side,) = batch.inputs.rectangles
            with torch.no_grad():
                embedded = self.network.embed(batch).view(len(part), side.width, -1)
            real = side.real if side.real is not None else embedded.new_ones(embedded.shape[:2], dtype=torch.bool)
            found, steps = plain_search(
                self.network.backbone, embedded, real, search, groups=groups, masked=self._masked
            )
            self._decoder.read += steps * len(part) * search.beams * groups
            yield part, found


def _table(found: list[list[Hypothesis]]) -> tuple[IntArray, FloatArray]:
    """(n, m, T) ids, padded, and (n, m) scores of users' hypotheses."""
    width = max(len(ids) for user in found for _, ids in user)
    ids = np.zeros((len(found), max(map(len, found)), width), np.int64)
    scores = np.full(ids.shape[:2], -np.inf, np.float32)
    for at, user in enumerate(found):
        for place, (score, tokens) in enumerate(user):
            ids[at, place, : len(tokens)], scores[at, place] = tokens, score
    return ids, scores
