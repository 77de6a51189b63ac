"""Model files: what is written is what SentencePiece and its own message format read, T5's own cuts the same."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import SPECIALS, toy_pieces

from bench.errors import UserError
from pod.spiece import charsmap_of, model_bytes, read_json
from pod.tokens import Tokenizer, load_tokenizer

PIECES = st.dictionaries(
    st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8),
    st.floats(-30, 0, width=32),
    min_size=1,
    max_size=40,
)


def processor(model: bytes) -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_proto=model)


@settings(deadline=None)
@given(PIECES)
def test_pieces_and_scores_are_read_back(pieces: dict[str, float]):
    ordinary = [(text, score) for text, score in pieces.items() if text not in ("<pad>", "</s>", "<unk>")]
    read = processor(model_bytes([*SPECIALS, *ordinary], b""))
    assert read.get_piece_size() == 3 + len(ordinary)
    assert (read.pad_id(), read.eos_id(), read.unk_id(), read.bos_id()) == (0, 1, 2, -1)
    for place, (text, score) in enumerate(ordinary, 3):
        assert read.id_to_piece(place) == text
        assert read.get_score(place) == np.float32(score)
        assert not read.is_control(place)
    assert [read.is_control(place) for place in range(3)] == [True, True, False]
    assert read.is_unknown(2)


@settings(deadline=None, max_examples=30)
@given(PIECES, st.binary(max_size=300))
def test_the_library_s_own_messages_say_the_same(pieces: dict[str, float], rules: bytes):
    messages = pytest.importorskip("sentencepiece.sentencepiece_model_pb2")
    listed = [*SPECIALS, *pieces.items()]
    model = messages.ModelProto()
    model.ParseFromString(model_bytes(listed, rules))
    assert [(each.piece, each.score) for each in model.pieces] == [(text, np.float32(score)) for text, score in listed]
    assert model.trainer_spec.model_type == messages.TrainerSpec.UNIGRAM
    assert model.trainer_spec.vocab_size == len(listed)
    spec = model.trainer_spec
    assert (spec.pad_id, spec.eos_id, spec.unk_id, spec.bos_id) == (0, 1, 2, -1)
    assert model.normalizer_spec.precompiled_charsmap == rules
    assert model.normalizer_spec.add_dummy_prefix
    assert model.normalizer_spec.remove_extra_whitespaces
    assert charsmap_of(model.SerializeToString()) == charsmap_of(model_bytes(listed, rules)) == rules


def test_rules_are_found_in_a_model_that_the_library_trained():
    stream = io.BytesIO()
    texts = ["one fine day", "two fine days", "ﬁne Ⅳ"] * 20
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=stream, vocab_size=30, hard_vocab_limit=False, minloglevel=2
    )
    trained = processor(stream.getvalue())
    rules = charsmap_of(stream.getvalue())
    assert len(rules) > 1000
    count = trained.get_piece_size()
    listed = [(trained.id_to_piece(place), trained.get_score(place)) for place in range(3, count)]
    rewritten = processor(model_bytes([*SPECIALS, *listed], rules))
    for text in ("ﬁne days", "  one   two\tⅣ ", "fines"):
        assert rewritten.encode(text, out_type=str) == trained.encode(text, out_type=str)
    assert charsmap_of(b"") == b""


def test_t5_rewritten_cuts_every_text_alike(t5: Tokenizer):
    listed = [*SPECIALS, *t5.scores.items()]
    again = Tokenizer(model_bytes(listed, charsmap_of(t5.model)), "again")
    rng = np.random.default_rng(6)
    texts = [" ".join(f"item_{number}" for number in rng.integers(0, 20000, 60)) for _ in range(50)]
    texts += ["naïve ½ ﬁne \u3000 日本 …", "item_8888 item_4603", ""]
    assert np.array_equal(again.encode(texts).values, t5.encode(texts).values)
    assert again.fingerprint == t5.fingerprint
    assert again.note == ""


def stored_json(folder: Path, normalizer: dict | None) -> Path:
    vocabulary = [[text, score] for text, score in [*toy_pieces(), ("<extra_id_0>", 0.0)]]
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({"normalizer": normalizer, "model": {"type": "Unigram", "vocab": vocabulary}}))
    return path


def test_rules_alone_in_a_sequence_or_none(tmp_path: Path, t5: Tokenizer):
    rules = charsmap_of(t5.model)
    given_rules = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(rules).decode()}
    sequence = {"type": "Sequence", "normalizers": [{"type": "Strip"}, given_rules]}
    for normalizer, wanted in ((None, b""), (given_rules, rules), (sequence, rules), ({"type": "NFC"}, b"")):
        model = read_json(stored_json(tmp_path, normalizer))
        assert charsmap_of(model) == wanted
        assert processor(model).get_piece_size() == len(toy_pieces())


def test_json_that_is_read_works_as_the_model_file(tmp_path: Path, toy: Tokenizer):
    stored_json(tmp_path, None)
    found = load_tokenizer(tmp_path)
    assert found.fingerprint == toy.fingerprint
    assert found.pieces("user_485") == toy.pieces("user_485")


@pytest.mark.parametrize("damage", ["no base64!", 5])
def test_rules_that_are_none(tmp_path: Path, damage: object):
    path = stored_json(tmp_path, {"type": "Precompiled", "precompiled_charsmap": damage})
    with pytest.raises(UserError, match="not a readable tokenizer"):
        read_json(path)
