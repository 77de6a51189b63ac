"""Explanation records: for a user and an item one sentence of the review, in three parts (POD section 4.1)."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from bench.data.amazon import Review
from bench.data.authors import read_bytes
from bench.data.dataset import DataNote, Dataset
from bench.data.explanation_file import FileRecord, read_explanation_file
from bench.data.features import Candidate, Miner, candidates_of
from bench.errors import UserError
from bench.ragged import BoolArray, IntArray
from bench.splits import SPLIT_SEED, Split

TRAIN, VALID, TEST = 0, 1, 2
# Raised whenever a change of mining, choosing or splitting can change a record: files of another are made anew.
RULE = 1
MADE = f"sentences of reviews, rule {RULE}"
# What files from before origins were kept hold.
_FIRST = "sentences of reviews, rule 1"
_HELD_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class Explanations:
    """One sentence for each explained pair of user and item, sorted by user, then item.

    users, items: (n,) int32 indices into the dataset.
    texts:        n sentences.
    features:     n features that the sentences judge; "" where the source names none.
    part:         (n,) int8: 0 training, 1 validation, 2 test.
    notes:        the rules that were applied, each with its count.
    origin:       what they were taken from, and by which rule.
    """

    users: IntArray
    items: IntArray
    texts: tuple[str, ...]
    features: tuple[str, ...]
    part: IntArray
    notes: tuple[DataNote, ...] = field(default=())
    origin: str = ""

    def __len__(self) -> int:
        return len(self.texts)

    def rows(self, part: int) -> IntArray:
        """The rows of a part: 0 training, 1 validation, 2 test."""
        return np.flatnonzero(self.part == part)

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of every record and its part; notes and origin are not part of it."""
        digest = hashlib.sha256(b"podium-explanations-1")
        for numbers in (self.users, self.items, self.part):
            digest.update(np.ascontiguousarray(numbers, dtype="<i4").tobytes())
        for strings in (self.texts, self.features):
            digest.update(json.dumps(strings).encode())
        return digest.hexdigest()[:16]


def make_explanations(reviews: Iterable[Review], dataset: Dataset, seed: int = SPLIT_SEED) -> Explanations:
    """Take from each review the sentence that judges a feature, and split 8:1:1.

    A pair that was reviewed twice is explained by the earlier review, as in the dataset. Reviews without a fitting
    sentence give no record; the notes say how many. Reviews are read once, one at a time.
    Raises UserError where no review has a text, none a sentence that fits, or too few for a test.
    Source: POD section 4.1; features after Zhang et al. 2014 (Sentires), see bench.data.features.
    """
    user_index = {name: index for index, name in enumerate(dataset.user_ids)}
    item_index = {name: index for index, name in enumerate(dataset.item_ids)}
    found: dict[tuple[int, int], tuple[float, tuple[Candidate, ...]]] = {}
    miner = Miner()
    unknown = textless = repeated = 0
    for review in reviews:
        pair = user_index.get(review.user, -1), item_index.get(review.item, -1)
        if min(pair) < 0:
            unknown += 1
            continue
        textless += not review.text.strip()
        earlier = found.get(pair)
        repeated += earlier is not None
        if earlier is not None and earlier[0] <= review.time:
            continue
        candidates = candidates_of(review.text)
        miner.add(candidates)
        found[pair] = review.time, candidates
    if not found or textless == len(found):
        raise UserError("has no review texts", f"dataset {dataset.name}", "leave out explanation")
    vocabulary = miner.vocabulary()
    chosen = {pair: vocabulary.choose(candidates) for pair, (_, candidates) in sorted(found.items())}
    kept = {pair: choice for pair, choice in chosen.items() if choice is not None}
    if not kept:
        what = "no review has a sentence that judges a feature"
        raise UserError(what, f"dataset {dataset.name}", "leave out explanation, or give reviews in English")
    notes = (
        DataNote("reviews of users or items outside the dataset, left out", unknown),
        DataNote("reviews of a pair already reviewed, the earliest kept", repeated),
        DataNote("reviews without text, not explained", textless),
        DataNote("reviews without a sentence that judges a feature, not explained", len(found) - len(kept) - textless),
    )
    users, items = np.array(list(kept), dtype=np.int32).T
    part = split_records(users, items, np.random.default_rng([seed, 2]))
    if not (part == TEST).any():
        what = f"{len(kept)} reviews with a sentence that judges a feature are too few to hold any out"
        raise UserError(what, f"dataset {dataset.name}", "leave out explanation")
    texts, features = zip(*kept.values(), strict=True)
    return Explanations(users, items, texts, features, part, notes, MADE)


def read_authors(path: Path, dataset: Dataset) -> Explanations:
    """The authors' explanation.json with its own three parts.

    Of several records of a pair the first stays, training before validation before test; the notes count them, and
    the users and items that the file leaves without a training record.
    Raises UserError as `read_explanation_file` does, and where a part has no record.
    Source: the released data of POD, section 4.1.
    """
    kept: dict[tuple[int, int], FileRecord] = {}
    total = 0
    for record in read_explanation_file(path, dataset):
        total += 1
        kept.setdefault((record.user, record.item), record)
    rows = [kept[pair] for pair in sorted(kept)]
    part = np.array([record.part for record in rows], dtype=np.int8)
    for number, name in enumerate(("training", "validation", "test")):
        if not (part == number).any():
            raise UserError(f"has no {name} records", str(path), "give a file with all three parts")
    users = np.array([record.user for record in rows], dtype=np.int32)
    items = np.array([record.item for record in rows], dtype=np.int32)
    read = Explanations(users, items, tuple(r.text for r in rows), tuple(r.feature for r in rows), part)
    untrained = orphans(read, read.rows(TRAIN))
    notes = (
        DataNote("records of a pair already explained, the first kept", total - len(rows)),
        DataNote("users without a training record in the file", untrained[0]),
        DataNote("items without a training record in the file", untrained[1]),
    )
    return replace(read, notes=notes, origin=authors_origin(path))


def authors_origin(path: Path) -> str:
    """How records from this explanation.json call their origin: its name and a digest of its content."""
    return f"{path.name}, SHA-256 {hashlib.sha256(read_bytes(path)).hexdigest()[:16]}"


def split_records(users: IntArray, items: IntArray, rng: np.random.Generator) -> IntArray:
    """(n,) int8 parts, 8:1:1, with at least one training record of every user and item.

    Records are walked in random order; one whose user or item has none in training yet goes there. Of the others
    a tenth of all goes to validation and to test each, or half of them each where they are fewer.
    Source: POD section 4.1.
    """
    order = rng.permutation(len(users))
    part = np.zeros(len(users), dtype=np.int8)
    seen_users: set[int] = set()
    seen_items: set[int] = set()
    free = []
    for row, user, item in zip(order.tolist(), users[order].tolist(), items[order].tolist(), strict=True):
        if user in seen_users and item in seen_items:
            free.append(row)
        seen_users.add(user)
        seen_items.add(item)
    held = min(round(_HELD_SHARE * len(users)), len(free) // 2)
    rows = rng.permutation(free).astype(np.int64)
    part[rows[:held]] = VALID
    part[rows[held : 2 * held]] = TEST
    return part


def train_rows(explanations: Explanations, split: Split, sound: bool) -> IntArray:
    """Rows to train on, ascending.

    sound: leave out the pairs of user and held-out item that the recommendation tasks validate and test on, which
        the released code shows to the model as inputs of this task (PUBLISHED.md, line 2).
    A user or item whose only records are such pairs has none left, and stays in the test all the same: putting one
    back would show what must not be seen. `orphans` counts them.
    """
    rows = explanations.rows(TRAIN)
    return rows[~held_out(explanations, split)[rows]] if sound else rows


def held_out(explanations: Explanations, split: Split) -> BoolArray:
    """(n,) whether a record's pair is the validation or test pair of the recommendation tasks."""
    n_items = split.dataset.n_items
    pairs = [split.users.astype(np.int64) * n_items + split.truth(stage) for stage in ("valid", "test")]
    return np.isin(explanations.users.astype(np.int64) * n_items + explanations.items, np.concatenate(pairs))


def orphans(explanations: Explanations, rows: IntArray) -> tuple[int, int]:
    """(users, items) that have records, but none among the given rows."""
    users = np.setdiff1d(explanations.users, explanations.users[rows])
    items = np.setdiff1d(explanations.items, explanations.items[rows])
    return len(users), len(items)


def save_explanations(explanations: Explanations, path: Path) -> None:
    """Write records aside and rename them into place, so that the file is complete or absent.

    Raises UserError where it cannot be written.
    """
    aside = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    content = {
        "fingerprint": explanations.fingerprint,
        "texts": explanations.texts,
        "features": explanations.features,
        "notes": [(note.rule, note.count) for note in explanations.notes],
        "origin": explanations.origin,
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as stream:
            np.savez_compressed(
                stream,
                users=explanations.users,
                items=explanations.items,
                part=explanations.part,
                content=np.frombuffer(json.dumps(content).encode(), dtype=np.uint8),
            )
        aside.replace(path)
    except OSError as error:
        fix = "make room there or choose another --out"
        raise UserError(f"the explanations cannot be written ({error.strerror})", str(path), fix) from error
    finally:
        with suppress(OSError):
            aside.unlink()


def load_explanations(path: Path) -> Explanations:
    """Read records and check that they were not altered; UserError where the file is damaged or was."""
    fix = "remove it, so that it is made anew"
    try:
        with np.load(path, allow_pickle=False) as stored:
            content = json.loads(stored["content"].tobytes())
            notes = tuple(DataNote(rule, count) for rule, count in content["notes"])
            strings = tuple(content["texts"]), tuple(content["features"])
            read = Explanations(
                stored["users"], stored["items"], *strings, stored["part"], notes, content.get("origin", _FIRST)
            )
        written = content["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"not readable explanations ({error})", str(path), fix) from error
    if read.fingerprint != written:
        raise UserError("these explanations were altered by hand", str(path), fix)
    return read
