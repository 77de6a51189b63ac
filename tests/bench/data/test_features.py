"""Candidates, mining and choice: rules one by one on small corpora whose answer is known, then the real reviews."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data.catalog import load_reviews
from bench.data.features import MAX_WORDS, MIN_WORDS, Miner, Vocabulary, candidates_of, tidy


def texts_of(review):
    return [candidate.text for candidate in candidates_of(review)]


def mined(*reviews):
    miner = Miner()
    for review in reviews:
        miner.add(candidates_of(review))
    return miner.vocabulary()


def chosen(review, features=("tone", "case", "price", "strap", "build quality"), opinions="warm great cheap love nice"):
    return Vocabulary(dict.fromkeys(features, 9), frozenset(opinions.split())).choose(candidates_of(review))


@pytest.mark.parametrize(
    ("sentence", "line"),
    [
        ("The tone is warm.", "The tone is warm"),
        ("and, but also the tone is warm!!!", "the tone is warm"),
        ("- * The tone", "The tone"),
        ("2) The tone", "The tone"),
        ("3. The tone", "The tone"),
        ("Pros: The tone", "The tone"),
        ("so the tone", "the tone"),
        ("so far the tone", "so far the tone"),
        ("tone , case ,price;good", "tone, case, price; good"),
        ("(the tone", "the tone"),
        ('the "tone', "the tone"),
        ('the "old" (warm) tone', 'the "old" (warm) tone'),
        ("costs $20, 10% off", "costs $20, 10% off"),
        ("1,000 songs", "1,000 songs"),
        ("...", ""),
    ],
)
def test_lines_are_tidied(sentence, line):
    assert tidy(sentence) == line


def test_a_candidate_says_what_it_found():
    first, second = candidates_of("Hello there. The Tone is very warm. It came. A great case!")
    assert (first.text, first.words, first.place, first.weak) == ("the tone is very warm", 5, 1, False)
    assert first.graded == ("warm",) and [pair.feature for pair in first.pairs] == ["tone"]
    assert (second.text, second.place) == ("a great case", 3)


@pytest.mark.parametrize(
    "review",
    [
        "",
        "Great!",
        "Great tone",  # two words
        "Is the tone warm? Is it a great case?",
        "the tone is great " + "and so is everything else about it " * 5,  # too long
        "Der Klang ist great und die Verarbeitung sehr gut, dazu das Gehäuse",
        "Excelente pedal, es un boost sin saturacion great para las partes",
    ],
)
def test_what_cannot_explain(review):
    assert candidates_of(review) == ()


@pytest.mark.parametrize(
    ("sentence", "weak"),
    [
        ("The tone is warm", False),
        ("I love the tone", False),
        ("I bought it because the tone is warm", True),
        ("If the tone is warm, fine", True),
        ("I wish the tone were warm", True),
        ("My son says the tone is warm", True),
        ("The tone could be warm", True),
    ],
)
def test_stories_and_wishes_are_weak(sentence, weak):
    (candidate,) = candidates_of(sentence)
    assert candidate.weak is weak


def test_a_feature_is_judged_often_variously_and_as_a_subject():
    opinions = ("warm", "great", "awful")
    often = [f"The tone is {word} indeed." for word in opinions] * 2
    rare = [f"The case is {word} indeed." for word in opinions]
    dull = ["The strap is great indeed."] * 6
    never_subject = [f"It has a {word} duty." for word in opinions] * 2
    vocabulary = mined(*often, *rare, *dull, *never_subject)
    assert vocabulary.features == {"tone": 6}
    assert {"great", "awful"} <= vocabulary.opinions


def test_many_mentions_in_one_review_count_once():
    assert (
        mined("The tone is great. The tone is awful. The tone is nice. The tone is bad. The tone is good.").features
        == {}
    )


def test_names_are_no_features():
    review = "Yes the {} is {{}} indeed.".format
    names = [review("Behringer").format(word) for word in ("great", "awful", "nice")] * 3
    assert mined(*names).features == {}
    assert mined(*(name.lower() for name in names)).features == {"behringer": 9}


def test_adjectives_that_people_grade_become_opinions():
    plain = ["The lid is floopy indeed."] * 6
    graded = ["The lid is very floopy indeed."] * 3
    assert "floopy" not in mined(*plain).opinions
    vocabulary = mined(*(line.replace("floopy", "glossy") for line in plain + graded))
    assert "glossy" in vocabulary.opinions


@pytest.mark.parametrize(
    ("review", "text", "feature"),
    [
        ("I love the case. The tone is warm.", "the tone is warm", "tone"),  # the subject goes first
        ("The tone is warm. The case is great.", "the tone is warm", "tone"),  # then the earlier
        ("A great case. The lid is great.", "a great case", "case"),  # a lid is no feature here
        ("I was told the tone is warm. A nice strap.", "a nice strap", "strap"),  # plain before weak
        ("My tone is warm. It is a nice strap.", "it is a nice strap", "strap"),
        (
            "The tone is warm as I said when we talked on that long day about all of this. It has a great price.",
            "it has a great price",
            "price",
        ),  # short before long
        ("The build quality is great.", "the build quality is great", "build quality"),
        ("The leather strap is great.", "the leather strap is great", "strap"),
        ("I was told the tone is warm.", "i was told the tone is warm", "tone"),  # weak, but better than nothing
    ],
)
def test_the_stated_order_of_choice(review, text, feature):
    assert chosen(review) == (text, feature)


@pytest.mark.parametrize(
    "review", ["", "The lid is great.", "The tone is wooden.", "I was told of a great case.", "My great case is here."]
)
def test_nothing_is_chosen_without_a_plain_judgement(review):
    assert chosen(review) is None


VOCABULARY = "the tone is warm . great case ! i love it and my price ? bad if"
reviews = st.lists(st.sampled_from(VOCABULARY.split()), max_size=40).map(" ".join)


@given(reviews)
def test_candidates_obey_their_bounds(review):
    for candidate in candidates_of(review):
        assert MIN_WORDS <= candidate.words <= MAX_WORDS and candidate.text == candidate.text.lower()
        assert candidate.pairs and candidate.text in " ".join(review.lower().replace(" .", ".").split()).replace(
            " .", "."
        )


@given(st.lists(reviews, max_size=8), st.randoms())
def test_the_order_of_reviews_does_not_matter(rows, random):
    shuffled = rows.copy()
    random.shuffle(shuffled)
    first, second = mined(*rows), mined(*shuffled)
    assert first == second


@pytest.fixture(scope="module")
def real(shared):
    """The candidates of each review of the real file, and what they say of features and opinions."""
    candidates = [candidates_of(review.text) for review in load_reviews("musical", shared / "data")]
    miner = Miner()
    for found in candidates:
        miner.add(found)
    return candidates, miner.vocabulary()


def test_real_reviews_give_features_that_people_would_name(real):
    candidates, vocabulary = real
    features = set(vocabulary.features)
    assert {"sound", "price", "quality", "strings", "tone", "strap", "cable", "build quality"} <= features
    assert {"sturdy", "durable", "affordable", "easy"} <= vocabulary.opinions
    assert not {"day", "thing", "amazon", "fender", "behringer", "son", "product"} & features
    picked = [choice for found in candidates if (choice := vocabulary.choose(found))]
    assert 0.45 < len(picked) / len(candidates) < 0.7
    assert all(re.search(rf"(?<!\w){re.escape(choice.feature)}(?!\w)", choice.text) for choice in picked)
    common = Counter(choice.feature for choice in picked)
    assert common.most_common(1)[0][1] < 0.1 * len(picked)
    lengths = sorted(len(choice.text.split()) for choice in picked)
    assert lengths[len(lengths) // 2] <= 15


def test_most_judging_words_are_opinions_for_the_field_as_well(real, shared):
    folder = shared / "opinion-lexicon"
    field = {
        line.strip()
        for name in ("pos.eng.res", "neg.eng.res")
        for line in (folder / name).read_text("latin-1").splitlines()
    }
    candidates, vocabulary = real
    judging = Counter(pair.opinion for found in candidates for candidate in found for pair in candidate.pairs)
    uses = sum(judging[word] for word in vocabulary.opinions)
    shared_uses = sum(judging[word] for word in vocabulary.opinions & field)
    assert shared_uses / uses > 0.75
    assert shared_uses / sum(judging[word] for word in field) > 0.9
