"""How surely SentencePiece cuts a piece of text the same way wherever it stands.

Pieces never cross a space, so in exact arithmetic a text is cut word by word. But scores are added up in single
precision from the start of the text, and the later a word, the coarser the sums: two ways to cut it that are closer
than the rounding may swap. Here the two best ways of each text are found, and how far in it is safe.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import numpy as np

from bench.ragged import FloatArray, IntArray

_SPACE = "▁"
_HALF_ULP = 2.0**-24
GRID = 2.0**-8
"""Sums of multiples of this are exact in single precision up to 2^16: more than a text of 511 ids costs."""
_DIGITS = frozenset("0123456789")


class Margins:
    """The two best ways to cut texts into pieces of a unigram vocabulary.

    scores: piece -> log probability.
    """

    def __init__(self, scores: Mapping[str, float]) -> None:
        self._scores = scores
        self._longest = max(map(len, scores))
        self._with_digits = [piece for piece in scores if any(letter in _DIGITS for letter in piece)]
        self._runs: dict[tuple[str, int, str], tuple[IntArray, FloatArray]] = {}
        self._exact = all((score / GRID).is_integer() for score in scores.values())
        # Should a vocabulary have pieces over several words, no text is cut the same way everywhere.
        self._by_word = all(_SPACE not in piece[1:] for piece in scores)

    def of_numbers(self, before: str, numbers: IntArray, after: str) -> tuple[FloatArray, FloatArray]:
        """(cost, margin) of the texts before + number + after, each (n,) float64.

        cost:   minus the log probability of the best way to cut it.
        margin: the cost of all text up to its end, itself included, up to which that way is chosen for sure:
                inf where there is no other way, 0 where there is none at all.
        """
        numbers = np.asarray(numbers, dtype=np.int64)
        cost, margin = np.zeros(len(numbers)), np.zeros(len(numbers))
        lengths = np.char.str_len(numbers.astype(np.str_)) if len(numbers) else numbers
        for digits in np.unique(lengths):
            rows = np.flatnonzero(lengths == digits)
            cost[rows], margin[rows] = self._two_best(before, numbers[rows], int(digits), after)
        return cost, margin

    def of_text(self, text: str) -> tuple[float, float]:
        """(cost, margin) of one text; (0, inf) of an empty one."""
        if not text.strip():
            return 0.0, np.inf
        cost, margin = self._two_best(text, np.zeros(1, np.int64), 0, "")
        return float(cost[0]), float(margin[0])

    def _two_best(self, before: str, numbers: IntArray, digits: int, after: str) -> tuple[FloatArray, FloatArray]:
        """(cost, margin) for numbers of one length, by dynamic programming over the ends of pieces."""
        left, right = _model_form(f"{before}\0{after}").split("\0")
        first, last = len(left), len(left) + digits
        length = last + len(right)
        n = len(numbers)
        best, second = np.full((length + 1, n), -np.inf), np.full((length + 1, n), -np.inf)
        pieces = np.zeros((length + 1, n), dtype=np.int64)
        best[0] = 0.0
        text = left + "0" * digits + right
        for end in range(1, length + 1):
            for start, score in self._spans(text, end, first, last, numbers):
                new, runner_up = best[start] + score, second[start] + score
                wins = new > best[end]
                second[end] = np.maximum(np.where(wins, best[end], np.maximum(new, second[end])), runner_up)
                best[end] = np.where(wins, new, best[end])
                pieces[end] = np.where(wins, pieces[start] + 1, pieces[end])
        gap = best[length] - np.where(np.isfinite(best[length]), second[length], np.inf)
        # Each addition rounds by half a unit at most; the other way has at most `length` of them.
        margin = np.where(gap > 0, gap / ((pieces[length] + length + 2) * _HALF_ULP), 0.0)
        if self._exact:
            margin = np.full(n, GRID / _HALF_ULP)  # even ties are parted the same way everywhere
        known = np.isfinite(best[length])
        margin = np.where(known, margin, 0.0)
        return np.where(known, -best[length], 0.0), margin if self._by_word else np.zeros(n)

    def _spans(
        self, text: str, end: int, first: int, last: int, numbers: IntArray
    ) -> Iterator[tuple[int, FloatArray | float]]:
        """(start, score) of each piece that ends at `end`; text[first:last] stands for the digits of the numbers."""
        for start in range(max(0, end - self._longest), end):
            left, right = max(start, first), min(end, last)
            if left >= right:
                score = self._scores.get(text[start:end])
                if score is not None:
                    yield start, score
                continue
            values, scores = self._run(text[start:left], right - left, text[right:end])
            if len(values):
                run = numbers // 10 ** (last - right) % 10 ** (right - left)
                place = np.minimum(np.searchsorted(values, run), len(values) - 1)
                yield start, np.where(values[place] == run, scores[place], -np.inf)

    def _run(self, before: str, digits: int, after: str) -> tuple[IntArray, FloatArray]:
        """The pieces of so many digits between two texts: their digits' values, ascending, and their scores."""
        key = (before, digits, after)
        if key not in self._runs:
            first, length = len(before), len(before) + digits + len(after)
            found = sorted(
                (int(piece[first : first + digits]), self._scores[piece])
                for piece in self._with_digits
                if len(piece) == length
                and piece.startswith(before)
                and piece.endswith(after)
                and _DIGITS.issuperset(piece[first : first + digits])
            )
            values, scores = zip(*found, strict=True) if found else ((), ())
            self._runs[key] = np.array(values, dtype=np.int64), np.array(scores, dtype=np.float64)
        return self._runs[key]


def _model_form(text: str) -> str:
    """A text as SentencePiece sees it: a mark before every word."""
    return _SPACE + re.sub(r"\s+", _SPACE, text.strip())
