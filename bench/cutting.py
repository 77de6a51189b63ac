"""Where sentences end before they are judged: after 20 tokens, references and generations of every model alike.

Tokens are those of T5, the paper's backbone (PUBLISHED.md, line 12). This package knows no model, so the tokenizer is
found as models are: by name, when it is needed, and without it whole words are counted.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import UserError

LIMIT = 20
TOKENIZER = "pod.tokens:load_tokenizer"
WORDS = f"{LIMIT} words, as T5's tokenizer was not found"


@dataclass(frozen=True)
class Cutter:
    """A way of cutting.

    name: after how many of what, said beside every number; equal names cut equally.
    cut:  n texts -> n texts, each at most so long.
    """

    name: str
    cut: Callable[[Sequence[str]], list[str]]


def find_cutter(data_dir: Path | None = None, *, offline: bool = False, tokenizer: str = TOKENIZER) -> Cutter:
    """Cut by T5's tokens where its tokenizer is to be had, else by words.

    data_dir:  where the user keeps data; the tokenizer may lie there. offline: never download it.
    tokenizer: "module:function" that loads one and may raise UserError.
    """
    module, _, function = tokenizer.partition(":")
    try:
        found: Any = getattr(importlib.import_module(module), function)(data_dir=data_dir, offline=offline)
    except (ImportError, UserError):  # its package is optional, and so are its files
        return Cutter(WORDS, cut_words)
    return Cutter(f"{LIMIT} tokens of {found.note or 'T5'}", lambda texts: found.cut(texts, LIMIT))


def cut_words(texts: Sequence[str], limit: int = LIMIT) -> list[str]:
    """Each text's first `limit` words, parted by single blanks; a text that is no longer stays as it is."""
    parted = (text.split() for text in texts)
    return [" ".join(words[:limit]) if len(words) > limit else text for text, words in zip(texts, parted, strict=True)]
