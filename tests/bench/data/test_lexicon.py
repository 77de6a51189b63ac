"""The packaged lexicons: that they hold what patterns need, and agree with the field's opinion lexicon."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench.data import lexicon
from bench.data.lexicon import guess_class, opinion_words, word_classes
from bench.data.stop_words import words_of
from bench.errors import UserError


@pytest.mark.parametrize(
    ("words", "letter"),
    [
        ("price quality strings tone cable", "N"),
        ("sturdy great cheap durable affordable clear", "J"),
        ("the my its this a no", "D"),
        ("is are was isn't sound looks", "B"),
        ("very really not too well", "R"),
        ("i it they", "P"),
        ("can would to don't", "M"),
        ("of in with for", "I"),
        ("and but or", "C"),
        ("made built bought", "E"),
        ("go hear arrive", "V"),
        ("that which", "W"),
    ],
)
def test_common_words_have_their_class(words, letter):
    assert {word: word_classes()[word] for word in words.split()} == dict.fromkeys(words.split(), letter)


@pytest.mark.parametrize(
    ("word", "letter"),
    [
        ("humbuckers", "N"),
        ("twangily", "R"),
        ("earbudding", "G"),
        ("velcroed", "E"),
        ("washable", "J"),
        ("boutique-style", "J"),
        ("42", "#"),
        ("fender's", "D"),
        ("ain'tcha", "X"),
        ("bed", "N"),
    ],
)
def test_unknown_words_are_guessed_by_their_ending(word, letter):
    assert guess_class(word) == letter


def test_opinions_are_many_lower_case_words_that_judge():
    words = opinion_words()
    assert 5000 < len(words) < 9000 and all(word == word.lower() for word in words)
    assert {"great", "terrible", "cheap", "love", "hate", "easy", "beautiful", "well"} <= words
    assert not {"the", "guitar", "plastic", "wooden"} & words


def test_most_packaged_opinions_are_opinions_for_the_field_as_well(shared):
    folder = shared / "opinion-lexicon"
    field = {
        line.strip()
        for name in ("pos.eng.res", "neg.eng.res")
        for line in (folder / name).read_text("latin-1").splitlines()
    }
    classes = word_classes()
    ours = {word for word in opinion_words() if classes.get(word) == "J"}
    theirs = {word for word in field if classes.get(word) == "J"}
    assert len(ours & theirs) / len(ours) > 0.6
    assert len(ours & theirs) / len(theirs) > 0.4  # the rest is learnt from how people grade adjectives


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(lexicon, "find_spec", lambda name: None)
    word_classes.cache_clear()
    try:
        with pytest.raises(UserError, match=r"need the package textblob; pip install textblob"):
            word_classes()
    finally:
        word_classes.cache_clear()


def test_neither_package_is_imported():
    code = (
        "import sys; from bench.data.lexicon import *; word_classes(); opinion_words();"
        "print([m for m in sys.modules if m.startswith(('textblob', 'vader', 'nltk'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_list_is_its_words():
    assert words_of(" a b\n  c a ") == {"a", "b", "c"}
