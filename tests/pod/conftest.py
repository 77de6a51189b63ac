"""Tokenizers, loaded once for all tests of this room."""

from __future__ import annotations

from pathlib import Path

import pytest

from pod.spiece import model_bytes
from pod.tokens import Tokenizer, load_tokenizer

SPECIALS = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
WORDS = ["▁user", "▁item", "▁after", "▁what", "▁comes", "▁the", "▁", "_", ",", "?", ":", "(", ")", "a", "b", "c"]


def toy_pieces() -> list[tuple[str, float]]:
    """A few words, digits alone, in pairs, threes and with commas; many ids can be cut in two ways of one score."""
    pieces = [(word, -2.0 - 0.37 * place) for place, word in enumerate(WORDS)]
    pieces += [(str(digit), -5.0 - 0.25 * digit) for digit in range(10)]
    pieces += [(f"{pair:02d}", -7.0 - 0.125 * (pair * 7 % 32)) for pair in range(0, 100)]
    pieces += [(f"{digit}" * 3, -9.0) for digit in range(10)]
    return [*SPECIALS, *pieces, ("1,", -5.5), ("2,", -7.3)]


@pytest.fixture(scope="session")
def toy() -> Tokenizer:
    return Tokenizer(model_bytes(toy_pieces(), b""), "toy")


@pytest.fixture(scope="session")
def t5(shared: Path) -> Tokenizer:
    return load_tokenizer(shared / "t5-tokenizer")
