"""Splitting reviews: what real ones hold, sentences put together by machine, and laws that hold for any text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data.catalog import load_reviews
from bench.data.sentences import clean_text, split_sentences


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("It works. I like it.", ["It works.", "I like it."]),
        ("is quite affordable.I did not know", ["is quite affordable.", "I did not know"]),
        ("nice.it is", ["nice.", "it is"]),
        ("Great!!!Buy it", ["Great!!!", "Buy it"]),
        ("Really?! Yes", ["Really?!", "Yes"]),
        ("so... it broke", ["so...", "it broke"]),
        ("wait…what", ["wait...", "what"]),
        ("first line\nsecond line\r\n\r\nthird", ["first line", "second line", "third"]),
        ('He said "great." Then left.', ['He said "great."', "Then left."]),
        ("(It broke.) Sad.", ["(It broke.)", "Sad."]),
        ("Pros.1) Cheap.2) Light", ["Pros.", "1) Cheap.", "2) Light"]),
        ("Good price.* Light", ["Good price.", "* Light"]),
        ("It didn't. I would not.", ["It didn't.", "I would not."]),
    ],
)
def test_where_sentences_end(text, sentences):
    assert split_sentences(text) == sentences


@pytest.mark.parametrize(
    "text",
    [
        "Straps, e.g. leather ones, are fine",
        "Made in the U.S. by hand",
        "Mr. Smith and Dr. Jones vs. the rest",
        "It is 3.5 mm wide and weighs 1.25 oz. or so",
        "costs $9.99 at most",
        "use version 2.0 of it",
        "a 1/4 in. plug, approx. that",
    ],
)
def test_stops_that_end_nothing(text):
    assert split_sentences(text) == [text]


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Tom &amp; Jerry &#34;fun&#34;", 'Tom & Jerry "fun"'),
        ("5&amp;#34; tall", '5" tall'),
        ("see http://a.com/b?c=1, or www.x.org/y. Fine", "see or Fine"),
        ("buy at amazon.com today", "buy at today"),
        ("mail me@there.com now", "mail now"),
        ("one<br />two<br>three", "one\ntwo\nthree"),
        ("<b>bold</b> a < b and <3 it", "bold a < b and it"),
        ("[[VIDEOID:abc]]Look [[ASIN:B00 this one]]", "Look"),
        ("don’t “quote” – me", 'don\'t "quote" - me'),
        ("love it 😀👍 :) ;-) :D", "love it"),
        ("cafe\u0301 na\u00efve", "café naïve"),
        ("tab\tand\x00null\u200b", "tab and null"),
        ("(see: 3) and 12:30", "(see: 3) and 12:30"),
    ],
)
def test_what_is_cleaned(text, clean):
    assert clean_text(text) == clean


@pytest.mark.parametrize("text", ["", " \n\t ", "http://only.com", "😀", ":)"])
def test_nothing_to_say(text):
    assert split_sentences(text) == []


WORDS = "the tone of this pedal is quite warm clear price has good build"
words = st.sampled_from(WORDS.split())
plain = st.lists(words, min_size=2, max_size=8).map(lambda row: " ".join(row).capitalize())
ends = st.sampled_from([". ", "! ", "!! ", "... ", ".\n", "?", "!"])


@given(st.lists(st.tuples(plain, ends), max_size=6))
def test_sentences_put_together_come_apart(parts):
    found = split_sentences("".join(sentence + end for sentence, end in parts))
    assert [line.rstrip(".!?") for line in found] == [sentence for sentence, _ in parts]


@given(st.text(max_size=300))
def test_any_text_is_survived_and_nothing_is_made_up(text):
    sentences = split_sentences(text)
    assert all(line == line.strip() and line and "\n" not in line for line in sentences)
    clean = clean_text(text)
    assert re.sub(r"\s", "", "".join(sentences)) == re.sub(r"\s", "", clean)


@given(st.text(alphabet=st.sampled_from("ab.!?&;<>/\"' :)(\n3,-"), max_size=60))
def test_marks_alone_do_no_harm(text):
    assert "".join("".join(split_sentences(text)).split()) == "".join(clean_text(text).split())


def test_real_reviews_give_sentences_of_a_sensible_length(shared):
    lengths = [
        len(line.split())
        for review in load_reviews("musical", shared / "data")
        if review.line % 10 == 0
        for line in split_sentences(review.text)
    ]
    assert len(lengths) > 4000 and sorted(lengths)[len(lengths) // 2] in range(10, 18)
    assert sum(length > 60 for length in lengths) < 0.01 * len(lengths)
