"""The tokenizer trained on a data set's own texts: T5's habits, the same every time, texts come back."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import UserError
from bench.ragged import Ragged
from pod.render import Renderer
from pod.scratch_tokenizer import train_tokenizer
from pod.templates import SLOTS, load_templates
from pod.tokens import Tokenizer, load_tokenizer

WORDS = """the guitar sounds great and stays in tune for years, what a fine string! price quality it's easy
to play""".split()  # noqa: SIM905


def sentences(n: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(4, 12))) for _ in range(n)]


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [*sentences(400), *(f"user_{number} item_{number}" for number in range(1, 3001)), "in 2013 for $100"]


@pytest.fixture(scope="module")
def trained(texts: list[str]) -> Tokenizer:
    return train_tokenizer(texts, size=300, seed=1)


@given(st.sampled_from(["user", "item"]), st.integers(0, 10**7))
def test_ids_have_t5s_form(trained: Tokenizer, kind: str, number: int):
    pieces = trained.pieces(f"{kind}_{number}")
    assert pieces[:2] == [f"▁{kind}", "_"]
    assert all(re.fullmatch(r"[0-9]{1,2}", piece) for piece in pieces[2:])
    assert "".join(pieces[2:]) == str(number)
    assert len(pieces) - 2 == -(-len(str(number)) // 2)
    alone = trained.pieces(str(number))
    assert re.fullmatch(r"▁[0-9]{1,2}", alone[0])
    assert len(alone) == -(-len(str(number)) // 2)


def test_the_same_texts_and_seed_give_the_same_tokenizer(texts: list[str], trained: Tokenizer):
    again, other = train_tokenizer(iter(texts), size=300, seed=1), train_tokenizer(texts, size=300, seed=2)
    assert again.model == trained.model
    assert again.fingerprint == trained.fingerprint
    assert other.fingerprint != trained.fingerprint
    assert trained.note.endswith("trained on this data set's own texts, not T5's own")


def test_sentences_come_back_and_common_words_are_one_piece(trained: Tokenizer):
    written = sentences(50, seed=9)
    rows = trained.encode(written)
    assert trained.decode(rows[row] for row in range(len(rows))) == written
    assert trained.pieces("the guitar") == ["▁the", "▁guitar"]
    assert trained.size == len(trained.vocabulary)
    assert rows.values.max() < trained.size


@given(st.text([chr(code) for code in range(33, 127)], min_size=1, max_size=12))
def test_every_printable_letter_is_known(trained: Tokenizer, text: str):
    assert "<unk>" not in trained.pieces(text)


@pytest.mark.parametrize("item_tokens", ["sentencepiece", "independent"])
def test_inputs_are_cut_alike_everywhere_and_none_is_tokenised_whole(
    trained: Tokenizer, item_tokens, monkeypatch: pytest.MonkeyPatch
):
    renderer = Renderer(trained, np.arange(1, 3001), np.arange(1, 3001), item_tokens)
    templates, rng = load_templates(), np.random.default_rng(4)
    for task in SLOTS:
        choices, choice = templates.of(task), rng.integers(0, len(templates.of(task)), 150)
        width = 1 if task == "explanation" else 90
        items = Ragged(rng.integers(0, 3000, 150 * width).astype(np.int32), np.arange(0, 150 * width + 1, width))
        users = rng.integers(0, 3000, 150)
        wanted = renderer.encode(renderer.texts(choices, users, items, choice))
        with monkeypatch.context() as patched:
            patched.setattr(renderer, "encode", None)
            found = renderer.inputs(choices, users, items, choice)
        assert np.array_equal(found.ids.values, wanted.ids.values)
        assert np.array_equal(found.words.values, wanted.words.values)
    rows = renderer.item_targets.padded(8, fill=0)
    assert renderer.parse_items(rows).tolist() == list(range(3000))


def test_it_is_saved_and_found_with_its_note(trained: Tokenizer, tmp_path):
    trained.save(tmp_path / "t5-tokenizer")
    found = load_tokenizer(None, tmp_path, offline=True)
    assert (found.note, found.size, found.fingerprint) == (trained.note, trained.size, trained.fingerprint)


def test_very_many_texts_are_sampled_and_few_letters_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pod.scratch_tokenizer._MOST_LETTERS", 2000)
    found = train_tokenizer(sentences(3000), size=200)
    assert "▁the" in found.vocabulary
    assert train_tokenizer(["a"]).pieces("item_12 a") == ["▁item", "_", "12", "▁", "a"]


@pytest.mark.parametrize("texts", [[], ["", " "], ["12_3", "4"]])
def test_no_words_at_all(texts: list[str]):
    with pytest.raises(UserError, match="texts of the data set: no words"):
        train_tokenizer(texts)


def test_a_size_too_small_for_the_letters():
    with pytest.raises(UserError, match="no tokenizer can be trained"):
        train_tokenizer(sentences(50), size=5)
