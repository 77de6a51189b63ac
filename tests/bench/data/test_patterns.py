"""Judgements found in sentences written for each pattern, and not in those that only look like one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data.patterns import Pair, classes_of, pairs_of, tokens_of
from bench.data.stop_words import NO_FEATURE, NO_OPINION


def found(sentence):
    return {(pair.feature, pair.opinion, pair.kind) for pair in pairs_of(tokens_of(sentence))}


@pytest.mark.parametrize(
    ("sentence", "pair"),
    [
        ("the tone is warm", ("tone", "warm", "predicate")),
        ("the sound is really not bad", ("sound", "bad", "predicate")),
        ("the plastic feels cheap", ("plastic", "cheap", "predicate")),
        ("the build quality is excellent", ("build quality", "excellent", "predicate")),
        ("the battery of this guitar pedal is awful", ("battery", "awful", "predicate")),
        ("these cables would be great", ("cables", "great", "predicate")),
        ("the case is very well made", ("case", "well", "predicate")),
        ("this strap is comfortable", ("strap", "comfortable", "predicate")),
        ("i find the zipper flimsy", ("zipper", "flimsy", "object")),
        ("it makes the strings bright", ("strings", "bright", "object")),
        ("a warm tone", ("tone", "warm", "judged")),
        ("great sound quality for the money", ("sound quality", "great", "judged")),
        ("a very nice, sturdy stand", ("stand", "nice", "judged")),
        ("a well made case", ("case", "well", "judged")),
        ("i really love the color", ("color", "love", "liking")),
        ("love this tuner", ("tuner", "love", "liking")),
        ("it is easy to install", ("install", "easy", "action")),
        ("it sounds great", ("sounds", "great", "sense")),
        ("they look really nice", ("look", "nice", "sense")),
    ],
)
def test_each_pattern(sentence, pair):
    assert pair in found(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "i bought this for my son",
        "it arrived on monday",
        "the first time",
        "a big box and a black cable",  # which, not how good
        "this is a great product",  # no feature
        "it is hard to beat",
        "i had to look hard to see it",
        "good luck",
        "",
        "!!!",
    ],
)
def test_what_is_no_judgement_of_a_feature(sentence):
    assert found(sentence) == set()


def test_scenes_are_not_judged():
    assert found("it works in a quiet room with small amps") == found("as a good drummer") == set()
    assert found("tuning it straight out of the box sounded horrible") == set()
    assert found("because the tone is warm") == {("tone", "warm", "predicate")}
    assert found("with a good case") == {("case", "good", "judged")}


@pytest.mark.parametrize(
    ("sentence", "mine", "name"),
    [
        ("the tone is warm", False, False),
        ("my old cable is stiff", True, False),
        ("every drummer needs a good stand", False, False),
        ("I like the great Behringer", False, True),
        ("Strings are great", False, False),
    ],
)
def test_whose_it_is_and_whether_it_is_a_name(sentence, mine, name):
    pair, *_ = pairs_of(tokens_of(sentence))
    assert (pair.mine, pair.name) == (mine, name)


def test_the_surest_pattern_comes_first():
    kinds = [pair.kind for pair in pairs_of(tokens_of("i love the warm tone and the price is great"))]
    assert kinds == ["predicate", "judged", "liking"]


def test_a_long_name_keeps_its_last_two_words():
    assert found("the acoustic guitar case lid is nice") == {("case lid", "nice", "predicate")}


@pytest.mark.parametrize(
    ("sentence", "letters"),
    [
        ("it works great", "PVA"),
        ("the cut is clean", "DNBJ"),
        ("a guitar stand", "DNN"),
        ("strings stay bright", "NVJ"),
        ("to play music", "MVN"),
        ("the look of it", "DNIP"),
        ("the sole of the shoe", "DNIDN"),
        ("i like a case like that", "PLDNIW"),
        ("the added weight , 3.5 oz", "DJN,#N"),
    ],
)
def test_neighbours_decide_what_a_word_is(sentence, letters):
    assert classes_of(sentence.split()) == letters


vocabulary = "the my tone cable is was very warm great well made love like , and of to install easy sound it"


@given(st.lists(st.sampled_from(vocabulary.split()), max_size=14))
def test_pairs_are_words_of_the_sentence_and_never_stop_words(tokens):
    line = f" {' '.join(tokens)} "
    assert len(classes_of(tokens)) == len(tokens)
    for pair in pairs_of(tokens):
        assert isinstance(pair, Pair) and f" {pair.feature} " in line and f" {pair.opinion} " in line
        assert pair.opinion not in NO_OPINION
        assert pair.kind == "action" or pair.feature.split()[-1] not in NO_FEATURE


@given(st.text(max_size=120))
def test_any_text_is_survived(text):
    for pair in pairs_of(tokens_of(text)):
        assert pair.feature and pair.opinion
