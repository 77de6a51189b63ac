"""Leave-one-out splits with fixed candidates, and the ways of numbering items.

A split is data: written once with a fingerprint, read by every model. The last item of a user is the test
item, the one before it the validation item, the rest is training (POD section 4.1). For top-N every user
gets one fixed list of candidates for each stage: the positive and 99 items from outside the whole history.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from bench.data.dataset import DataNote, Dataset, first_appearance
from bench.errors import UserError
from bench.ragged import IntArray, Ragged

if TYPE_CHECKING:
    from bench.explanations import Explanations

Stage = Literal["valid", "test"]
Numbering = Literal["appearance", "train", "random"]

N_NEGATIVES = 99
MIN_EVALUATED = 3
MIN_SEGMENT = 4
SPLIT_SEED = 2023
_CHUNK = 16384


@dataclass(frozen=True, eq=False)
class Split:
    """Who is evaluated on what.

    dataset:    the data it cuts.
    seed:       what the negatives and the order of candidates were drawn with.
    users:      (n,) the evaluated users: those with at least 3 interactions, ascending.
    candidates: for each stage (n, 100) item indices in random order, the positive among them; -1 fills
                rows of users who have left fewer than 99 items unseen.
    explanations: the sentences of reviews and who trains on which; None where there are none, or nobody looked.
    no_explanations: why there are none; "" where there are some, or nobody looked.
    """

    dataset: Dataset
    seed: int
    users: IntArray
    candidates: dict[Stage, IntArray]
    explanations: Explanations | None = None
    no_explanations: str = ""

    @cached_property
    def train(self) -> Ragged:
        """Row u: the training items of user u. A user with fewer than 3 interactions trains on all of them."""
        held = np.zeros(self.dataset.n_users, dtype=np.int64)
        held[self.users] = 2
        return self.dataset.sequences.drop_last(held)

    def truth(self, stage: Stage) -> IntArray:
        """(n,) the held-out item of each evaluated user."""
        back = 1 if stage == "test" else 2
        sequences = self.dataset.sequences
        return sequences.values[sequences.offsets[1:][self.users] - back]

    def histories(self, stage: Stage) -> Ragged:
        """Row r: what evaluated user r had seen before the held-out item of that stage."""
        back = 1 if stage == "test" else 2
        return self.dataset.sequences.take(self.users).drop_last(np.full(len(self.users), back))

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of the dataset and every candidate list, order included."""
        digest = hashlib.sha256(f"podium-split-1 {self.dataset.fingerprint}".encode())
        digest.update(np.ascontiguousarray(self.users, dtype="<i4").tobytes())
        for stage in ("valid", "test"):
            digest.update(np.ascontiguousarray(self.candidates[stage], dtype="<i4").tobytes())
        return digest.hexdigest()[:16]

    @property
    def explanations_fingerprint(self) -> str:
        """Hex digest of the explanation records; "" where there are none."""
        return "" if self.explanations is None else self.explanations.fingerprint

    @property
    def notes(self) -> tuple[DataNote, ...]:
        """The rules about short histories and small catalogues, each with its count."""
        lengths = self.dataset.sequences.lengths
        short = int((self.candidates["test"] < 0).any(axis=1).sum()) if len(self.users) else 0
        return (
            DataNote(
                f"users with fewer than {MIN_EVALUATED} interactions, trained on but not evaluated",
                int((lengths < MIN_EVALUATED).sum()),
            ),
            DataNote(
                f"users with fewer than {MIN_SEGMENT} interactions, too short for a training segment",
                int((lengths < MIN_SEGMENT).sum()),
            ),
            DataNote(f"users with fewer than {N_NEGATIVES} unseen items, ranked among fewer candidates", short),
        )


def make_split(dataset: Dataset, seed: int = SPLIT_SEED) -> Split:
    """Cut a dataset and draw its fixed candidate lists.

    The source's own test negatives are used where it ships them. Raises UserError where such a list holds an item
    of the user's history, an unknown or a repeated one, or where no user is long enough to be evaluated.
    """
    users = np.flatnonzero(dataset.sequences.lengths >= MIN_EVALUATED).astype(np.int32)
    if len(users) == 0:
        raise UserError(
            f"no user has {MIN_EVALUATED} interactions, so nothing can be held out",
            f"dataset {dataset.name}",
            "use data with longer histories",
        )
    streams = np.random.SeedSequence(seed).spawn(2)
    split = Split(dataset, seed, users, {})
    for stage, stream in zip(("valid", "test"), streams, strict=True):
        rng = np.random.default_rng(stream)
        if stage == "test" and dataset.negatives is not None:
            negatives = _given_negatives(dataset, dataset.negatives, users)
        else:
            negatives = draw_negatives(dataset.sequences, dataset.n_items, users, rng)
        split.candidates[stage] = _shuffled(split.truth(stage), negatives, rng)
    return split


def _given_negatives(dataset: Dataset, lists: Ragged, users: IntArray) -> IntArray:
    """(n, 99) the source's lists; readers name file and line of what is wrong, this holds for every dataset."""
    out = lists.take(users).padded(N_NEGATIVES)
    ordered = np.sort(out, axis=1)
    keys = np.arange(len(users))[:, None] * dataset.n_items + out
    histories = dataset.sequences.take(users)
    seen = histories.row_of.astype(np.int64) * dataset.n_items + histories.values
    for what, bad in (
        (f"more than {N_NEGATIVES} items", lists.lengths[users] > N_NEGATIVES),
        ("an unknown item", np.any((out < -1) | (out >= dataset.n_items), axis=1)),
        ("an item twice", np.any((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0), axis=1)),
        ("an item of the user's history", np.any(np.isin(keys, seen) & (out >= 0), axis=1)),
    ):
        if bad.any():
            user = dataset.user_ids[int(users[np.argmax(bad)])]
            where, fix = f"dataset {dataset.name}", "draw negatives from items the user never touched"
            raise UserError(f"the negatives given for user {user} hold {what}", where, fix)
    return out


def draw_negatives(histories: Ragged, n_items: int, users: IntArray, rng: np.random.Generator) -> IntArray:
    """(n, 99) distinct items outside the histories of these users, uniform; -1 where the catalogue is too small."""
    out = np.full((len(users), N_NEGATIVES), -1, dtype=np.int32)
    unseen = n_items - histories.lengths[users]
    # Rejection needs few rounds only while most items are unseen and far more than 99 of them.
    roomy = unseen >= max(3 * N_NEGATIVES, n_items // 2)
    for start in range(0, len(users), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(users)))
        rows = rows[roomy[rows]]
        if len(rows):
            out[rows] = _reject(histories.take(users[rows]), n_items, rng)
    everything = np.arange(n_items, dtype=np.int32)
    for row in np.flatnonzero(~roomy):
        pool = np.setdiff1d(everything, histories[users[row]])
        drawn = rng.choice(pool, size=min(N_NEGATIVES, len(pool)), replace=False)
        out[row, : len(drawn)] = drawn
    return out


def _reject(histories: Ragged, n_items: int, rng: np.random.Generator) -> IntArray:
    """(n, 99) by drawing all places, then redrawing seen and repeated ones until none is left."""
    n = len(histories)
    seen = np.sort(histories.row_of.astype(np.int64) * n_items + histories.values)
    seen = np.append(seen, np.iinfo(np.int64).max)  # so that every key has a place, even after no history at all
    out = rng.integers(0, n_items, size=(n, N_NEGATIVES), dtype=np.int32)
    rows = np.arange(n)
    while len(rows):
        block = np.sort(out[rows], axis=1)
        keys = rows[:, None].astype(np.int64) * n_items + block
        bad = seen[np.searchsorted(seen, keys)] == keys
        bad[:, 1:] |= block[:, 1:] == block[:, :-1]
        block[bad] = rng.integers(0, n_items, size=int(bad.sum()), dtype=np.int32)
        out[rows] = block
        rows = rows[bad.any(axis=1)]
    return out


def _shuffled(truth: IntArray, negatives: IntArray, rng: np.random.Generator) -> IntArray:
    """(n, 100) truth and negatives in random order, missing places last."""
    rows = np.concatenate([truth[:, None], negatives], axis=1).astype(np.int32)
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        # Random bits above, the item below: all keys differ, so every machine sorts them into the same order,
        # which an unstable argsort of random numbers with a tie among them does not promise.
        keys = rng.integers(0, 2**32 - 1, part.shape, dtype=np.uint64) << np.uint64(32)
        keys |= part.view(np.uint32)
        keys[part < 0] = 2**64 - 1
        keys.sort(axis=1)
        part[:] = keys.astype(np.uint32).view(np.int32)
    return rows


def item_numbers(split: Split, scheme: Numbering, seed: int = SPLIT_SEED) -> IntArray:
    """(n_items,) the number 1, 2, 3, … under which text models and leak probes know each item.

    appearance: by first appearance over whole histories, held-out items included (the released code).
    train:      by first appearance in training interactions, items never trained on after them in random order.
    random:     a seeded permutation.
    Source: PUBLISHED.md, line 1.
    """
    n_items = split.dataset.n_items
    rng = np.random.default_rng([seed, 1])
    if scheme == "random":
        return rng.permutation(n_items).astype(np.int32) + 1
    if scheme not in ("appearance", "train"):
        raise ValueError(f"unknown numbering {scheme!r}")
    rank = first_appearance((split.dataset.sequences if scheme == "appearance" else split.train).values, n_items)
    unseen = np.flatnonzero(rank == n_items)
    rank[unseen] = n_items - len(unseen) + rng.permutation(len(unseen))
    return rank.astype(np.int32) + 1


def save_split(split: Split, path: Path) -> None:
    """Write a split aside and rename it into place, so that it is complete or absent.

    Raises UserError where it cannot be written.
    """
    aside = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as stream:
            np.savez(
                stream,
                fingerprint=np.array(split.fingerprint),
                seed=np.array(split.seed),
                users=split.users,
                valid=split.candidates["valid"],
                test=split.candidates["test"],
            )
        aside.replace(path)
    except OSError as error:
        fix = "make room there or choose another --out"
        raise UserError(f"the split cannot be written ({error.strerror})", str(path), fix) from error
    finally:
        with suppress(OSError):
            aside.unlink()


def load_split(dataset: Dataset, path: Path) -> Split:
    """Read a split and check that it belongs to this dataset and was not altered.

    Raises UserError where the file is damaged or its fingerprint differs.
    """
    fix = f"remove it or choose another --out (this dataset: {dataset.fingerprint})"
    try:
        with np.load(path, allow_pickle=False) as stored:
            users = stored["users"]
            lists: dict[Stage, IntArray] = {"valid": stored["valid"], "test": stored["test"]}
            split = Split(dataset, int(stored["seed"].item()), users, lists)
            written = str(stored["fingerprint"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"not a readable split ({error})", str(path), fix) from error
    if split.fingerprint != written:
        raise UserError("this split was made for other data or altered by hand", str(path), fix)
    return split
