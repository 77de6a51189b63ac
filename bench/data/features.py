"""Sentences of reviews that judge a feature: (feature, opinion) pairs found by word classes, features mined from all.

Stands in for the Sentires toolkit (POD section 4.1; Zhang et al. 2014), which cannot be shipped. Two steps: review by
review `candidates_of` keeps the sentences that fit a pattern; `Miner` counts over the corpus which nouns are judged
often enough, and by enough different words, to be features, and which adjectives are opinions.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from bench.data.lexicon import opinion_words, word_classes
from bench.data.patterns import Pair, is_word, pairs_of, tokens_of
from bench.data.sentences import split_sentences
from bench.data.stop_words import DEGREE, LIKING

MIN_WORDS, LONG, MAX_WORDS = 3, 15, 30
MIN_REVIEWS, MIN_SHARE, MIN_OPINIONS = 5, 0.0003, 3
MIN_SUBJECT = 2
MIN_GRADED = 3

_LEAD = re.compile(
    r"^(?:[^\w\"(]+|\d{1,2}[.)]\s*(?=\D)|(?:and|but|so(?! (?:far|much|many|good|long))|also|plus|or|because|then)\b"
    r"[,\s]+|(?:pros?|cons?|update|edit|note|summary|bottom line|overall)\s*:)+",
    re.IGNORECASE,
)
_TAIL = re.compile(r"[^\w\"')%+]+$")
_LOOSE_MARK = re.compile(r"\s+(?=[,;:])|(?<=[,;])(?=[^\W\d_])")
# Sentences that tell a story, wish, advise or suppose rather than say what the item is like.
_WEAK = re.compile(
    r"\b(?:bought|ordered|purchased|received|returned|replaced|went|told|asked|thought|would|could|should|wish|hope"
    r"|might|maybe|if|i(?:'ve)? (?:had|have|own|was|am|needed|wanted|used|already)|i'm|looking for|going to|unless"
    r"|instead|however|sometimes|says?|said|someone|guess|ought|he|she|his|her|them)\b"
    r"|^(?:when|though|although|every|make|like|most|as|my|just|do|don't|be|get|buy|try|let)\b"
)
_KINDS = ("predicate", "object", "judged", "liking", "action", "sense")


class Candidate(NamedTuple):
    """A sentence of a review that may become its explanation.

    text:   as `tidy` writes it.
    words:  how many it has.
    place:  its number in the review, from 0.
    pairs:  what it judges.
    graded: its adjectives that follow a word of degree.
    weak:   whether it tells, wishes or supposes.
    """

    text: str
    words: int
    place: int
    pairs: tuple[Pair, ...]
    graded: tuple[str, ...]
    weak: bool


class Chosen(NamedTuple):
    """The sentence that explains a review, and the feature it judges."""

    text: str
    feature: str


def candidates_of(text: str) -> tuple[Candidate, ...]:
    """The sentences of a review of 3 to 30 words, mostly English, in which a word is judged."""
    found = []
    for place, sentence in enumerate(split_sentences(text)):
        if sentence.rstrip("\"')").endswith("?"):
            continue
        line = tidy(sentence)
        if not MIN_WORDS <= line.count(" ") + 1 <= MAX_WORDS:
            continue
        tokens = tokens_of(line)
        words = [token.lower() for token in tokens if is_word(token)]
        if not MIN_WORDS <= len(words) <= MAX_WORDS or not _is_english(words):
            continue
        pairs = tuple(pairs_of(tokens))
        if pairs:
            graded = tuple(word for before, word in pairwise(words) if before in DEGREE)
            line = line.lower()
            found.append(Candidate(line, len(words), place, pairs, graded, _WEAK.search(line) is not None))
    return tuple(found)


def tidy(sentence: str) -> str:
    """A sentence without outer marks, list numbers, leading conjunctions, lone brackets and loose commas."""
    line = _TAIL.sub("", _LEAD.sub("", sentence))
    for left, right in ("()", "[]", '""'):
        if line.count(left) != line.count(right) or (left == right and line.count(left) % 2):
            line = line.replace(left, "").replace(right, "")
    return " ".join(_LOOSE_MARK.sub(_mark, line).split())


def _mark(match: re.Match[str]) -> str:
    return "" if match.group() else " "


def _is_english(words: Sequence[str]) -> bool:
    known = word_classes()
    return 3 * sum(word in known for word in words) >= 2 * len(words)


class Miner:
    """Counts over the candidates of a corpus which nouns are features and which words are opinions."""

    def __init__(self) -> None:
        self._reviews: Counter[str] = Counter()
        self._subject: Counter[str] = Counter()
        self._named: Counter[str] = Counter()
        self._opinions: defaultdict[str, set[str]] = defaultdict(set)
        self._graded: Counter[str] = Counter()
        self._judging: Counter[str] = Counter()
        self._n_reviews = 0

    def add(self, candidates: Iterable[Candidate]) -> None:
        """Count one review."""
        self._n_reviews += 1
        seen: set[str] = set()
        subjects: set[str] = set()
        for candidate in candidates:
            self._graded.update(candidate.graded)
            for feature, opinion, kind, _, named in candidate.pairs:
                self._judging[opinion] += 1
                for name in {feature, feature.rpartition(" ")[2]}:
                    seen.add(name)
                    self._opinions[name].add(opinion)
                    self._named[name] += 1 if named else -1
                    if kind not in ("judged", "liking"):
                        subjects.add(name)
        self._reviews.update(seen)
        self._subject.update(subjects)

    def vocabulary(self) -> Vocabulary:
        """The features and the opinions of the corpus.

        A feature is judged in at least 5 reviews (0.03 % of many), by 3 different opinions, in 2 of the reviews (a
        third of many) as the subject: "heavy duty" is common, "the duty is heavy" is not. Words mostly written with
        a capital are names. An opinion is a word of the packaged lexicons, or one that people grade ("very
        sturdy") at least 3 times.
        """
        packaged = opinion_words()
        graded = {word for word, count in self._graded.items() if count >= MIN_GRADED}
        opinions = {word for word in self._judging if word in packaged or word in graded or word in LIKING}
        least = max(MIN_REVIEWS, round(MIN_SHARE * self._n_reviews))
        features = {
            name: count
            for name, count in self._reviews.items()
            if count >= least
            and self._named[name] < 0
            and self._subject[name] >= max(MIN_SUBJECT, least // 3)
            and len(self._opinions[name] & opinions) >= MIN_OPINIONS
        }
        return Vocabulary(features, frozenset(opinions))


@dataclass(frozen=True)
class Vocabulary:
    """features: each with the number of reviews that judge it. opinions: the words that judge."""

    features: Mapping[str, int]
    opinions: frozenset[str]

    def choose(self, candidates: Iterable[Candidate]) -> Chosen | None:
        """The sentence that explains a review; None where none judges a feature.

        Of all pairs of a mined feature and an opinion, in this order: plain statements about the item before
        stories, wishes and the writer's other things, which need the feature as their subject; sentences of at most
        15 words, which fit into 20 tokens, before longer ones; the surest patterns first; then the earlier sentence.
        """
        best: tuple[tuple[int, ...], Chosen] | None = None
        for candidate in candidates:
            for pair in candidate.pairs:
                feature = self._feature(pair.feature)
                if feature is None or pair.opinion not in self.opinions:
                    continue
                weak = pair.mine or candidate.weak
                if weak and pair.kind in ("judged", "liking"):
                    continue
                rank = weak, candidate.words > LONG, _KINDS.index(pair.kind), candidate.place
                if best is None or rank < best[0]:
                    best = rank, Chosen(candidate.text, feature)
        return None if best is None else best[1]

    def _feature(self, name: str) -> str | None:
        if name in self.features:
            return name
        head = name.rpartition(" ")[2]
        return head if head in self.features else None
