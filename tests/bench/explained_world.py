"""A shop with explanation records small enough to check by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bench.cutting import Cutter, cut_words
from bench.data.dataset import DataNote, Dataset
from bench.explanations import MADE, Explanations
from bench.ragged import Ragged
from bench.splits import Split, make_split

# user, item, part, feature, sentence
RECORDS = (
    (0, 0, 0, "tone", "the tone is warm"),
    (0, 1, 2, "case", "a very good hard case"),
    (0, 2, 0, "tone", "the tone is warm"),
    (1, 1, 0, "case", "the case broke"),
    (1, 2, 1, "strings", "strings are bright and clear"),
    (1, 3, 2, "", "it just works"),
    (2, 2, 2, "tone", "the tone is warm and full"),
    (2, 3, 0, "neck", "a slim neck"),
)
TEST_TEXTS = tuple(text for *_, part, _, text in RECORDS if part == 2)
WORD_CUTTER = Cutter("20 words of a test", cut_words)


def explained_dataset(name: str = "tiny") -> Dataset:
    """Three users of four and three items; item 4 has no record."""
    rows = [[0, 1, 2, 4], [1, 2, 3], [2, 3, 4]]
    return Dataset(name, "made by hand", ("u0", "u1", "u2"), tuple(f"i{n}" for n in range(5)), Ragged.from_rows(rows))


def explanations() -> Explanations:
    """The records above."""
    users, items, part, features, texts = zip(*RECORDS, strict=True)
    columns = [np.array(users, np.int32), np.array(items, np.int32), texts, features, np.array(part, np.int8)]
    return Explanations(*columns, (DataNote("reviews without text, not explained", 2),), MADE)


def explained_split(name: str = "tiny") -> Split:
    """The shop's split with its records."""
    return replace(make_split(explained_dataset(name)), explanations=explanations())
