"""Writing a SentencePiece model file: a unigram vocabulary in the one binary format the library reads.

SentencePiece adds scores up over the whole text in single precision, `tokenizers` over each word in double, so
near-ties part differently. The authors used SentencePiece; a vocabulary that comes in another form goes through it too.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.errors import UserError

PAD, EOS, UNK = 0, 1, 2

# Numbers of the fields in SentencePiece's ModelProto and of the kinds of pieces.
_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3
_NORMAL, _UNKNOWN, _CONTROL = 1, 2, 3


def model_bytes(pieces: Sequence[tuple[str, float]], charsmap: bytes) -> bytes:
    """A unigram model. pieces: (text, log probability), the first three being pad, eos and unk.

    charsmap: the compiled normalisation rules, b"" for none; texts get T5's handling of spaces.
    """
    kinds = {PAD: _CONTROL, EOS: _CONTROL, UNK: _UNKNOWN}
    parts = []
    for index, (text, score) in enumerate(pieces):
        body = _bytes(1, text.encode()) + _float(2, score) + _number(3, kinds.get(index, _NORMAL))
        parts.append(_bytes(_PIECES, body))
    specials = _number(40, UNK) + _number(41, -1) + _number(42, EOS) + _number(43, PAD)
    parts.append(_bytes(_TRAINER, _number(3, 1) + _number(4, len(pieces)) + specials))
    spaces = _number(3, 1) + _number(4, 1) + _number(5, 1)
    parts.append(_bytes(_NORMALIZER, _bytes(1, b"stored") + _bytes(2, charsmap) + spaces))
    return b"".join(parts)


def charsmap_of(model: bytes) -> bytes:
    """The compiled normalisation rules of a model file."""
    for number, body in _fields(model):
        if number == _NORMALIZER:
            return next((bytes(rules) for inner, rules in _fields(body) if inner == 2), b"")
    return b""


def read_json(path: Path) -> bytes:
    """A model file's bytes from the `tokenizers` form (tokenizer.json) of a T5-family vocabulary.

    Raises UserError where the file is not such a vocabulary.
    """
    fix = "use the spiece.model of a T5-family model"
    try:
        import orjson  # only for vocabularies in this form: machines without it can do all else

        stored = orjson.loads(path.read_bytes())
        if stored["model"].get("type", "Unigram") != "Unigram":
            raise UserError(f"a {stored['model']['type']} vocabulary, where Unigram is needed", str(path), fix)
        pieces = [(str(text), float(score)) for text, score in stored["model"]["vocab"]]
        rules = _charsmap(stored.get("normalizer"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"not a readable tokenizer ({error!r})", str(path), fix) from error
    if [text for text, _ in pieces[:3]] != ["<pad>", "</s>", "<unk>"]:
        raise UserError("the first pieces are not <pad>, </s>, <unk>", str(path), fix)
    # The <extra_id_…> at the end have no place in SentencePiece's own file.
    return model_bytes([piece for piece in pieces if not piece[0].startswith("<extra_id_")], rules)


def _charsmap(normalizer: dict[str, Any] | None) -> bytes:
    """The first compiled rules found in a normalizer or in its sequence."""
    if normalizer is None:
        return b""
    for part in [normalizer, *normalizer.get("normalizers", [])]:
        if part.get("type") == "Precompiled":
            return base64.b64decode(part["precompiled_charsmap"], validate=True)
    return b""


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _float(field: int, value: float) -> bytes:
    return _varint(field << 3 | 5) + struct.pack("<f", value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _fields(data: bytes | memoryview) -> Iterator[tuple[int, memoryview]]:
    """(number, body) of every field; numbers come as empty bodies."""
    view, at = memoryview(data), 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = view[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(view):
        key = varint()
        kind, start = key & 7, at
        if kind == 0:
            varint()
            yield key >> 3, view[:0]
            continue
        length = varint() if kind == 2 else {1: 8, 5: 4}[kind]
        start = at
        at += length
        yield key >> 3, view[start:at]
