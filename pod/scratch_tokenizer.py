"""A tokenizer trained on a data set's own texts, for where T5's is not to be had and the backbone is from scratch.

It has T5's habits: "▁user", "_", then digit pieces. Words are learnt by SentencePiece; digits stand alone or in pairs.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import sentencepiece

from bench.errors import UserError
from pod.margins import GRID
from pod.spiece import EOS, PAD, UNK, charsmap_of, model_bytes
from pod.tokens import Tokenizer

_SPECIALS = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
_NAMES = ("▁user", "▁item")
_NUMBER = re.compile(r"[0-9]+")
_MARKS = re.compile(r"[0-9_]+")
_WHERE = "texts of the data set"
# More letters than these take long and change few pieces.
_MOST_LETTERS = 2_000_000
_PRINTABLE = [chr(code) for code in range(33, 127)]
# Scores of digits are lowered by so much at most, or very many ids could be cut in two ways of one score.
_JITTER = 0.5


def train_tokenizer(texts: Iterable[str], *, size: int = 8000, seed: int = 0) -> Tokenizer:
    """A unigram tokenizer of at most about `size` pieces.

    texts: everything that is to be written: sentences, names of users and items ("user_12"), words of templates.
    seed:  draws the texts learnt from, where there are very many, and parts digits of one score.
    The same texts and seed give the same tokenizer. Raises UserError where the texts hold no words at all.
    """
    rng = np.random.default_rng([seed, 83])
    listed = list(texts)
    words, rules = _learnt_words(_sample(listed, rng), size)
    pieces = dict(words)
    worst = min(pieces.values(), default=-10.0) - 1.0
    for letter in _PRINTABLE:
        pieces.setdefault(letter, worst)
    best = max(pieces.values(), default=-1.0)
    for name in _NAMES:
        # Surely one piece: anything in its place would have to be likelier than the likeliest piece.
        pieces[name] = best
    pieces["▁"] = min(pieces.get("▁", -1.0), best, -1.0)
    pieces["_"] = best
    pieces.update(_digits(listed, rng))
    # On the grid sums are exact, so that an id is cut the same way wherever it stands.
    pieces = {piece: round(score / GRID) * GRID for piece, score in pieces.items()}
    ordered = sorted(pieces.items(), key=lambda piece: (-piece[1], piece[0]))
    note = f"a tokenizer of {len(pieces) + len(_SPECIALS):,} pieces trained on this data set's own texts, not T5's own"
    return Tokenizer(model_bytes([*_SPECIALS, *ordered], rules), "trained tokenizer", note).trimmed()


def _sample(texts: Sequence[str], rng: np.random.Generator) -> list[str]:
    """The different texts without numbers and underscores, some of them where they are very many."""
    wordings = list(dict.fromkeys(" ".join(_MARKS.sub(" ", text).split()) for text in texts))
    order = rng.permutation(len(wordings))
    letters = np.cumsum([len(wordings[row]) for row in order])
    kept = np.sort(order[: int(np.searchsorted(letters, _MOST_LETTERS)) + 1])
    return [wordings[row] for row in kept if wordings[row]]


def _learnt_words(texts: Sequence[str], size: int) -> tuple[list[tuple[str, float]], bytes]:
    """Pieces without digits and underscores, with their log probabilities, and the normalisation rules."""
    stream = io.BytesIO()
    fix = "pass the folder of T5's tokenizer"
    if not texts:
        raise UserError("no words to train a tokenizer on", _WHERE, fix)
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=stream,
            model_type="unigram",
            vocab_size=size,
            hard_vocab_limit=False,
            character_coverage=0.9995,
            shuffle_input_sentence=False,
            num_threads=1,  # more would add up in another order
            pad_id=PAD,
            eos_id=EOS,
            unk_id=UNK,
            bos_id=-1,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise UserError(f"no tokenizer can be trained ({str(error).strip()[-120:]})", _WHERE, fix) from error
    model = stream.getvalue()
    trained = sentencepiece.SentencePieceProcessor(model_proto=model)
    count = int(trained.get_piece_size())
    learnt = [(trained.id_to_piece(index), float(trained.get_score(index))) for index in range(UNK + 1, count)]
    return [piece for piece in learnt if not _MARKS.search(piece[0])], charsmap_of(model)


def _digits(texts: Sequence[str], rng: np.random.Generator) -> dict[str, float]:
    """Every digit alone, every pair of digits, and both at the start of a word.

    Their scores are by how often numbers, cut in pairs from the left, hold them.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        for number in _NUMBER.findall(text):
            counts.update(number[start : start + 2] for start in range(0, len(number), 2))
    runs = [str(digit) for digit in range(10)] + [f"{pair:02d}" for pair in range(100)]
    seen = np.array([counts[run] for run in runs]) + 1.0
    scores = np.log(seen / seen.sum()) - _JITTER * rng.random(len(runs))
    # A little below, which is far above what "▁" and the run would come to.
    starts = scores - _JITTER * rng.random(len(runs))
    names = [*runs, *(f"▁{run}" for run in runs)]
    return dict(zip(names, [*scores.tolist(), *starts.tolist()], strict=True))
