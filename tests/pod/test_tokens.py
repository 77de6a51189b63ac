"""Tokenizer: golden ids and texts, whole-word indices by the rule spelt out, where files are found, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st
from toy import SPECIALS, toy_pieces, words_by_rule

from bench.errors import UserError
from bench.ragged import Ragged
from pod.spiece import EOS, UNK, charsmap_of, model_bytes
from pod.tokens import Tokenizer, load_tokenizer

GOLDEN = [
    (file, task)
    for file in ("cases", "cases_sharp")
    for task in ("sequential", "topn", "explanation", "explanation_discrete_prompt")
]
FORMS = ("spiece.model", "tokenizer.json")


@pytest.fixture(scope="module", params=FORMS)
def either(request, shared: Path) -> Tokenizer:
    return load_tokenizer(shared / "t5-tokenizer" / request.param)


@pytest.mark.parametrize(("file", "task"), GOLDEN)
def test_golden_ids_words_and_texts(either: Tokenizer, shared: Path, file: str, task: str):
    case = json.loads((shared / "golden" / f"{file}.json").read_text())[task]
    ids = either.encode(case["inputs"])
    words = either.whole_words(ids)
    width = len(case["input_ids"][0])
    for row in range(len(ids)):
        padding = [0] * (width - len(ids[row]))
        assert [*ids[row], *padding] == case["input_ids"][row]
        assert [*words[row], *padding] == case["whole_word_ids"][row]
    targets = either.encode(case["targets"])
    width = len(case["target_ids"][0])
    for row, wanted in enumerate(case["target_ids"]):
        cut = targets[row][:20].tolist()
        assert cut + [0] * (width - len(cut)) == wanted
    for rows, texts in zip(case["beam_ids"], case["beams"], strict=True):
        assert either.decode(np.array(row) for row in rows) == texts


def test_both_forms_of_t5s_tokenizer_are_one(shared: Path):
    first, second = (load_tokenizer(shared / "t5-tokenizer" / form) for form in FORMS)
    assert first.fingerprint == second.fingerprint
    assert (first.note, second.note, first.size) == ("", "", 32128)
    assert first.vocabulary == second.vocabulary
    assert charsmap_of(first.model) == charsmap_of(second.model) != b""


def test_decoding_equals_transformers(shared: Path, t5: Tokenizer):
    transformers = pytest.importorskip("transformers")
    other = transformers.AutoTokenizer.from_pretrained(str(shared / "t5-tokenizer"))
    rng = np.random.default_rng(5)
    rows = [rng.integers(3, 32000, rng.integers(1, 25)) for _ in range(200)]
    rows += [np.array([0, *row, 1, 0, 0]) for row in rows[:50]] + [np.array([0, 32050, 5, 32000, 2, 9, 1])]
    wanted = [other.decode(row.tolist(), skip_special_tokens=True, clean_up_tokenization_spaces=False) for row in rows]
    assert [_tight(text) for text in t5.decode(rows)] == [_tight(text) for text in wanted]


def _tight(text: str) -> str:
    return text.replace(" ", "")


def test_cleaning_takes_the_spaces_english_has_not(t5: Tokenizer):
    # The pieces are "▁," and so on, as a model may well generate them.
    pieces = ["▁it", "▁", "'", "s", "▁fine", "▁", ",", "▁is", "▁", "n", "'", "t", "▁it", "▁", "?"]
    row = np.array([t5.vocabulary.index(piece) for piece in pieces])
    assert t5.decode([row]) == ["it's fine, isn't it?"]


def test_rows_that_only_fill_a_checkpoint_are_no_sentinels(t5: Tokenizer):
    four = t5.vocabulary.index("4")
    assert t5.decode([np.array([four, 32099, 32000, 1])]) == ["4"]
    assert t5.decode([np.array([four, 32100, 1])]) == ["4<extra_id_-1>"]


def test_cut_keeps_short_texts_and_shortens_long_ones(t5: Tokenizer):
    texts = ["short  and odd ,", "one two three four five six seven eight", ""]
    cut = t5.cut(texts, 5)
    assert cut == ["short  and odd ,", "one two three four five", ""]
    assert all(len(t5.encode([text], eos=False).values) <= 5 for text in cut)


def test_encode_equals_the_library_row_by_row(t5: Tokenizer, shared: Path):
    plain = sentencepiece.SentencePieceProcessor(model_file=str(shared / "t5-tokenizer" / "spiece.model"))
    texts = ["", "Hello  world", "user_12 item_8888", "naïve ½ ﬁne \u3000 日本", "a\tb\nc", "item_4603"]
    assert [row.tolist() for row in map(t5.encode(texts).__getitem__, range(len(texts)))] == [
        [*plain.encode(text), EOS] for text in texts
    ]
    assert t5.pieces("user_485") == ["▁user", "_", *plain.encode("user_485", out_type=str)[2:]]
    assert len(t5.encode([])) == 0


SPOKEN = ["▁user", "▁item", "_", "1", "22", "485", "333", ",", "▁what", "a"]


@given(st.lists(st.lists(st.sampled_from(SPOKEN), max_size=14), max_size=5))
def test_whole_words_follow_the_rule(toy: Tokenizer, rows: list[list[str]]):
    pieces = [[piece for piece in row if piece in toy.vocabulary] for row in rows]
    ids = Ragged.from_rows([[*map(toy.vocabulary.index, row), *([EOS] if len(row) % 2 else [])] for row in pieces])
    found = toy.whole_words(ids)
    for row, listed in enumerate(pieces):
        wanted = words_by_rule(listed) + [0] * (len(listed) % 2)
        # The very first piece has nothing before it: a "_" there marks itself only.
        assert found[row].tolist() == wanted


def test_more_ids_than_the_embedding_has_rows(t5: Tokenizer):
    assert t5.whole_words(t5.encode([" ".join(["item_5"] * 511)])).values.max() == 511
    with pytest.raises(UserError, match=r"512 ids.*511"):
        t5.whole_words(t5.encode([" ".join(["item_5"] * 512)]))


@given(st.lists(st.text("user_item 0123456789,?", max_size=30), max_size=8), st.randoms(use_true_random=False))
def test_compacted_is_the_same_but_for_pieces_left_out(toy: Tokenizer, texts: list[str], random):
    whole = toy.encode(texts)
    used = np.array(sorted({value for value in whole.values.tolist() if random.random() < 0.8}), dtype=np.int64)
    small = toy.compacted(used)
    kept = set(used.tolist()) | {0, 1, 2}
    assert small.size == len(small.vocabulary) == len(kept)
    rows = small.encode(texts)
    assert np.array_equal(rows.offsets, whole.offsets)
    for new, old in zip(rows.values.tolist(), whole.values.tolist(), strict=True):
        assert small.vocabulary[new] == (toy.vocabulary[old] if old in kept else "<unk>")
    assert small.fingerprint != toy.fingerprint
    assert "pieces that occur" in small.note


def test_compacted_with_all_in_use_reads_and_writes_the_same(t5: Tokenizer):
    texts = ["user_12 item_8888 item_4603", "what a fine guitar, isn't it?"]
    small = t5.compacted(t5.encode(texts).values)
    assert small.size < 40
    assert small.decode(map(small.encode(texts).__getitem__, range(2))) == texts
    words, wanted = small.whole_words(small.encode(texts)), t5.whole_words(t5.encode(texts))
    assert np.array_equal(words.values, wanted.values)
    again = small.compacted(small.encode(texts[1:]).values)
    assert again.pieces(texts[1]) == t5.pieces(texts[1])
    assert UNK in again.encode(texts[:1]).values
    with pytest.raises(ValueError, match="outside"):
        small.compacted(np.array([99999]))


def test_no_piece_for_the_underscore_or_a_digit():
    for left_out in ("_", "7"):
        model = model_bytes([piece for piece in toy_pieces() if piece[0] != left_out], b"")
        with pytest.raises(UserError, match=f"odd: the tokenizer has no piece for '{left_out}'"):
            Tokenizer(model, "odd")


def test_other_special_ids_and_other_bytes_are_refused():
    with pytest.raises(UserError, match="not a SentencePiece model"):
        Tokenizer(b"nonsense", "file")
    shuffled = model_bytes([SPECIALS[0], SPECIALS[2], SPECIALS[1], *toy_pieces()[3:]], b"")
    with pytest.raises(UserError):
        Tokenizer(shuffled.replace(b"</s>", b"<ss>"), "file")


def test_places_are_tried_in_order(tmp_path: Path, toy: Tokenizer):
    data = tmp_path / "data"
    with pytest.raises(UserError) as caught:
        load_tokenizer(None, data, offline=True)
    message = str(caught.value)
    for part in (data / "t5-tokenizer", tmp_path / "t5-tokenizer", "t5-small", "offline", "pass the folder"):
        assert str(part) in message
    toy.save(tmp_path / "t5-tokenizer")
    found = load_tokenizer(None, data, offline=True)
    assert found.vocabulary == toy.vocabulary
    assert found.size == len(toy.vocabulary) < toy.size
    assert load_tokenizer("google/flan-t5-base", data, offline=True).fingerprint == found.fingerprint
    with pytest.raises(UserError, match="google/mt5-small"):
        load_tokenizer("google/mt5-small", data, offline=True)
    toy.compacted(np.arange(5)).save(data / "t5-tokenizer")
    found = load_tokenizer(None, data, offline=True)
    assert "pieces that occur" in found.note
    assert load_tokenizer(tmp_path / "t5-tokenizer").note == toy.note == "a tokenizer of 141 pieces, not T5's own"


def test_a_named_folder_is_the_only_place(tmp_path: Path):
    with pytest.raises(UserError, match=r"no tokenizer there.*holds no spiece.model or tokenizer.json"):
        load_tokenizer(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        load_tokenizer(str(tmp_path / "elsewhere"))


def test_the_hub_comes_last_and_only_online(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, toy: Tokenizer):
    (tmp_path / "spiece.model").write_bytes(toy.model)
    asked = []

    def download(repository: str, name: str, local: bool) -> Path | str:
        asked.append((repository, name, local))
        return tmp_path / name if not local and name == "spiece.model" else "not there"

    monkeypatch.setattr("pod.hub._download", download)
    assert load_tokenizer("google/flan-t5-small").fingerprint == toy.fingerprint
    assert asked[0] == ("google/flan-t5-small", "spiece.model", True)
    assert asked[-1] == ("google/flan-t5-small", "spiece.model", False)
    asked.clear()
    with pytest.raises(UserError, match="not asked: offline"):
        load_tokenizer(None, tmp_path / "data" / "x", offline=True)
    assert all(local for _, _, local in asked)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"{", "not a readable tokenizer"),
        (b'{"model": {"type": "BPE", "vocab": {}}}', "a BPE vocabulary"),
        (b'{"model": {"vocab": [["a", 0.0]]}}', "first pieces"),
        (b'{"model": {"vocab": "text"}}', "not a readable tokenizer"),
        (b"[]", "not a readable tokenizer"),
    ],
)
def test_damaged_json(tmp_path: Path, content: bytes, what: str):
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(UserError, match=what):
        load_tokenizer(tmp_path)
