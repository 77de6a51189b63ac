"""A generated shop with the traits that models live on: popular items, tastes, habits, and talkative reviews."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from bench.data.amazon import Review
from bench.data.dataset import Dataset, dataset_from_events
from bench.ragged import FloatArray, IntArray, Ragged

SOURCE = "generated demo shop"
DEMO_SEED = 2023
N_USERS = 500
N_ITEMS = 300

_N_BRANDS = 24
_N_NEXT = 3
_P_HABIT = 0.6  # how often the next purchase follows from the last one
_P_TASTE = 0.8  # how often a free choice stays within the user's two favourite categories
_LENGTHS = (5, 40)
_START = 1_356_998_400  # 1 January 2013
_DAY = 86_400

# Category -> what its reviews talk about. Attribute numbers 1.. are the categories in this order, then the brands.
_FEATURES: dict[str, tuple[str, ...]] = {
    "headphones": ("sound", "bass", "cable", "fit", "microphone"),
    "shampoo": ("scent", "lather", "bottle", "ingredients", "texture"),
    "backpack": ("zipper", "straps", "pockets", "fabric", "size"),
    "coffee maker": ("filter", "carafe", "taste", "lid", "timer"),
    "board game": ("rules", "artwork", "pieces", "box", "strategy"),
    "running shoe": ("sole", "laces", "cushioning", "colour", "grip"),
    "lamp": ("brightness", "switch", "base", "shade", "bulb"),
    "guitar pedal": ("tone", "knobs", "battery", "volume", "build"),
    "notebook": ("paper", "cover", "binding", "lines", "price"),
    "tent": ("poles", "seams", "door", "floor", "weight"),
}
_ADJECTIVES = (
    ("terrible", "awful", "useless", "horrible"),
    ("poor", "weak", "disappointing", "flimsy"),
    ("okay", "average", "fine", "acceptable"),
    ("good", "nice", "solid", "comfortable"),
    ("excellent", "great", "perfect", "amazing"),
)
_TITLES = ("avoid it", "not worth it", "it is okay", "good buy", "love it")
_PATTERNS = (
    "The {feature} of this {category} {verb} {adjective}.",
    "I find the {feature} {adjective} and the {other} {second}.",
    "For a {category} the {feature} {verb} {adjective}.",
    "The {feature} {verb} {adjective}, but look at the {other} too.",
)


@dataclass(frozen=True, eq=False)
class _Shop:
    """The items: category and brand of each, how popular it is, and what is bought after it.

    category, brand: (N_ITEMS,) 0-based.
    popularity:      (N_ITEMS,) power-law weights.
    quality:         (N_ITEMS,) mean stars.
    following:       (N_ITEMS, 3) usual next purchases, the most usual first.
    """

    category: IntArray
    brand: IntArray
    popularity: FloatArray
    quality: FloatArray
    following: IntArray


def make_demo(name: str = "demo", seed: int = DEMO_SEED) -> Dataset:
    """About 500 users and 300 items with ratings and attributes (category, brand); the same seed, the same data.

    The interactions are those of `demo_reviews(seed)`. It stands in for real data where there is no network, and
    no published number can be compared with it.
    """
    reviews = list(demo_reviews(seed))
    users: dict[str, int] = {}
    items: dict[str, int] = {}
    dataset = dataset_from_events(
        name,
        SOURCE,
        np.array([users.setdefault(review.user, len(users)) for review in reviews], dtype=np.int32),
        np.array([items.setdefault(review.item, len(items)) for review in reviews], dtype=np.int32),
        list(users),
        list(items),
        times=np.array([review.time for review in reviews]),
        ratings=np.array([review.rating for review in reviews], dtype=np.float32),
    )
    shop = _make_shop(_streams(seed)[0])
    places = [int(item.removeprefix("item-")) for item in dataset.item_ids]
    rows = [[int(shop.category[i]) + 1, len(_FEATURES) + int(shop.brand[i]) + 1] for i in places]
    return replace(dataset, attributes=Ragged.from_rows(rows))


def demo_reviews(seed: int = DEMO_SEED) -> Iterator[Review]:
    """One review for each interaction of `make_demo(seed=seed)`, user by user, each user's oldest first."""
    shop_stream, choice_stream, text_stream = _streams(seed)
    shop = _make_shop(shop_stream)
    line = 0
    for user in range(N_USERS):
        history = _history(shop, choice_stream)
        bias = choice_stream.normal(0.0, 0.5)
        day = int(choice_stream.integers(0, 300))
        for item in history:
            line += 1
            day += int(choice_stream.integers(1, 15))
            rating = int(np.clip(np.rint(shop.quality[item] + bias + choice_stream.normal(0.0, 0.7)), 1, 5))
            text = _text(int(shop.category[item]), item, rating, text_stream)
            time = float(_START + day * _DAY)
            yield Review(f"user-{user:03d}", f"item-{item:03d}", float(rating), time, text, _TITLES[rating - 1], line)


def _streams(seed: int) -> list[np.random.Generator]:
    """Independent streams for items, choices and texts: a new sentence pattern must not move anyone's history."""
    return [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(3)]


def _make_shop(rng: np.random.Generator) -> _Shop:
    category = rng.permutation(np.arange(N_ITEMS) % len(_FEATURES))
    popularity = 1.0 / (1.0 + rng.permutation(N_ITEMS)) ** 0.8
    following = np.empty((N_ITEMS, _N_NEXT), dtype=np.int64)
    for kind in range(len(_FEATURES)):
        # A ring in random order: everything leads somewhere new, so habits can be followed for a whole history.
        ring = rng.permutation(np.flatnonzero(category == kind))
        for step in range(_N_NEXT):
            following[ring, step] = np.roll(ring, -1 - step)
    return _Shop(
        category=category,
        brand=rng.integers(0, _N_BRANDS, N_ITEMS),
        popularity=popularity / popularity.sum(),
        quality=np.clip(rng.normal(3.9, 0.6, N_ITEMS), 1.5, 5.0),
        following=following,
    )


def _history(shop: _Shop, rng: np.random.Generator) -> list[int]:
    """The items one user buys, oldest first, none twice."""
    low, high = _LENGTHS
    length = int(min(high, low + rng.geometric(0.11) - 1))
    tastes = rng.choice(len(_FEATURES), size=2, replace=False)
    in_taste = np.isin(shop.category, tastes)
    seen = np.zeros(N_ITEMS, dtype=bool)
    history: list[int] = []
    while len(history) < length:
        usual = shop.following[history[-1]] if history else np.empty(0, np.int64)
        usual = usual[~seen[usual]]
        if len(usual) and rng.random() < _P_HABIT:
            item = int(usual[min(int(rng.geometric(0.7)) - 1, len(usual) - 1)])
        else:
            weights = shop.popularity * ~seen
            if rng.random() < _P_TASTE:
                weights = weights * in_taste
            item = int(rng.choice(N_ITEMS, p=weights / weights.sum()))
        seen[item] = True
        history.append(item)
    return history


def _text(category: int, item: int, rating: int, rng: np.random.Generator) -> str:
    """A sentence or two; an item is mostly praised or blamed for the same one or two features."""
    kind = list(_FEATURES)[category]
    features = _FEATURES[kind]
    main = item % len(features) if rng.random() < 0.7 else int(rng.integers(len(features)))
    other = (main + int(rng.integers(1, len(features)))) % len(features)
    words = _ADJECTIVES[rating - 1]
    sentence = _PATTERNS[int(rng.integers(len(_PATTERNS)))].format(
        feature=features[main],
        verb="are" if features[main].endswith("s") and features[main] != "bass" else "is",
        other=features[other],
        category=kind,
        adjective=words[int(rng.integers(len(words)))],
        second=words[int(rng.integers(len(words)))],
    )
    if rng.random() < 0.4:
        verdict = "I would buy it again." if rating >= 4 else "I would not buy it again."
        sentence = f"{sentence} {verdict}"
    return sentence
