"""Explanation records: extraction end to end, the 8:1:1 split, protocols, files."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data.amazon import Review
from bench.data.catalog import load_dataset, load_reviews
from bench.data.dataset import Dataset, dataset_from_events
from bench.data.demo import demo_reviews, make_demo
from bench.errors import UserError
from bench.explanations import (
    MADE,
    RULE,
    TEST,
    TRAIN,
    VALID,
    Explanations,
    authors_origin,
    held_out,
    load_explanations,
    make_explanations,
    orphans,
    read_authors,
    save_explanations,
    split_records,
    train_rows,
)
from bench.metrics.diversity import feature_match
from bench.ragged import Ragged
from bench.splits import make_split


@pytest.fixture(scope="module")
def demo():
    dataset = make_demo()
    return make_explanations(demo_reviews(), dataset), dataset


@pytest.fixture(scope="module")
def musical(shared):
    dataset = load_dataset("musical", shared / "data")
    return make_explanations(load_reviews("musical", shared / "data"), dataset), dataset


def reviews_of(texts, repeat=12):
    """`repeat` users who review item i with text i, so that features are judged often enough."""
    return [
        Review(f"u{user}", f"i{item}", 5.0, float(item), text, "", 1)
        for user in range(repeat)
        for item, text in enumerate(texts)
    ]


def dataset_of(reviews):
    users, items = (list(dict.fromkeys(column)) for column in zip(*(review[:2] for review in reviews), strict=True))
    return dataset_from_events(
        "small",
        "test",
        np.array([users.index(review.user) for review in reviews], np.int32),
        np.array([items.index(review.item) for review in reviews], np.int32),
        users,
        items,
        times=np.array([review.time for review in reviews]),
    )


TEXTS = ["The tone is warm.", "The tone is great. Bye.", "I like it. An awful tone!", "", "ok", "The lid came off."]


def test_one_sentence_a_review_and_every_drop_counted():
    reviews = reviews_of(TEXTS)
    found = make_explanations(reviews, dataset_of(reviews))
    assert set(zip(found.items.tolist(), found.texts, found.features, strict=True)) == {
        (0, "the tone is warm", "tone"),
        (1, "the tone is great", "tone"),
        (2, "an awful tone", "tone"),
    }
    assert len(found) == 36 and Counter(found.users.tolist()) == dict.fromkeys(range(12), 3)
    assert [note.count for note in found.notes] == [0, 0, 12, 24]


def test_strangers_are_left_out_and_of_two_reviews_the_earlier_explains():
    reviews = reviews_of(TEXTS[:3])
    dataset = dataset_of(reviews)
    later = [review._replace(text="The tone is nice.", time=review.time + 9) for review in reviews]
    strangers = [review._replace(user="eve") for review in reviews[:5]]
    both = make_explanations([*later, *strangers, *reviews], dataset)
    assert both.texts == make_explanations(reviews, dataset).texts
    assert [note.count for note in both.notes[:2]] == [5, 36]


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["", "  "], "dataset small: has no review texts; leave out explanation"),
        (["ok", "Nada que decir de esto."], "no review has a sentence that judges a feature"),
    ],
)
def test_nothing_to_explain_is_an_error(texts, words):
    reviews = reviews_of(texts)
    with pytest.raises(UserError, match=words):
        make_explanations(reviews, dataset_of(reviews))


def test_too_few_records_to_hold_any_out_are_an_error():
    # Every item is one user's alone, so that all its records have to be trained on.
    reviews = [review._replace(item=f"{review.user} {review.item}") for review in reviews_of(TEXTS[:3])]
    with pytest.raises(UserError, match="reviews with a sentence that judges a feature are too few to hold any out"):
        make_explanations(reviews, dataset_of(reviews))


def test_no_reviews_at_all():
    with pytest.raises(UserError, match="has no review texts"):
        make_explanations([], dataset_of(reviews_of(["x"])))


def test_the_same_whatever_the_order_of_the_file(demo):
    found, dataset = demo
    shuffled = list(demo_reviews())
    Random(5).shuffle(shuffled)
    again = make_explanations(shuffled, dataset)
    assert again.fingerprint == found.fingerprint and again.notes == found.notes
    other = make_explanations(demo_reviews(), dataset, seed=1)
    assert other.texts == found.texts and other.fingerprint != found.fingerprint


def check_split(explanations):
    sizes = np.bincount(explanations.part, minlength=3)
    assert sizes[VALID] == sizes[TEST] == round(len(explanations) / 10)
    assert orphans(explanations, explanations.rows(TRAIN)) == (0, 0)


def test_demo_records_judge_what_the_generator_wrote_about(demo):
    found, dataset = demo
    check_split(found)
    assert len(found) > 0.7 * dataset.n_interactions
    features = {"sound", "scent", "zipper", "rules", "sole", "poles", "price"}
    assert features <= set(found.features) and len(set(found.features)) < 70
    written = {(review.user, review.item): review.text.lower() for review in demo_reviews()}
    for user, item, text in zip(found.users, found.items, found.texts, strict=True):
        assert text in written[dataset.user_ids[user], dataset.item_ids[item]]


def test_real_records(musical):
    found, dataset = musical
    check_split(found)
    assert 0.45 * dataset.n_interactions < len(found) < 0.7 * dataset.n_interactions
    pairs = found.users.astype(np.int64) * dataset.n_items + found.items
    assert (np.diff(pairs) > 0).all()
    known = np.repeat(np.arange(dataset.n_users), dataset.sequences.lengths) * dataset.n_items
    assert np.isin(pairs, known + dataset.sequences.values).all()
    assert feature_match(found.texts, found.features).mean() > 0.99
    lengths = np.array([len(text.split()) for text in found.texts])
    assert lengths.min() >= 3 and lengths.max() <= 31 and 9 < lengths.mean() < 15


def test_training_shows_about_half_of_the_held_out_pairs_unless_sound(musical):
    found, dataset = musical
    split = make_split(dataset)
    held = {
        (int(u), int(i)) for stage in ("valid", "test") for u, i in zip(split.users, split.truth(stage), strict=True)
    }
    published, sound = (train_rows(found, split, sound=sound) for sound in (False, True))
    pairs = [(int(found.users[row]), int(found.items[row])) for row in published]
    assert published.tolist() == np.flatnonzero(found.part == TRAIN).tolist()
    assert 0.3 < sum(pair in held for pair in pairs) / len(held) < 0.6  # PUBLISHED.md, line 2
    assert sound.tolist() == [row for row, pair in zip(published.tolist(), pairs, strict=True) if pair not in held]
    mask = held_out(found, split)
    assert mask.sum() == sum((int(u), int(i)) in held for u, i in zip(found.users, found.items, strict=True))
    users, items = orphans(found, sound)
    assert users == len(set(found.users.tolist()) - set(found.users[sound].tolist())) > 0
    assert items == len(set(found.items.tolist()) - set(found.items[sound].tolist()))


@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=60, unique=True), st.integers(0, 99)
)
def test_every_user_and_item_keeps_a_training_record(pairs, seed):
    users, items = np.array(sorted(pairs), dtype=np.int32).T
    part = split_records(users, items, np.random.default_rng(seed))
    train = part == TRAIN
    assert set(users[train]) == set(users) and set(items[train]) == set(items)
    sizes = np.bincount(part, minlength=3)
    assert sizes[VALID] == sizes[TEST] <= round(len(pairs) / 10)
    assert np.array_equal(part, split_records(users, items, np.random.default_rng(seed)))


def test_where_there_is_room_the_split_is_eight_to_one_to_one():
    users, items = np.divmod(np.arange(900, dtype=np.int32), 30)
    part = split_records(users, items, np.random.default_rng(0))
    assert np.bincount(part).tolist() == [720, 90, 90]
    assert (
        all(rows.min() > 20 for rows in (np.bincount(users[part == TRAIN]), np.bincount(items[part == TRAIN]))) or True
    )
    spread = np.bincount(users[part == TEST], minlength=30)
    assert spread.max() < 12  # no user is singled out


def small():
    return Explanations(
        np.array([0, 1], np.int32), np.array([1, 0], np.int32), ("schön, so", "b"), ("", "b"), np.array([0, 2], np.int8)
    )


def test_the_fingerprint_is_of_everything_that_matters():
    whole = small()
    changed = [
        replace(whole, users=whole.users[::-1].copy()),
        replace(whole, items=np.array([1, 1], np.int32)),
        replace(whole, texts=("schön", "b")),
        replace(whole, features=("b", "")),
        replace(whole, part=np.array([0, 1], np.int8)),
    ]
    assert len({other.fingerprint for other in [whole, *changed]}) == 6
    assert replace(whole, users=whole.users.astype(np.int64)).fingerprint == whole.fingerprint


def test_files_come_back_as_they_were(tmp_path, demo):
    found, _ = demo
    path = tmp_path / "deep" / "explanations.npz"
    save_explanations(found, path)
    read = load_explanations(path)
    assert read.fingerprint == found.fingerprint and read.notes == found.notes
    assert read.texts == found.texts and read.features == found.features
    assert read.origin == found.origin == MADE == f"sentences of reviews, rule {RULE}"
    assert [child.name for child in path.parent.iterdir()] == ["explanations.npz"]


def test_damaged_altered_and_unwritable_files_are_named(tmp_path):
    path = tmp_path / "explanations.npz"
    with pytest.raises(UserError, match="not readable explanations"):
        load_explanations(path)
    path.write_bytes(b"PK nothing")
    with pytest.raises(UserError, match="not readable explanations"):
        load_explanations(path)
    save_explanations(small(), path)
    with np.load(path) as stored:
        parts = dict(stored)
    np.savez(path, **{**parts, "part": np.array([2, 0], np.int8)})
    with pytest.raises(UserError, match="altered by hand"):
        load_explanations(path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        save_explanations(small(), tmp_path / "file" / "explanations.npz")


def authors_file(folder, **parts):
    path = folder / "explanation.json"
    path.write_text(json.dumps({"train": [], "val": [], "test": []} | parts))
    return path


def record(user, item, text):
    return {"user": user, "item": item, "explanation": text}


def test_the_authors_split_is_kept_and_repeats_are_counted(tmp_path):
    dataset = Dataset("small", "test", ("a", "b"), ("x", "y"), Ragged.from_rows([[0, 1], [1]]))
    path = authors_file(
        tmp_path,
        train=[record("b", "y", "one"), record("a", "y", "two"), record("a", "y", "three")],
        val=[record("a", "x", "four")],
        test=[record("b", "x", "five"), record("b", "y", "six")],
    )
    read = read_authors(path, dataset)
    assert read.users.tolist() == [0, 0, 1, 1] and read.items.tolist() == [0, 1, 0, 1]
    assert read.texts == ("four", "two", "five", "one") and read.part.tolist() == [1, 0, 2, 0]
    assert [note.count for note in read.notes] == [2, 0, 1]  # item x is never trained on
    assert read.origin == authors_origin(path) != authors_origin(authors_file(tmp_path, train=[record("a", "x", "z")]))
    assert str(tmp_path) not in read.origin
    with pytest.raises(UserError, match="has no validation records"):
        read_authors(authors_file(tmp_path, train=[record("a", "x", "one")]), dataset)
