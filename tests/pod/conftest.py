"""Tokenizers, loaded once for all tests of this room."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy import toy_pieces

from pod.spiece import model_bytes
from pod.tokens import Tokenizer, load_tokenizer


@pytest.fixture(scope="session")
def toy() -> Tokenizer:
    return Tokenizer(model_bytes(toy_pieces(), b""), "toy")


@pytest.fixture(scope="session")
def t5(shared: Path) -> Tokenizer:
    return load_tokenizer(shared / "t5-tokenizer")
