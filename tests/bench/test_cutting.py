"""Cutting sentences: by T5's tokens against its own library, by words by hand, and which of the two is taken."""

from __future__ import annotations

import sys

import pytest

from bench.cutting import LIMIT, WORDS, Cutter, cut_words, find_cutter

SENTENCES = [
    "the tone is warm",
    "",
    " ".join(f"word{n}" for n in range(40)),
    "an unbelievably idiosyncratic, counterintuitive and disproportionately overcomplicated pedalboard arrangement",
    "naïve 'quotes' and 1,000.50 dollars — 数学 … !!!",
]


def test_tokens_are_those_of_t5(shared):
    from transformers import T5TokenizerFast

    cutter = find_cutter(shared / "data", offline=True)
    assert cutter.name == "20 tokens of T5"
    theirs = T5TokenizerFast.from_pretrained(shared / "t5-tokenizer")
    for text, short in zip(SENTENCES, cutter.cut(SENTENCES), strict=True):
        ids = theirs(text, add_special_tokens=False)["input_ids"]
        assert short == text if len(ids) <= LIMIT else short != text
        kept = theirs(short, add_special_tokens=False)["input_ids"]
        unknown = theirs.unk_token_id in ids  # which decoding leaves out
        assert len(kept) <= LIMIT and (len(ids) <= LIMIT or unknown or kept == ids[:LIMIT])


def test_words_by_hand():
    long, short = (" ".join(map(str, range(n))) for n in (25, 20))
    assert cut_words(["a  b", long, "", f" {long} "]) == ["a  b", short, "", short]
    assert cut_words(["a b c"], 2) == ["a b"]
    exactly = " ".join("x" * 20)
    assert cut_words([exactly]) == [exactly]


@pytest.mark.parametrize("tokenizer", ["no.such.module:load", "fake_tokenizer:refuse"])
def test_words_where_there_is_no_tokenizer(tmp_path, monkeypatch, tokenizer):
    (tmp_path / "fake_tokenizer.py").write_text(
        "from bench.errors import UserError\n\ndef refuse(data_dir, offline):\n    raise UserError('not here')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    cutter = find_cutter(offline=True, tokenizer=tokenizer)
    assert cutter == Cutter(WORDS, cut_words) and "20 words" in cutter.name


def test_another_tokenizer_is_named_and_told_where_to_look(tmp_path, monkeypatch):
    (tmp_path / "other_tokenizer.py").write_text(
        "class Found:\n"
        "    note = 'a tokenizer of 9 pieces, not T5\\'s own'\n"
        "    def cut(self, texts, limit):\n"
        "        return [text[:limit] for text in texts]\n"
        "asked = []\n"
        "def load(data_dir, offline):\n"
        "    asked.append((data_dir, offline))\n"
        "    return Found()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    cutter = find_cutter(tmp_path, offline=True, tokenizer="other_tokenizer:load")
    assert cutter.name == "20 tokens of a tokenizer of 9 pieces, not T5's own"
    assert cutter.cut(["x" * 30]) == ["x" * 20]
    assert sys.modules["other_tokenizer"].asked == [(tmp_path, True)]
