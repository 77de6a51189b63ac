"""Asking POD: what to encode, how to search, and what becomes of what was generated (POD section 3.5).

`sound`: searches are held to real items; top-N scores every candidate exactly. `published`: free searches, read as the
released code reads them (PUBLISHED.md, 15 and 16); how much of what they say is no item, twice said, already bought or
no candidate is counted and kept beside the numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from bench.models import Context, Pairs, Training
from bench.ragged import BoolArray, FloatArray, IntArray, Ragged
from bench.tasks import Queries, Ranking, select_top
from pod.batches import TASK_NUMBERS, Batch, Examples, Shape, make_batch
from pod.beam import EXPLANATION, RANKING, beam_search
from pod.building import Built
from pod.constrained import score_candidates, search_items
from pod.decoder import Decoder, Memory
from pod.network import PodNetwork
from pod.samples import question_items, rows_of_one
from pod.tokens import EOS
from pod.training import token_batches
from pod.trie import Trie
from pod.variants import PodSettings

_INVALID = 41
# Beams of so many users at most are kept at a time: short inputs would otherwise make batches of thousands.
_ROWS = 512


class Answerer:
    """A trained network, asked.

    masked:  cross-attention does not see padding of the inputs.
    audited: how many users a constrained run asks freely too, to say what it was spared.
    """

    def __init__(
        self,
        settings: PodSettings,
        built: Built,
        training: Training,
        context: Context,
        vectors: int,
        masked: bool,
        audited: int = 1000,
    ) -> None:
        self.network: PodNetwork = built.network
        self._settings, self._built, self._context, self._masked = settings, built, context, masked
        self._audited = audited
        self._protocol = training.protocol
        words_only = settings.inference == "discrete"
        self._shape = Shape(0 if words_only else vectors, packed=masked)
        self._decoder = Decoder(built.network.backbone.network)
        self._encoded = 0
        self._trie: Trie | None = None

    @property
    def work(self) -> dict[str, int]:
        """Tokens that encoder and decoder have read so far, prompt vectors included, padding not."""
        return {"encoded": self._encoded, "decoded": self._decoder.read}

    def rank(self, queries: Queries) -> Ranking:
        """Ranked items of each query, in query order."""
        if not self._protocol.constrained:
            return self._free(queries)
        if self._audited:
            part = queries.take(np.arange(min(self._audited, len(queries))))
            self._audit(part, self._generated(part))
        if queries.candidates is not None:
            return select_top(self._candidate_scores(queries, queries.candidates), queries)
        return self._constrained(queries)

    def explain(self, pairs: Pairs) -> list[str]:
        """A sentence for each pair, in order."""
        search = replace(EXPLANATION, beams=self._settings.explanation_beams)
        examples = self._examples("explanation", pairs.users, rows_of_one(pairs.items))
        sentences = [""] * len(pairs)
        for rows, memory in self._memories(examples, "explanation"):
            ids = beam_search(self._decoder, memory, search).ids[:, 0].cpu().numpy()
            for row, sentence in zip(rows, self._built.renderer.decode(ids), strict=True):
                sentences[row] = sentence
        return sentences

    def _examples(self, task: str, users: IntArray, items: Ragged) -> Examples:
        template = self._built.asking_template(task, self._settings.inference)
        tokens = self._built.renderer.inputs(template, users, items)
        return Examples(np.full(len(users), TASK_NUMBERS[task]), tokens.ids, tokens.words)

    def _asked(self, queries: Queries) -> Examples:
        items = question_items(queries.histories, queries.candidates)
        return self._examples(queries.task, queries.users, items)

    @torch.no_grad()
    def _memories(self, examples: Examples, label: str) -> Iterator[tuple[IntArray, Memory]]:
        """Encoded inputs, a batch at a time, with the rows they are of.

        Where padding is hidden, batches are of like length and at most `token_budget` tokens: results do not depend on
        who shares one. Otherwise they are the released code's: neighbours, padded to the longest.
        """
        lengths = examples.ids.lengths + self._shape.vectors
        self._encoded += int(lengths.sum())
        if self._masked:
            parts = [part for rows in token_batches(lengths, self._settings.token_budget) for part in _cut(rows, _ROWS)]
        else:
            parts = list(_cut(np.arange(len(examples)), self._settings.inference_batch))
        for part in self._context.progress.track(parts, len(parts), f"asking: {label}"):
            batch = make_batch(examples.take(part), self._shape, self._context.device)
            states, real = padded_states(self.network.encode(batch), batch)
            yield part[batch.order], self._decoder.remember(states, real if self._masked else None)

    def _generated(self, queries: Queries) -> tuple[IntArray, FloatArray]:
        """Free search: (n, beams) item indices, -1 for what names none, and scores."""
        search = replace(RANKING, beams=self._settings.beams, returned=self._settings.beams)
        items = np.full((len(queries), search.returned), -1, np.int64)
        scores = np.full(items.shape, -np.inf, np.float32)
        for rows, memory in self._memories(self._asked(queries), queries.task):
            found = beam_search(self._decoder, memory, search)
            items[rows] = self._built.renderer.parse_items(found.ids.cpu().numpy())
            scores[rows] = found.scores.float().cpu().numpy()
        return items, scores

    def _free(self, queries: Queries) -> Ranking:
        """As the released code: what names no item is replaced by a random one, everything else stays."""
        items, scores = self._generated(queries)
        self._audit(queries, (items, scores))
        invalid = items < 0
        items[invalid] = self._context.rng(_INVALID).integers(0, queries.n_items, int(invalid.sum()))
        if queries.candidates is not None:
            # An item that is no candidate takes its place in the list and can be no hit.
            items[~_among(items, queries.candidates)] = -1
        elif not queries.keep_history:
            items[_seen(items, queries)] = -1
        if not self._protocol.per_occurrence:
            items[_repeated(items)] = -1
        scores[items < 0] = -np.inf
        items, scores = items[:, : queries.k], scores[:, : queries.k]
        return Ranking(_widened(items, queries.k, -1).astype(np.int32), _widened(scores, queries.k, -np.inf))

    def _constrained(self, queries: Queries) -> Ranking:
        """The best items of the catalogue that the user has not had, by constrained search."""
        trie = self._tree()
        search = replace(RANKING, beams=max(self._settings.beams, queries.k), returned=min(queries.k, len(trie)))
        items = np.full((len(queries), queries.k), -1, np.int64)
        scores = np.full(items.shape, -np.inf, np.float32)
        histories = queries.histories.padded(max(1, int(queries.histories.lengths.max(initial=0))))
        for rows, memory in self._memories(self._asked(queries), queries.task):
            seen = torch.from_numpy(histories[rows].astype(np.int64)).to(self._context.device)
            allowed = None if queries.keep_history else trie.without(seen)
            found = search_items(self._decoder, memory, search, trie, allowed)
            items[rows, : search.returned] = found.items.cpu().numpy()
            scores[rows, : search.returned] = found.scores.float().cpu().numpy()
        return Ranking(items.astype(np.int32), scores)

    def _candidate_scores(self, queries: Queries, candidates: IntArray) -> FloatArray:
        """(n, 100) exact scores of every candidate."""
        trie, scores = self._tree(), np.empty(candidates.shape, np.float32)
        for rows, memory in self._memories(self._asked(queries), queries.task):
            wanted = torch.from_numpy(candidates[rows].astype(np.int64)).to(self._context.device)
            scores[rows] = score_candidates(self._decoder, memory, trie, wanted).float().cpu().numpy()
        return scores

    def _tree(self) -> Trie:
        if self._trie is None:
            self._trie = Trie.build(self._built.renderer.item_targets, EOS, self._context.device)
        return self._trie

    def _audit(self, queries: Queries, generated: tuple[IntArray, FloatArray]) -> None:
        """Note what share of the first ten generated names no item, a seen one, one twice or no candidate."""
        items = generated[0][:, :10]
        shares = {"users": float(len(items)), "invalid": float((items < 0).mean()) if items.size else 0.0}
        real = items >= 0
        shares["duplicate"] = _share(_repeated(items), real)
        if queries.candidates is None:
            shares["history"] = _share(_seen(items, queries), real)
        else:
            shares["no_candidate"] = _share(~_among(items, queries.candidates), real)
        self._context.facts.setdefault("free_search", {})[queries.task] = shares


def padded_states(encoded: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """(tokens, d) encoded inputs as (n, width, d), rows as the batch has them, and (n, width) which are real."""
    widest = max(rectangle.width for rectangle in batch.inputs.rectangles)
    states, real = [], []
    for rectangle in batch.inputs.rectangles:
        missing = widest - rectangle.width
        states.append(torch.nn.functional.pad(rectangle.take(encoded), (0, 0, 0, missing)))
        here = rectangle.real
        if here is None:
            here = torch.ones(rectangle.n, rectangle.width, dtype=torch.bool, device=encoded.device)
        real.append(torch.nn.functional.pad(here, (0, missing)))
    return torch.cat(states), torch.cat(real)


def _cut(rows: IntArray, size: int) -> Iterator[IntArray]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _share(marked: BoolArray, real: BoolArray) -> float:
    return float((marked & real).sum() / items) if (items := real.size) else 0.0


def _repeated(items: IntArray) -> BoolArray:
    """(n, m) whether an item stood further up already."""
    earlier = items[:, :, None] == items[:, None, :]
    return np.tril(earlier, -1).any(axis=2) & (items >= 0)


def _seen(items: IntArray, queries: Queries) -> BoolArray:
    """(n, m) whether an item is in the row's history."""
    stride = queries.n_items + 1
    histories = queries.histories
    known = histories.row_of.astype(np.int64) * stride + histories.values
    return np.isin(np.arange(len(items))[:, None] * stride + items, known) & (items >= 0)


def _among(items: IntArray, candidates: IntArray) -> BoolArray:
    """(n, m) whether an item is among the row's candidates."""
    return (items[:, :, None] == candidates[:, None, :]).any(axis=2) & (items >= 0)


def _widened(table: np.ndarray, width: int, fill: float) -> np.ndarray:
    """(n, width) with `fill` in the columns that the table lacks."""
    out = np.full((len(table), width), fill, table.dtype)
    out[:, : table.shape[1]] = table
    return out
