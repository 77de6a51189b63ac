"""Words and marks of sentences, and their numbers.

The papers' sentences came with marks set apart ("sturdy , light"); ours have them where people put them. So marks are
parted from words here and put back in what is generated: `text_of(tokens_of(text))` is the text, single-spaced.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

SPECIAL = ("<pad>", "<bos>", "<unk>", "<eos>")
PAD, BOS, UNK, EOS = range(len(SPECIAL))
# Numbers below are never generated: padding, the beginning and the unknown word say nothing to anybody.
FIRST_SAID = EOS

# `str.split` parts words at this character, so none can hold it.
_JOINER = "\x1f"
_WORD = re.compile(r"""([("'\[{“‘«¿¡]*)(.*?)([)"'\]}”’»,.;:!?…]*)""", re.DOTALL)


def tokens_of(text: str) -> list[str]:
    """Words and marks of a text; a mark that touches a word has a joiner on that side. Marks in a row are one."""
    found: list[str] = []
    for word in text.split():
        parts = _WORD.fullmatch(word)
        before, core, after = parts.groups() if parts else ("", word, "")
        if not core:
            found.append(word)
            continue
        found += [before + _JOINER] * bool(before) + [core] + [_JOINER + after] * bool(after)
    return found


def text_of(tokens: Iterable[str]) -> str:
    """The text of words and marks; a mark that has nothing to touch stands alone."""
    return " ".join(tokens).replace(f"{_JOINER} ", "").replace(f" {_JOINER}", "").replace(_JOINER, "")


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """words: by number, the special ones first. A word that reads like a special one is a word of its own."""

    words: tuple[str, ...]

    @classmethod
    def of_texts(cls, texts: Iterable[str], size: int) -> Vocabulary:
        """The most frequent words and marks of (training) texts, by the alphabet where equally frequent.

        size: entries at most, the special ones among them.
        """
        counts = Counter(token for text in texts for token in tokens_of(text))
        ordered = sorted(counts, key=lambda token: (-counts[token], token))
        return cls((*SPECIAL, *ordered[: size - len(SPECIAL)]))

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words) if number >= len(SPECIAL)}

    def encode(self, text: str, most: int) -> list[int]:
        """Numbers of the first `most` words and marks, and <eos> behind them; a text that is cut has no end."""
        tokens = tokens_of(text)
        numbers = [self._numbers.get(token, UNK) for token in tokens[:most]]
        return numbers if len(tokens) > most else [*numbers, EOS]

    def decode(self, numbers: Sequence[int]) -> str:
        """The text of numbers up to the first <eos>."""
        said = list(numbers)
        said = said[: said.index(EOS)] if EOS in said else said
        return text_of(self.words[number] for number in said)
