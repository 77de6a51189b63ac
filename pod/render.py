"""Inputs and targets of POD as token rows, the same as by tokenising whole texts, at the speed of indexing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bench.errors import UserError
from bench.ragged import BoolArray, IntArray, Ragged, offsets_of
from pod.chunks import NEVER, ChunkMaker, Chunks, joined_rows, plan_of
from pod.numbers import NumberReader
from pod.templates import Template
from pod.tokens import EOS, Tokenizer, check_ids

ItemTokens = Literal["sentencepiece", "independent"]

_ITEM = re.compile(r"item_(\d+)")
_PLACES = ("only", "first", "middle", "last")


@dataclass(frozen=True, eq=False)
class Tokens:
    """n token rows.

    ids:   row r: the tokens of text r, EOS last.
    words: for each token its whole-word index: k for the k-th id of its text, 0 for none (PUBLISHED.md, 6).
    """

    ids: Ragged
    words: Ragged


@dataclass(frozen=True, eq=False)
class _Layouts:
    """Templates as chunks of the pool; every array has a row a template.

    words:      (t, 3) the chunks before, between and after the slots.
    user:       (t,) the chunk of user 0; the others follow it.
    item:       (t, 4) that of item 0 as the only, first, a middle and the last one of its list.
    user_first: (t,) whether the user stands before the items.
    uniform:    no template writes an item in different ways by its place.
    """

    words: IntArray
    user: IntArray
    item: IntArray
    user_first: BoolArray
    uniform: bool


class Renderer:
    """Users and items of a dataset as text and tokens.

    tokenizer:    what texts are cut with.
    user_numbers: (n_users,) the number in each user's name.
    item_numbers: (n_items,) the number in each item's name, all different.
    item_tokens:  "sentencepiece": names are cut into pieces, as in the paper. "independent": each item is one added
                  token (Hua et al. 2023); users stay pieces.
    limit:        most tokens of an input, EOS included, that the backbone has positions for; None: any number.
    Raises ValueError where numbers are negative or two items share one.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        user_numbers: IntArray,
        item_numbers: IntArray,
        item_tokens: ItemTokens = "sentencepiece",
        limit: int | None = None,
    ) -> None:
        if len(np.unique(item_numbers)) != len(item_numbers):
            raise ValueError("two items have one number")
        if min(user_numbers.min(initial=0), item_numbers.min(initial=0)) < 0:
            raise ValueError("a number is negative")
        self.tokenizer = tokenizer
        self.user_numbers = np.asarray(user_numbers, dtype=np.int64)
        self.item_numbers = np.asarray(item_numbers, dtype=np.int64)
        self.independent = item_tokens == "independent"
        self.limit = limit
        self.base = tokenizer.size
        self.size = self.base + (len(item_numbers) if self.independent else 0)
        self.item_targets = self._item_targets()
        self._maker = ChunkMaker(tokenizer)
        self._pool = self._maker.words("")
        self._places: dict[tuple[str, str, str], int] = {}
        self._layouts: dict[tuple[Template, ...], _Layouts] = {}
        self._reader = NumberReader(tokenizer, self.item_numbers, self.base if self.independent else None)

    def inputs(
        self, templates: Template | Sequence[Template], users: IntArray, items: Ragged, choice: IntArray | None = None
    ) -> Tokens:
        """Encoder inputs.

        users: (n,) user indices. items: row r: the item indices of its list, one for explanations.
        choice: (n,) the template of each row, an index into `templates`; None: the first.
        Raises UserError where a text holds more ids or tokens than the backbone takes.
        """
        layouts = self._layout(templates)
        users = np.asarray(users, dtype=np.int64)
        chosen = np.zeros(len(users), np.int64) if choice is None else np.asarray(choice, dtype=np.int64)
        self._check(users, items, chosen, len(layouts.user))
        check_ids(int(items.lengths.max(initial=0)) + 1)
        chunks, offsets = _chunk_rows(layouts, users, items, chosen)
        pool = self._pool
        packed = pool.packed.take(chunks)
        token_offsets = packed.offsets[offsets]
        # An id's index is its place among the ids of its row, told to each of its tokens.
        counted = np.cumsum(pool.holds_id[chunks], dtype=np.int32)
        ordinal = counted - np.repeat(np.concatenate([[0], counted])[offsets[:-1]], np.diff(offsets))
        words = np.repeat(ordinal.astype(np.int32), packed.lengths) * (packed.values & 1)
        tokens = Tokens(Ragged(packed.values >> 1, token_offsets), Ragged(words, token_offsets))
        unsure = self._unsure(chunks, offsets) | (items.lengths == 0)
        if unsure.any():
            rows = np.flatnonzero(unsure)
            whole = self.encode(self.texts(templates, users[rows], items.take(rows), chosen[rows]))
            tokens = _replaced(tokens, rows, whole)
        self._check_lengths(tokens.ids.lengths)
        return tokens

    def texts(
        self, templates: Template | Sequence[Template], users: IntArray, items: Ragged, choice: IntArray | None = None
    ) -> list[str]:
        """The same inputs as text, for people, reports and tests."""
        listed = (templates,) if isinstance(templates, Template) else tuple(templates)
        chosen = [0] * len(users) if choice is None else np.asarray(choice).tolist()
        names = [f"item_{number}" for number in self.item_numbers[items.values].tolist()]
        numbers, bounds = self.user_numbers[users].tolist(), items.offsets.tolist()
        return [
            listed[kind].fill(f"user_{number}", names[first:last])
            for kind, number, first, last in zip(chosen, numbers, bounds[:-1], bounds[1:], strict=True)
        ]

    def encode(self, texts: Sequence[str]) -> Tokens:
        """Token rows of whole texts: what `inputs` has to equal."""
        if self.independent:
            return self._encode_parts(texts)
        ids = self.tokenizer.encode(texts)
        return Tokens(ids, self.tokenizer.whole_words(ids))

    def _encode_parts(self, texts: Sequence[str]) -> Tokens:
        """Texts with items as tokens: what stands between two of them is tokenised for itself."""
        index = {str(number): place for place, number in enumerate(self.item_numbers.tolist())}
        ids, words = [], []
        for text in texts:
            parts = _ITEM.split(text)
            row, marks, count = [], [], 0
            pieces = self.tokenizer.encode(parts[::2], eos=False)
            inner = self.tokenizer.whole_words(pieces)
            for place, number in enumerate([*parts[1::2], None]):
                found = inner[place]
                row += pieces[place].tolist()
                marks += np.where(found > 0, found + count, 0).tolist()
                count += int(found.max(initial=0))
                if number is not None:
                    count += 1
                    row.append(self.base + index[number])
                    marks.append(count)
            ids.append([*row, EOS])
            words.append([*marks, 0])
            check_ids(count)
        return Tokens(Ragged.from_rows(ids), Ragged.from_rows(words))

    def text_targets(self, texts: Sequence[str], limit: int = 20) -> Ragged:
        """Targets of explanations: at most `limit` tokens each, so that a long one has no EOS (SPEED.md, trap 2)."""
        rows = self.tokenizer.encode(texts)
        return rows.slice_rows(rows.offsets[:-1], np.minimum(rows.offsets[1:], rows.offsets[:-1] + limit))

    def decode(self, rows: Iterable[IntArray]) -> list[str]:
        """Generated rows as text; an item's own token reads as its name."""
        return [self._decoded(np.asarray(row)) for row in rows]

    def _decoded(self, row: IntArray) -> str:
        items = np.flatnonzero(row >= self.base) if self.independent else np.empty(0, np.int64)
        parts = []
        for start, end in zip([0, *(items + 1)], [*items, len(row)], strict=True):
            parts += self.tokenizer.decode([row[start:end]])
            parts += [f"item_{self.item_numbers[row[end] - self.base]}"] if end < len(row) else []
        return " ".join(filter(None, parts))

    def parse_item(self, ids: IntArray) -> int:
        """The item that a generated row names, -1 where it is not exactly one's number."""
        return int(self.parse_items(np.asarray(ids)[None])[0])

    def parse_items(self, ids: IntArray) -> IntArray:
        """(…, T) generated ids -> (…) item indices, -1 where the text is not exactly a known item's number."""
        return self._reader.parse(np.asarray(ids))

    def occurring(self, templates: Sequence[Template], texts: Sequence[str] = ()) -> IntArray:
        """Ids of the tokenizer that inputs, item targets or the given texts can hold: what `compacted` keeps."""
        for template in templates:
            self._layout(template)
        rows = [self.tokenizer.encode(texts).values, self.item_targets.values, self._pool.packed.values >> 1]
        for kind, before, after in self._places:
            rows += [self._maker.possible_pieces(text) for text in self._unsure_texts(kind, before, after)]
        values = np.concatenate(rows)
        return np.unique(values[values < self.base])

    def _unsure_texts(self, kind: str, before: str, after: str) -> list[str]:
        """The texts of a place's chunks that may be cut in another way far into a text."""
        numbers = {"user": self.user_numbers, "item": self.item_numbers}.get(kind)
        start = self._places[kind, before, after]
        margins = self._pool.margin[start : start + (1 if numbers is None else len(numbers))]
        unsure = np.flatnonzero(margins < NEVER)
        if numbers is None or (kind == "item" and self.independent):
            return [f"{before} {after}"] * min(1, len(unsure))
        return [f"{before}{kind}_{number}{after}" for number in numbers[unsure].tolist()]

    def _item_targets(self) -> Ragged:
        """Row i: the target of item i. Its number alone as a text, or its own token; EOS last."""
        if not self.independent:
            return self.tokenizer.encode([str(number) for number in self.item_numbers.tolist()])
        count = len(self.item_numbers)
        pairs = np.stack([self.base + np.arange(count), np.full(count, EOS)], axis=1)
        return Ragged(pairs.astype(np.int32).ravel(), offsets_of(np.full(count, 2)))

    def _check(self, users: IntArray, items: Ragged, choice: IntArray, templates: int) -> None:
        if not len(users) == len(items) == len(choice):
            raise ValueError(f"{len(users)} users, {len(items)} lists, {len(choice)} choices")
        for name, values, count in (
            ("user", users, len(self.user_numbers)),
            ("item", items.values, len(self.item_numbers)),
            ("template", choice, templates),
        ):
            if len(values) and (values.min() < 0 or values.max() >= count):
                raise ValueError(f"{name} indices outside 0 … {count - 1}")

    def _check_lengths(self, lengths: IntArray) -> None:
        longest = int(lengths.max(initial=0))
        if self.limit is not None and longest > self.limit:
            what = f"an input of {longest} tokens, the backbone takes {self.limit}"
            raise UserError(what, "input text", "give shorter histories, fewer candidates or another backbone")

    def _unsure(self, chunks: IntArray, offsets: IntArray) -> BoolArray:
        """(n,) rows with a chunk that may be cut differently where it stands."""
        cost = np.cumsum(self._pool.cost[chunks])
        so_far = cost - np.repeat(np.concatenate([[0.0], cost])[offsets[:-1]], np.diff(offsets))
        # The sums here are in double precision, whose own rounding is far below the margin's slack.
        over = np.flatnonzero(so_far >= self._pool.margin[chunks])
        flags = np.zeros(len(offsets) - 1, dtype=np.bool_)
        flags[np.searchsorted(offsets, over, side="right") - 1] = True
        return flags

    def _layout(self, templates: Template | Sequence[Template]) -> _Layouts:
        key = (templates,) if isinstance(templates, Template) else tuple(templates)
        if key not in self._layouts:
            self._layouts[key] = self._made(key)
        return self._layouts[key]

    def _made(self, templates: tuple[Template, ...]) -> _Layouts:
        words, users, items = [], [], []
        for template in templates:
            plan = plan_of(template)
            kinds = (("words", plan.before), ("words", plan.between), ("end", plan.after))
            words.append([self._place(kind, text, "") for kind, text in kinds])
            users.append(self._place("user", *plan.user))
            items.append([self._place("item", *plan.item[place]) for place in _PLACES])
        first = np.array([template.user_first for template in templates])
        item = np.array(items)
        return _Layouts(np.array(words), np.array(users), item, first, bool((item == item[:, :1]).all()))

    def _place(self, kind: str, before: str, after: str) -> int:
        """Where the chunks of a kind, with these texts around the name, begin in the pool; made when first asked."""
        key = (kind, before, after)
        if key not in self._places:
            self._places[key] = len(self._pool.cost)
            self._pool = self._pool.joined(self._chunks(kind, before, after))
        return self._places[key]

    def _chunks(self, kind: str, before: str, after: str) -> Chunks:
        if kind == "user":
            return self._maker.names(f"{before}user_", self.user_numbers, after)
        if kind == "words":
            return self._maker.words(before)
        if kind == "end":
            return self._maker.end(before)
        if self.independent:
            return self._maker.tokens(before, self.base, len(self.item_numbers), after)
        return self._maker.names(f"{before}item_", self.item_numbers, after)


def _chunk_rows(layouts: _Layouts, users: IntArray, items: Ragged, choice: IntArray) -> tuple[IntArray, IntArray]:
    """(chunks, offsets): row r is chunks[offsets[r]:offsets[r + 1]], from the words before the slots to the end."""
    lengths = items.lengths
    offsets = offsets_of(lengths + 4)
    starts, first = offsets[:-1], layouts.user_first[choice]
    chunks = np.empty(offsets[-1], dtype=np.int64)
    before, between, after = layouts.words[choice].T
    chunks[starts] = before
    chunks[starts + np.where(first, 2, lengths + 1)] = between
    chunks[offsets[1:] - 1] = after
    chunks[starts + np.where(first, 1, lengths + 2)] = layouts.user[choice] + users
    lists = starts + np.where(first, 3, 1)
    if layouts.uniform:
        kinds = np.repeat(layouts.item[choice, 0], lengths)
    else:
        only, head, middle, last = layouts.item[choice].T
        kinds = np.repeat(middle, lengths)
        filled = lengths > 0
        kinds[items.offsets[1:][filled] - 1] = last[filled]
        kinds[items.offsets[:-1][filled]] = np.where(lengths == 1, only, head)[filled]
    places = np.arange(len(kinds)) + np.repeat(lists - items.offsets[:-1], lengths)
    chunks[places] = kinds + items.values
    return chunks, offsets


def _replaced(tokens: Tokens, rows: IntArray, others: Tokens) -> Tokens:
    """Tokens with some rows taken from others, in order."""
    order = np.arange(len(tokens.ids))
    order[rows] = len(order) + np.arange(len(rows))
    ids, words = (joined_rows(*pair).take(order) for pair in ((tokens.ids, others.ids), (tokens.words, others.words)))
    return Tokens(ids, words)
