"""The generated shop: always the same, the promised size, and worth learning from."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np

from bench.data.demo import DEMO_SEED, demo_reviews, make_demo
from bench.splits import make_split


def test_same_seed_same_data_other_seed_other_data():
    began = time.process_time()
    dataset = make_demo()
    assert time.process_time() - began < 2.0
    assert dataset.fingerprint == make_demo("other name").fingerprint
    assert dataset.fingerprint != make_demo(seed=1).fingerprint
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    make_demo()
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_size_and_shape():
    dataset = make_demo()
    assert dataset.n_users == 500 and 280 <= dataset.n_items <= 300
    lengths = dataset.sequences.lengths
    assert lengths.min() == 5 and lengths.max() == 40
    counts = np.sort(np.bincount(dataset.sequences.values))[::-1]
    assert counts[:30].sum() > 0.2 * counts.sum()  # a tenth of the items, far more than a tenth of the sales
    assert dataset.attributes is not None and set(dataset.attributes.lengths) == {2}
    rows = dataset.attributes.values.reshape(-1, 2)
    assert rows[:, 0].min() == 1 and rows[:, 0].max() == 10 and rows[:, 1].min() > 10
    assert dataset.ratings is not None and set(dataset.ratings) == {1, 2, 3, 4, 5}


def test_reviews_are_the_interactions():
    dataset = make_demo()
    reviews = list(demo_reviews(DEMO_SEED))
    assert len(reviews) == dataset.n_interactions
    assert len({(r.user, r.item) for r in reviews}) == len(reviews)
    pairs = [
        (dataset.user_ids[u], dataset.item_ids[i])
        for u, i in zip(dataset.sequences.row_of, dataset.sequences.values, strict=True)
    ]
    assert [(r.user, r.item) for r in reviews] == pairs
    assert dataset.ratings is not None and [r.rating for r in reviews] == dataset.ratings.tolist()
    assert all(len(r.text.split()) >= 5 and r.summary for r in reviews)
    assert not any("{" in r.text for r in reviews)
    assert len({r.text for r in reviews}) > len(reviews) / 4


def test_words_tell_the_rating_and_the_item():
    praise = Counter(r.rating for r in demo_reviews() if "excellent" in r.text or "perfect" in r.text)
    assert set(praise) == {5.0}
    reviews = list(demo_reviews())
    item, _ = Counter(r.item for r in reviews).most_common(1)[0]
    words = Counter(word for r in reviews if r.item == item for word in set(r.text.split()))
    elsewhere = Counter(word for r in reviews if r.item != item for word in set(r.text.split()))
    total = sum(r.item == item for r in reviews)
    assert any(n > 0.4 * total and elsewhere[word] < 0.1 * len(reviews) for word, n in words.items())


def hits(split, scores_of) -> float:
    """Share of test items among the ten best unseen ones."""
    found = []
    for row, truth in enumerate(split.truth("test")):
        history = split.histories("test")[row]
        scores = scores_of(history).astype(float)
        scores[history] = -1
        found.append(truth in np.argsort(-scores, kind="stable")[:10])
    return float(np.mean(found))


def test_the_last_item_tells_more_than_popularity():
    split = make_split(make_demo())
    n_items = split.dataset.n_items
    popularity = np.bincount(split.train.values, minlength=n_items)
    following = np.zeros((n_items, n_items))
    for user in split.users:
        row = split.train[int(user)]
        np.add.at(following, (row[:-1], row[1:]), 1)
    popular = hits(split, lambda history: popularity)
    habitual = hits(split, lambda history: following[history[-1]] + popularity / 1e6)
    assert habitual > 2 * popular and habitual > 0.3
