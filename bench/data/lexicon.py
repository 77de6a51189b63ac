"""Words and what they are, from data that Python packages ship: nothing is downloaded, nothing is shipped here.

Parts of speech: the lexicon of Brill's tagger (MIT), in the package textblob. Opinion words: its list of subjective
adjectives (PDDL) and the lexicon of VADER (MIT), in the package vaderSentiment.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from bench.data.stop_words import LINKING
from bench.errors import UserError

# One letter a word class, so that patterns over a sentence are regular expressions over a string.
_CLASS = {
    **dict.fromkeys(("NN", "NNS"), "N"),
    **dict.fromkeys(("JJ", "JJR", "JJS"), "J"),
    **dict.fromkeys(("VB", "VBP", "VBZ"), "V"),
    **dict.fromkeys(("VBN", "VBD"), "E"),
    **dict.fromkeys(("RB", "RBR", "RBS"), "R"),
    **dict.fromkeys(("DT", "PRP$", "PDT"), "D"),
    **dict.fromkeys(("PRP", "EX"), "P"),
    **dict.fromkeys(("MD", "TO"), "M"),
    "VBG": "G",
    "IN": "I",
    "CC": "C",
    "CD": "#",
}
_BY_HAND = {
    **dict.fromkeys(LINKING, "B"),
    **dict.fromkeys(("they're", "you're", "i'm", "we're", "he's", "she's"), "B"),
    **dict.fromkeys(("don't", "doesn't", "didn't", "can't", "cannot", "won't", "wouldn't", "couldn't", "i'd"), "M"),
    **dict.fromkeys(("i", "one", "ones", "i've", "they've", "we've", "i'll"), "P"),
    **dict.fromkeys(("not", "n't", "too", "super", "soooo", "sooo"), "R"),
    "and": "C",
    "or": "C",
    "that": "W",
    "which": "W",
    "no": "D",
}
_SUFFIXES = (("ly", "R"), ("ing", "G"), ("ed", "E"), ("able", "J"), ("ible", "J"), ("ful", "J"), ("less", "J"))
_MIN_VALENCE = 0.9
_MIN_POLARITY = 0.1
_WORD_FORM = re.compile(r'<word form="([a-z-]+)"[^>]* pos="JJ"[^>]* polarity="([-0-9.]+)"')


def _data_file(package: str, *parts: str) -> Path:
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        what = f"explanation records need the package {package}"
        raise UserError(what, "", f"pip install {package}, or leave out explanation")
    return Path(found.submodule_search_locations[0]).joinpath(*parts)


@cache
def word_classes() -> dict[str, str]:
    """Lower-case words to one letter each.

    N noun, J adjective, V verb, E past form, G -ing form, B linking verb, R adverb, D determiner or possessive,
    P pronoun, M modal, I preposition, C conjunction, W that or which, # number, X anything else.
    """
    classes: dict[str, str] = {}
    for line in _data_file("textblob", "en", "en-lexicon.txt").read_text("utf-8").splitlines():
        word, _, tag = line.partition(" ")
        if tag and not line.startswith(";;;") and word == word.lower():
            classes[word] = _CLASS.get(tag.split("|")[0], "X")
    classes.update(_BY_HAND)
    return classes


def guess_class(word: str) -> str:
    """The class of a word that no lexicon has, from its ending; a noun where that says nothing."""
    if word[0].isdigit():
        return "#"
    if "'" in word:
        return "D" if word.endswith(("'s", "s'")) else "X"
    for suffix, kind in _SUFFIXES:
        if word.endswith(suffix) and len(word) > len(suffix) + 2:
            return kind
    return "J" if "-" in word else "N"


@cache
def opinion_words() -> frozenset[str]:
    """Words of any class that judge, in lower case, about 7,000."""
    words: set[str] = set()
    for line in _data_file("vaderSentiment", "vader_lexicon.txt").read_text("utf-8").splitlines():
        word, valence, *_ = line.split("\t")
        if word.isalpha() and abs(float(valence)) >= _MIN_VALENCE:
            words.add(word)
    polarities: dict[str, list[float]] = defaultdict(list)
    for word, polarity in _WORD_FORM.findall(_data_file("textblob", "en", "en-sentiment.xml").read_text("utf-8")):
        polarities[word].append(float(polarity))
    words.update(word for word, all_senses in polarities.items() if _strong(all_senses))
    return frozenset(words)


def _strong(polarities: list[float]) -> bool:
    return max(map(abs, polarities)) >= _MIN_POLARITY
