"""Words and marks against the texts they come from, and numbers against a count by hand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from baselines._explaining.vocabulary import BOS, EOS, FIRST_SAID, PAD, SPECIAL, UNK, Vocabulary, text_of, tokens_of

LETTERS = "ab'\"(),.!?-&;: \n…“”\U0001f3b8é\x1f\u00a0"


@given(st.text(alphabet=LETTERS, max_size=60))
def test_a_text_comes_back_from_its_words_and_marks(text):
    tokens = tokens_of(text)
    assert text_of(tokens) == " ".join(text.split())
    assert all(token and not set(token) & {" ", "\n"} for token in tokens)


@given(st.text(max_size=40))
def test_any_unicode_comes_back(text):
    assert text_of(tokens_of(text)) == " ".join(text.split())


@given(st.lists(st.sampled_from(["a", "\x1f,", "(\x1f", "!?", "b"])))
def test_whatever_a_model_says_holds_no_joiner(tokens):
    said = text_of(tokens)
    assert "\x1f" not in said and said == " ".join(said.split())


def test_marks_are_parted_from_words_and_not_from_inside_them():
    found = tokens_of('it\'s "sturdy, light" (4.5 stars)... e.g. www.a.com & !!')
    bare = [token.replace("\x1f", "") for token in found]
    assert bare == [
        "it's",
        '"',
        "sturdy",
        ",",
        "light",
        '"',
        "(",
        "4.5",
        "stars",
        ")...",
        "e.g",
        ".",
        "www.a.com",
        "&",
        "!!",
    ]
    assert [token for token in found if "\x1f" in token] == ['"\x1f', "\x1f,", '\x1f"', "(\x1f", "\x1f)...", "\x1f."]


def test_marks_that_have_nothing_to_touch_stand_alone():
    assert text_of(["\x1f,", "good"]) == ", good"
    assert text_of(["(\x1f", "\x1f,", "ok"]) == "(, ok"
    assert text_of(["good", "(\x1f"]) == "good ("


def test_the_most_frequent_words_are_kept_the_rest_is_unknown():
    texts = ["b b b a a c", "d, a", "c"]
    vocabulary = Vocabulary.of_texts(texts, len(SPECIAL) + 3)
    # a and b three times each: by the alphabet; c twice; the mark and d once.
    assert vocabulary.words == (*SPECIAL, "a", "b", "c") and len(vocabulary) == 7
    assert vocabulary.encode("c a zebra, b", 9) == [6, 4, UNK, UNK, 5, EOS]
    assert vocabulary.decode([6, 4, EOS, 5]) == "c a" and vocabulary.decode([]) == ""
    assert len(Vocabulary.of_texts(texts, 1000)) == len(SPECIAL) + 5
    assert Vocabulary.of_texts(reversed(texts), 7).words == vocabulary.words, "the order of texts decides nothing"


def test_a_cut_text_has_no_end():
    vocabulary = Vocabulary.of_texts(["a b c d"], 100)
    assert vocabulary.encode("a b c d", 3) == [4, 5, 6]
    assert vocabulary.encode("a b c", 3) == [4, 5, 6, EOS]
    assert vocabulary.encode("", 3) == [EOS]


def test_words_that_read_like_special_ones_are_words():
    vocabulary = Vocabulary.of_texts(["<eos> <pad> <bos> <unk>"], 100)
    numbers = vocabulary.encode("<eos> <pad> <bos> <unk>", 9)
    assert numbers[-1] == EOS and not set(numbers[:-1]) & {PAD, BOS, UNK, EOS}
    assert vocabulary.decode(numbers) == "<eos> <pad> <bos> <unk>"


def test_padding_beginning_and_unknown_lie_below_what_is_said():
    assert {PAD, BOS, UNK} == set(range(FIRST_SAID)) and FIRST_SAID == EOS
