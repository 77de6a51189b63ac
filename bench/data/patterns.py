"""The grammar of judging: tokens, their word classes, and the (feature, opinion) pairs that patterns over them find."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bench.data.lexicon import guess_class, word_classes
from bench.data.stop_words import EASE, FINDING, LIKING, NO_ACTION, NO_FEATURE, NO_OPINION, SENSES, VERBS_TOO, words_of

_TOKEN = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*'?|\d+(?:[.,]\d+)*|[^\s\w]")
_WORD = re.compile(r"[^\W_]")

# What the word before, and the word after, make of a word: applied to the string of classes, in this order.
_REREADINGS = (
    (re.compile(r"(?<=D)J(?=[IB])"), "N"),  # "the plastic is", "the sole of"
    (re.compile(r"(?<=[PM])U"), "V"),  # "it works", "to play"
    (re.compile(r"(?<=[DJN])U(?![DPJ])|(?<=[DJ])U"), "N"),  # "the cut", "guitar stand", but "strings stay bright"
    (re.compile(r"U"), "V"),
    (re.compile(r"(?<=[DJAN])V(?=[BIC,NMW]|$)"), "N"),  # "this strap is", "a leather strap"
    (re.compile(r"(?<=D)E"), "J"),  # "the added weight"
)
# Patterns over the classes of bench.data.lexicon, with L for liking, F for finding, A for the ease of doing.
_OF = r"(?:ID?[JAEG]*N+)?"
_PATTERNS = (
    ("predicate", re.compile(rf"(?P<feature>N+){_OF}[RM]*B[RX]*(?P<opinion>[JA])(?!N)")),
    ("predicate", re.compile(rf"(?P<feature>N+){_OF}[RM]*B?R*(?P<opinion>R)E")),  # "the case is well made"
    ("object", re.compile(r"[FL]D[JAEG]*(?P<feature>N+)R*(?P<opinion>[JA])(?!N)")),
    ("judged", re.compile(r"(?P<opinion>[JA])(?:[,C]?R?[JAEG])*(?P<feature>N+)")),
    ("judged", re.compile(r"(?P<opinion>R)E[JAEG]*(?P<feature>N+)")),  # "a well made case"
    ("liking", re.compile(r"(?P<opinion>L)W?D?(?:[RJAEG,]|C[RJA])*(?P<feature>N+)")),
    ("action", re.compile(r"(?P<opinion>A)M(?P<feature>V)")),  # "easy to install"
    ("sense", re.compile(r"(?P<feature>S)R*(?P<opinion>[JA])(?![NM])")),  # "sounds great"
)
_OTHERS = words_of("my your our their old other every any most")
# What such a word begins is no judgement of the item: "in a quiet room", "straight out of the box sounded awful".
_ASIDE = {
    "judged": words_of("in into to as on of than from like using without during against between under over"),
    "predicate": words_of("in on of with at from to by through for"),
}


class Pair(NamedTuple):
    """feature, opinion: in lower case; a feature is one word or two. kind: what found them.

    predicate "the tone is warm", object "I find the tone warm", judged "a warm tone", liking "I love the tone",
    action "easy to tune", sense "sounds warm".
    mine: whether it is not the item's, as in "my old cable" or "every good cable".
    name: whether it has a capital within the sentence, as brands have.
    """

    feature: str
    opinion: str
    kind: str
    mine: bool
    name: bool


def tokens_of(line: str) -> list[str]:
    """Words, numbers and single marks of a line."""
    return _TOKEN.findall(line)


def is_word(token: str) -> bool:
    """Whether a token is a word or a number, not a mark."""
    return _WORD.match(token) is not None


def classes_of(tokens: Sequence[str]) -> str:
    """One letter a token: the classes of bench.data.lexicon, read again in the light of their neighbours."""
    known = word_classes()
    letters: list[str] = []
    before = ""
    for token in tokens:
        if not _WORD.match(token):
            letter = ","
        elif token in LIKING and before in ("", "P", "R", "M", ",", "C", "W"):
            letter = "L"
        elif token in SENSES and before in ("D", "J", "A"):
            letter = "N"
        elif token in VERBS_TOO:
            letter = "U"
        elif token in EASE:
            letter = "A"
        else:
            letter = known.get(token) or guess_class(token)
        letters.append(letter)
        before = letter
    classes = "".join(letters)
    for pattern, letter in _REREADINGS:
        classes = pattern.sub(letter, classes)
    return classes


def pairs_of(words: Sequence[str]) -> Iterator[Pair]:
    """The judgements in the tokens of a sentence, case as written; those of the surest pattern first."""
    tokens = [word.lower() for word in words]
    classes = classes_of(tokens)
    marked = "".join(
        "S" if token in SENSES and letter == "B" else "F" if token in FINDING and letter in "VE" else letter
        for token, letter in zip(tokens, classes, strict=True)
    )
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(marked if kind in ("object", "sense") else classes):
            opinion = tokens[match.start("opinion")]
            first, last = match.span("feature")
            feature = tokens[max(first, last - 2) : last]
            if opinion in NO_OPINION or not _may_be_feature(feature, kind):
                continue
            if _is_aside(tokens, classes, match.start(), _ASIDE.get(kind, frozenset())):
                continue
            named = last > 1 and words[last - 1][0].isupper()
            yield Pair(
                " ".join(feature), opinion, kind, not _OTHERS.isdisjoint(tokens[max(0, first - 3) : first]), named
            )


def _may_be_feature(words: Sequence[str], kind: str) -> bool:
    if min(map(len, words)) < 2:
        return False
    return words[-1] not in (NO_ACTION if kind == "action" else NO_FEATURE)


def _is_aside(tokens: Sequence[str], classes: str, place: int, heads: frozenset[str]) -> bool:
    """Whether a phrase hangs on one of these words, skipping its articles and adjectives."""
    while place > 0 and classes[place - 1] in "DRJA":
        place -= 1
    return place > 0 and tokens[place - 1] in heads
