"""Sentences of reviews that judge a feature: (feature, opinion) pairs found by word classes, features mined from all.

Stands in for the Sentires toolkit (POD section 4.1, Zhang et al. 2014), which cannot be shipped. Two steps: review
by review `candidates_of` keeps what fits a grammatical pattern; `Miner` counts over the corpus which
nouns are judged often enough, and by enough different words, to be features, and which adjectives are opinions.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from bench.data.lexicon import guess_class, opinion_words, word_classes, words_of
from bench.data.sentences import split_sentences

MIN_WORDS, LONG, MAX_WORDS = 3, 20, 30
MIN_REVIEWS, MIN_SHARE, MIN_OPINIONS = 5, 0.0003, 3
MIN_GRADED = 3

_TOKEN = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*'?|\d+(?:[.,]\d+)*|[^\s\w]")
_WORD = re.compile(r"[^\W_]")
_LEAD = re.compile(r"^(?:[^\w\"(]+|\d{1,2}[.)]\s*(?=\D)|(?:and|but|so|also|plus|or|because|then)\b[,\s]+)+")
_TAIL = re.compile(r"[^\w\"')%+]+$")
_STORY = re.compile(r"\b(?:bought|ordered|purchased|received|arrived|returned|was looking|went|told|asked)\b")
_LONE_ADJECTIVE = re.compile(r"(?<=D)J(?=[IB])")  # "the plastic is", "the sole of"
# Patterns over the word classes of bench.data.lexicon; "," is any mark.
_JUDGED = re.compile(r"(?P<opinion>J)(?:[,C]?R?[JEG])*(?P<feature>N+)")
_PREDICATE = re.compile(r"(?P<feature>N+)(?:ID?[JEG]*N+)?(?P<link>[RM]*B[RX]*)(?P<opinion>J)")
_WELL_MADE = re.compile(r"(?P<feature>N+)(?:ID?[JEG]*N+)?B?R*(?P<opinion>R)E")
_LIKING = re.compile(r"(?P<opinion>L)W?D?(?:[RJEG,]|C[RJ])*(?P<feature>N+)")
_PATTERNS = (("predicate", _PREDICATE), ("judged", _JUDGED), ("liking", _LIKING), ("well made", _WELL_MADE))

_KIND_RANK = {"predicate": 0, "well made": 0, "judged": 1, "liking": 1}
_VERB_TOO = words_of(
    """
    use work play love like look sound feel fit need want hope plan record plug mount cut
    """
)
_NOUN_TOO = words_of("look looks feel sound sounds smell smells taste tastes")
_LIKING_WORDS = words_of(
    """
    love loved loves like liked likes enjoy enjoyed hate hated dislike disliked appreciate appreciated adore
    """
)
_GRADING = words_of(
    """
    very really so too pretty extremely quite super incredibly fairly more most less amazingly surprisingly
    """
)
# Adjectives that say which or how many, not how good.
_NO_OPINION = words_of(
    """
    able actual additional all another any big bigger biggest black blue certain different due electric acoustic
    entire every few fewer first former free full fellow green high higher highest important individual large larger
    last latest least less likely little live main many more most much multiple necessary new next old older only
    open original other others overall own particular past past possible present previous proper real red same
    second several short similar single small smaller some specific standard such sure tall third top total typical
    used usual various white whole willing worth yellow young extra half long longer low lower common complete
    current future general initial local normal obvious recent regular ready
    """
)
_NO_FEATURE = words_of(
    """
    thing things lot lots way ways time times bit year years day days week weeks month months hour hours minute
    minutes second seconds moment today night morning weekend people person someone anyone everyone everything
    anything something nothing one ones guy guys man men woman women boy girl kid kids child children son sons
    daughter wife husband friend friends brother sister dad mom father mother family baby customer customers
    reviewer reviewers review reviews star stars amazon reason reasons idea ideas problem problems issue issues luck
    job deal choice purchase buy buys order place places world life part parts kind kinds sort sorts type types fact
    point points question questions answer opinion experience example case-in-point course rest end start beginning
    side sides number numbers couple ton tons piece pair hand hands addition alternative option options step matter
    fan bang buck bucks dollar dollars cents money expectation expectations expected look-out thank thanks product
    products item items stuff job shape-up work idea stars five four three two hell heck god gosh wow
    """
)


class Pair(NamedTuple):
    """feature, opinion: in lower case; a feature is one noun or two. kind: the pattern that found them."""

    feature: str
    opinion: str
    kind: str


class Candidate(NamedTuple):
    """A sentence of a review that may become its explanation.

    text:   as `tidy` writes it.
    words:  how many it has.
    place:  its number in the review, from 0.
    pairs:  what it judges.
    graded: its adjectives that follow a word of degree.
    """

    text: str
    words: int
    place: int
    pairs: tuple[Pair, ...]
    graded: tuple[str, ...]


class Chosen(NamedTuple):
    """The sentence that explains a review, and the feature it judges."""

    text: str
    feature: str


def candidates_of(text: str) -> tuple[Candidate, ...]:
    """The sentences of a review of 3 to 30 words, mostly English, in which a noun is judged."""
    found = []
    for place, sentence in enumerate(split_sentences(text)):
        line = tidy(sentence)
        if sentence.rstrip("\"')").endswith("?") or not MIN_WORDS <= line.count(" ") + 1 <= 2 * MAX_WORDS:
            continue
        tokens = _TOKEN.findall(line)
        classes = _classes_of(tokens)
        words = len(tokens) - classes.count(",")
        if not MIN_WORDS <= words <= MAX_WORDS or not _is_english(tokens, words):
            continue
        pairs = tuple(_pairs(tokens, classes))
        if pairs:
            graded = tuple(word for before, word in pairwise(tokens) if before in _GRADING)
            found.append(Candidate(line, words, place, pairs, graded))
    return tuple(found)


def tidy(sentence: str) -> str:
    """A sentence in lower case, without outer marks, list numbers, leading conjunctions and lone brackets."""
    line = _LEAD.sub("", sentence.lower())
    line = _TAIL.sub("", line)
    for left, right in ("()", "[]", '""'):
        if line.count(left) != line.count(right) or (left == right and line.count(left) % 2):
            line = line.replace(left, "").replace(right, "")
    return " ".join(line.split())


def _classes_of(tokens: Sequence[str]) -> str:
    """One letter a token; nouns and verbs that look alike are told apart by the word before."""
    known = word_classes()
    classes: list[str] = []
    before = ""
    for token in tokens:
        if token in _LIKING_WORDS and before in ("", "P", "R", "M", ",", "C"):
            kind = "L"
        elif not _WORD.match(token):
            kind = ","
        else:
            kind = known.get(token) or guess_class(token)
            if (kind == "V" or token in _NOUN_TOO) and before in ("D", "J"):
                kind = "N"
            elif (kind == "N" and before in ("P", "M") and token in _VERB_TOO) or (kind == "E" and before == "D"):
                kind = "V" if kind == "N" else "J"
        classes.append(kind)
        before = kind
    return _LONE_ADJECTIVE.sub("N", "".join(classes))


def _is_english(tokens: Sequence[str], words: int) -> bool:
    known = word_classes()
    return 3 * sum(token in known for token in tokens if _WORD.match(token)) >= 2 * words


def _pairs(tokens: Sequence[str], classes: str) -> Iterator[Pair]:
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(classes):
            opinion = tokens[match.start("opinion")]
            last = match.end("feature")
            nouns = tokens[max(match.start("feature"), last - 2) : last]
            if opinion not in _NO_OPINION and nouns[-1] not in _NO_FEATURE and min(map(len, nouns)) > 1:
                yield Pair(" ".join(nouns), opinion, kind)


class Miner:
    """Counts over the candidates of a corpus which nouns are features and which words are opinions."""

    def __init__(self) -> None:
        self._reviews: Counter[str] = Counter()
        self._opinions: defaultdict[str, set[str]] = defaultdict(set)
        self._graded: Counter[str] = Counter()
        self._judging: Counter[str] = Counter()
        self._n_reviews = 0

    def add(self, candidates: Iterable[Candidate]) -> None:
        """Count one review."""
        self._n_reviews += 1
        seen: set[str] = set()
        for candidate in candidates:
            self._graded.update(candidate.graded)
            for feature, opinion, _ in candidate.pairs:
                self._judging[opinion] += 1
                for name in {feature, feature.rpartition(" ")[2]}:
                    seen.add(name)
                    self._opinions[name].add(opinion)
        self._reviews.update(seen)

    def vocabulary(self) -> Vocabulary:
        """Features judged in at least 5 reviews (0.03 % of many) by 3 different opinions, and the opinions.

        An opinion is a word of the packaged lexicons, or one that people grade ("very sturdy") at least 3 times.
        """
        packaged = opinion_words()
        graded = {word for word, count in self._graded.items() if count >= MIN_GRADED}
        opinions = {word for word in self._judging if word in packaged or word in graded or word in _LIKING_WORDS}
        least = max(MIN_REVIEWS, round(MIN_SHARE * self._n_reviews))
        features = {
            name: count
            for name, count in self._reviews.items()
            if count >= least and len(self._opinions[name] & opinions) >= MIN_OPINIONS
        }
        return Vocabulary(features, frozenset(opinions))


@dataclass(frozen=True)
class Vocabulary:
    """features: each with the number of reviews that judge it. opinions: the words that judge."""

    features: Mapping[str, int]
    opinions: frozenset[str]

    def choose(self, candidates: Iterable[Candidate]) -> Chosen | None:
        """The sentence that explains a review: a judgement of a feature, short, early; None where there is none.

        Of all pairs of a mined feature and an opinion, those where the feature is the subject go first, then
        sentences of at most 20 words, then those without a story in the past, then the earlier sentence.
        """
        best: tuple[tuple[int, ...], Chosen] | None = None
        for candidate in candidates:
            for pair in candidate.pairs:
                feature = self._feature(pair.feature)
                if feature is None or pair.opinion not in self.opinions:
                    continue
                rank = (
                    candidate.words > LONG,
                    bool(_STORY.search(candidate.text)),
                    _KIND_RANK[pair.kind],
                    candidate.place,
                )
                if best is None or rank < best[0]:
                    best = rank, Chosen(candidate.text, feature)
        return None if best is None else best[1]

    def _feature(self, name: str) -> str | None:
        if name in self.features:
            return name
        head = name.rpartition(" ")[2]
        return head if head in self.features else None
