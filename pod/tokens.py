"""Texts to pieces and back: T5's tokenizer, as the authors' code uses it.

A whole text goes through SentencePiece at once, as in the authors' code: it adds scores up in single precision from
the start of the text, so an id with two segmentations of nearly one score may be cut differently in a long text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
import sentencepiece

from bench.errors import UserError
from bench.ragged import BoolArray, IntArray, Ragged, offsets_of
from pod.hub import Search
from pod.spiece import EOS, PAD, UNK, charsmap_of, read_json

WHOLE_WORDS = 512
"""Rows of the whole-word embedding: 0 for tokens of no id, 1 to 511 for the ids of a text (PUBLISHED.md, 6)."""

_T5_DIGEST = "1c95d7b4d48ecdc6"
_EXTRA_IDS = 100
_FILES = ("spiece.model", "tokenizer.json")
# Models of the hub that share T5's vocabulary.
_OF_T5 = re.compile(r"((google|google-t5)/)?(flan-)?t5-(small|base|large|xl|xxl|3b|11b)")
_NOTE_FILE = "note.txt"
_NEEDED = ("_", *"0123456789")

# Spaces that the authors' version of `transformers` takes out of decoded English.
_CLEANED = {" .": ".", " ?": "?", " !": "!", " ,": ",", " ' ": "'"} | {
    f" {ending}": ending for ending in ("n't", "'m", "'s", "'ve", "'re")
}


class Tokenizer:
    """A SentencePiece unigram vocabulary with T5's special ids: pad (and start) 0, EOS 1, unknown 2.

    model: the bytes of a SentencePiece model file.
    where: the file it is from, for messages.
    note:  said beside every number it has a part in; None: "" for T5's own, else how it differs.
    kept:  ids of the model that this tokenizer knows, in the order of its own; None: all.
    Raises UserError where the bytes are no such model or it has no pieces for digits and the underscore.
    """

    def __init__(self, model: bytes, where: str, note: str | None = None, kept: IntArray | None = None) -> None:
        self.model = model
        self.where = where
        self._kept = kept
        self.processor = sentencepiece.SentencePieceProcessor()
        try:
            self.processor.LoadFromSerializedProto(model)
        except (RuntimeError, ValueError, TypeError) as error:
            raise UserError("not a SentencePiece model", where, "use the spiece.model of a T5-family model") from error
        pieces = int(self.processor.get_piece_size())
        texts = [self.processor.id_to_piece(index) for index in range(pieces)]
        self._check(texts)
        self.model_pieces: tuple[str, ...] = tuple(texts)
        own = self._digest == _T5_DIGEST
        self.note = note if note is not None else "" if own else f"a tokenizer of {pieces:,} pieces, not T5's own"

    def _check(self, pieces: Sequence[str]) -> None:
        specials = (self.processor.pad_id(), self.processor.eos_id(), self.processor.unk_id())
        fix = "use T5's tokenizer, or one trained on the data set's own texts"
        if specials != (PAD, EOS, UNK):
            raise UserError(f"pad, EOS and unknown have the ids {specials}, T5's are (0, 1, 2)", self.where, fix)
        missing = sorted(set(_NEEDED) - set(pieces))
        if missing:
            names = ", ".join(f"'{piece}'" for piece in missing)
            raise UserError(f"the tokenizer has no piece for {names}, so ids cannot be told apart", self.where, fix)

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """The text of each piece, by id."""
        return self.model_pieces if self._kept is None else tuple(self.model_pieces[index] for index in self._kept)

    @cached_property
    def size(self) -> int:
        """Embedding rows needed. T5's checkpoints have rows for 100 sentinels too, and a multiple of 128 rows."""
        if self._kept is not None:
            return len(self._kept)
        return -(-(len(self.model_pieces) + _EXTRA_IDS) // 128) * 128

    @cached_property
    def _digest(self) -> str:
        """Hex digest of what decides how a text is cut, the same for both forms of file."""
        digest = hashlib.sha256(charsmap_of(self.model))
        digest.update("\n".join(self.model_pieces).encode())
        digest.update(np.array([*self.scores.values()], dtype="<f4").tobytes())
        return digest.hexdigest()[:16]

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of the pieces, their scores and those kept: part of a run's identity."""
        kept = b"" if self._kept is None else np.ascontiguousarray(self._kept, dtype="<i8").tobytes()
        return hashlib.sha256(self._digest.encode() + kept).hexdigest()[:16]

    @cached_property
    def scores(self) -> dict[str, float]:
        """Log probability of each piece of the model that a text can be cut into."""
        ordinary = range(UNK + 1, len(self.model_pieces))
        return {self.model_pieces[index]: float(self.processor.get_score(index)) for index in ordinary}

    @cached_property
    def sentinels(self) -> IntArray:
        """Ids of T5's sentinels, which decoding skips as the special ids."""
        if self._kept is not None:
            return np.empty(0, np.int64)
        return len(self.model_pieces) + np.arange(_EXTRA_IDS)

    def model_ids(self, texts: Sequence[str]) -> Ragged:
        """Row r: the model's own ids of texts[r], without EOS."""
        rows = self.processor.encode(list(texts), out_type=int, num_threads=1)
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        values = np.fromiter(chain.from_iterable(rows), np.int32, int(lengths.sum()))
        return Ragged(values, offsets_of(lengths))

    def encode(self, texts: Sequence[str], *, eos: bool = True) -> Ragged:
        """Row r: the ids of texts[r], EOS last unless not asked for."""
        rows = self.model_ids(texts)
        values = self.own_ids(rows.values)
        if not eos:
            return Ragged(values, rows.offsets)
        offsets = rows.offsets + np.arange(len(rows) + 1)
        out = np.full(offsets[-1], EOS, dtype=np.int32)
        inner = np.ones(len(out), dtype=np.bool_)
        inner[offsets[1:] - 1] = False
        out[inner] = values
        return Ragged(out, offsets)

    def pieces(self, text: str) -> list[str]:
        """The pieces of a text, without EOS."""
        return [self.vocabulary[index] for index in self.encode([text], eos=False).values]

    def decode(self, rows: Iterable[IntArray]) -> list[str]:
        """The text of each row of ids, special ones skipped, as transformers 4.18 wrote it (golden `beams`)."""
        return [self._decode_row(np.asarray(row)) for row in rows]

    def cut(self, texts: Sequence[str], limit: int = 20) -> list[str]:
        """Each text's first `limit` tokens as text again: references are cut like targets (PUBLISHED.md, 12)."""
        encoded = self.encode(texts, eos=False)
        stops = np.minimum(encoded.offsets[1:], encoded.offsets[:-1] + limit)
        kept = encoded.slice_rows(encoded.offsets[:-1], stops)
        whole = encoded.lengths <= limit
        decoded = self.decode(kept[row] for row in range(len(kept)))
        return [text if fits else short for text, fits, short in zip(texts, whole, decoded, strict=True)]

    def _decode_row(self, row: IntArray) -> str:
        ordinary = row[row > UNK]
        if self._kept is not None:
            ordinary = self._kept[ordinary]
        known = len(self.model_pieces)
        ordinary = ordinary[(ordinary < known) | (ordinary >= known + _EXTRA_IDS)]
        if ordinary.size and ordinary.max() >= known:
            # Rows that only fill a checkpoint up to a multiple of 128; that version named them by this pattern.
            last = known + _EXTRA_IDS - 1
            names = [self.model_pieces[i] if i < known else f"<extra_id_{last - i}>" for i in ordinary]
            text = self.processor.decode_pieces(names)
        else:
            text = self.processor.decode(ordinary.tolist())
        text = text.strip()
        for spaced, joined in _CLEANED.items():
            text = text.replace(spaced, joined)
        return text

    def compacted(self, used: IntArray) -> Tokenizer:
        """A tokenizer of only the given pieces (ids of this one), ids counted anew; all other pieces are unknown.

        For networks trained from scratch, where rows that no text uses cost time and give nothing. Pad, EOS and
        unknown stay.
        """
        kept = np.union1d(np.asarray(used, dtype=np.int64), np.array([PAD, EOS, UNK]))
        if kept[0] < 0 or kept[-1] >= len(self.vocabulary):
            raise ValueError("ids outside the vocabulary")
        if self._kept is not None:
            kept = self._kept[kept]
        note = f"{self.note}; " if self.note else ""
        return Tokenizer(self.model, self.where, f"{note}only the {len(kept):,} pieces that occur", kept)

    def trimmed(self) -> Tokenizer:
        """The same with rows for its pieces alone: none for sentinels, none that only fill a checkpoint."""
        return Tokenizer(self.model, self.where, self.note, np.arange(len(self.model_pieces)))

    def own_ids(self, model_ids: IntArray) -> IntArray:
        """Ids of the model as ids of this tokenizer: unknown where the piece is not kept."""
        return model_ids if self._kept is None else self._from_model[model_ids]

    @cached_property
    def _from_model(self) -> IntArray:
        table = np.full(len(self.model_pieces), UNK, dtype=np.int32)
        if self._kept is not None:
            table[self._kept] = np.arange(len(self._kept), dtype=np.int32)
        return table

    @cached_property
    def underscore(self) -> int:
        """The id of the piece "_"."""
        return self.vocabulary.index("_") if "_" in self.vocabulary else -1

    @cached_property
    def digits(self) -> BoolArray:
        """(size,) pieces made of digits alone."""
        flags = np.zeros(self.size, dtype=np.bool_)
        flags[: len(self.vocabulary)] = [piece.isdigit() for piece in self.vocabulary]
        return flags

    def whole_words(self, rows: Ragged) -> Ragged:
        """For each token of encoded texts the index of the id it belongs to: n for the n-th of its text, 0 for none.

        An id is the piece before a "_", the "_" and the digit pieces after it (PUBLISHED.md, 6).
        Raises UserError where a text has more than 511 ids.
        """
        ids, n = rows.values, len(rows.values)
        marks = ids == self.underscore
        begins = rows.offsets[:-1][rows.row_of]
        counts = np.cumsum(marks)
        before = np.concatenate([[0], counts])[begins]
        ordinal = counts - before
        # The nearest token, at or before each, that is not a digit; an id's number hangs on its "_".
        anchor = np.maximum.accumulate(np.where(self.digits[ids], -1, np.arange(n)))
        inside = (anchor >= begins) & marks[anchor] if n else marks
        words = np.where(inside, ordinal, 0).astype(np.int32)
        first = np.flatnonzero(marks & (np.arange(n) > begins))
        words[first - 1] = ordinal[first]
        check_ids(int(ordinal.max(initial=0)))
        return Ragged(words, rows.offsets)

    def save(self, folder: Path) -> None:
        """Write the model and its note where `load_tokenizer` finds them. Pieces left out are not remembered."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _FILES[0]).write_bytes(self.model)
        (folder / _NOTE_FILE).write_text(self.note + "\n", encoding="utf-8")


def check_ids(count: int) -> None:
    """Refuse a text of more ids than the whole-word embedding has rows for."""
    if count >= WHOLE_WORDS:
        what = f"a text holds {count} ids, the whole-word embedding has rows for {WHOLE_WORDS - 1}"
        raise UserError(what, "input text", "give shorter histories or fewer candidates")


def load_tokenizer(
    where: str | Path | None = None,
    data_dir: Path | None = None,
    *,
    repository: str = "t5-small",
    offline: bool = False,
) -> Tokenizer:
    """T5's tokenizer from the first place that has it.

    where:      a folder (or its spiece.model), and nothing else is looked at; or the name of a model on the hub.
    data_dir:   <data_dir>/t5-tokenizer and its neighbour <data_dir>/../t5-tokenizer come next, unless a model is
                named that has another vocabulary;
    repository: then the model named or this one, in the hub's local cache and, unless offline, on the hub.
    Raises UserError that names every place looked at.
    """
    search = Search()
    if where is not None and (isinstance(where, Path) or _is_path(where)):
        path = Path(where)
        found = path if path.is_file() else search.folder(path, _FILES)
        if found is None:
            raise search.error("no tokenizer there", str(where), f"give a folder with {' or '.join(_FILES)}")
        return _read(found)
    if data_dir is not None and _OF_T5.fullmatch(str(where or repository)):
        for folder in (data_dir / "t5-tokenizer", data_dir.parent / "t5-tokenizer"):
            if found := search.folder(folder, _FILES):
                return _read(found)
    if found := search.hub(str(where or repository), _FILES, offline):
        return _read(found)
    fix = "pass the folder of T5's spiece.model, or put it at <data-dir>/t5-tokenizer, or train one on the data set"
    raise search.error("no T5 tokenizer found", "tokenizer", fix)


def _is_path(where: str) -> bool:
    """Whether a name means a folder or file rather than a model on the hub."""
    return Path(where).exists() or not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", where)


def _read(path: Path) -> Tokenizer:
    try:
        model = read_json(path) if path.suffix == ".json" else path.read_bytes()
        note_file = path.with_name(_NOTE_FILE)
        note = note_file.read_text(encoding="utf-8").strip() if note_file.is_file() else None
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", str(path), "check the file's permissions") from error
    # A note is written by `save` alone: such a tokenizer belongs to no checkpoint.
    return Tokenizer(model, str(path)) if note is None else Tokenizer(model, str(path), note).trimmed()
