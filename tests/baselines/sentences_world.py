"""A small world of explained pairs, and explaining models brought to where a test wants them."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.models import Context, Pairs, Training, discover
from bench.protocols import PROTOCOLS
from bench.ragged import Ragged

N_USERS, N_ITEMS = 12, 10
NAMES = ("att2seq", "nrt", "peter")
RATED = ("nrt", "peter")

# Eight sentences to learn by heart: of unlike lengths, with marks, a word twice, one beginning shared.
BY_HEART = (
    "the strings sound bright",
    "the strings sound dull, sadly",
    "great value (for the money)!",
    "it is easy to use and it is light",
    "sturdy",
    "the cable is a bit short, but the plugs are solid",
    "nice case",
    "the tuner is accurate; the screen is easy to read on a dark stage",
)


def pairs_of(texts: tuple[str, ...], *, rated: bool = True, seed: int = 0) -> Pairs:
    """Distinct pairs of user and item, one for each text, rated 1 to 5."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(N_USERS * N_ITEMS)[: len(texts)]
    ratings = rng.integers(1, 6, len(texts)).astype(np.float32) if rated else None
    return Pairs(chosen // N_ITEMS, chosen % N_ITEMS, texts, ratings)


def training_on(train: Pairs, valid: Pairs | None = None) -> Training:
    """Training data that hold nothing but explanations; validated on themselves unless told otherwise."""
    sequences = Ragged.from_rows([[] for _ in range(N_USERS)])
    numbers = np.arange(N_ITEMS)
    explanations = (train, train if valid is None else valid)
    return Training(N_USERS, N_ITEMS, sequences, None, numbers, {}, PROTOCOLS["sound"], explanations=explanations)


def small(name: str, **settings: Any) -> Any:
    """A model that is not fitted; small unless the settings say otherwise."""
    info = discover().get(name)
    sizes = {"embedding": 16, "batch_size": 4, "epochs": 2, "learning_rate": 1e-3}
    sizes |= {"inner": 32} if name == "peter" else {"hidden": 24}
    return info.build(info.settings(**(sizes | settings)))


def fitted(name: str, training: Training, context: Context | None = None, **settings: Any) -> Any:
    """The model of `small` after its fit."""
    model = small(name, **settings)
    model.fit(training, context or Context(0))
    return model


def roughened(model: Any, seed: int = 0, scale: float = 0.3) -> Any:
    """The model with weights far from their start, so that what it says differs from pair to pair."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter += scale * torch.randn(parameter.shape, generator=generator)
    model.network.eval()
    return model


def whole_batch(model: Any, pairs: Pairs) -> Any:
    """All of these pairs as one batch of the model's words."""
    from baselines._explaining.batches import Sentences

    sentences = Sentences.of_pairs(pairs, model.vocabulary, model.settings.words)
    return sentences.batch(np.arange(len(sentences)), "cpu")


def learnt_by_heart(name: str) -> Any:
    """A fit on the eight sentences until they are known."""
    train = pairs_of(BY_HEART)
    settings = {"batch_size": 8, "epochs": 220, "patience": 220, "learning_rate": 1e-2, "clip": 1.0}
    if name != "nrt":
        settings["dropout"] = 0.0
    if name == "peter":
        settings["learning_rate"] = 3e-3
    return fitted(name, training_on(train), **({"embedding": 32} | settings))
