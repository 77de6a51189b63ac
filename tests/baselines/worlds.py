"""Small worlds whose regularity is known, and models brought into a known state."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from bench.data.dataset import Dataset
from bench.models import Context, Training, discover
from bench.progress import Progress
from bench.protocols import PROTOCOLS
from bench.ragged import Ragged
from bench.runs.execute import training_data
from bench.splits import Split, make_split
from bench.tasks import Queries, TaskName

TASKS: tuple[TaskName, ...] = ("sequential", "topn")


def dataset_of(rows: Iterable[Any], n_items: int, attributes: Ragged | None = None) -> Dataset:
    """A dataset of these item sequences."""
    sequences = Ragged.from_rows(rows)
    ids = [tuple(map(str, range(n))) for n in (len(sequences), n_items)]
    return Dataset("made", "made by a test", *ids, sequences, attributes=attributes)


def rings(n_users: int = 240, n_rings: int = 10, size: int = 12, seed: int = 0) -> Split:
    """Items in rings of `size`; a user walks along one, so the next item follows from the last.

    Attributes: 1 + the ring for every item but the last, which has none; item 0 has a second one.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for ring, start, length in zip(
        rng.integers(0, n_rings, n_users),
        rng.integers(0, size, n_users),
        rng.integers(4, size - 1, n_users),
        strict=True,
    ):
        rows.append(ring * size + (start + np.arange(length)) % size)
    n_items = n_rings * size
    ring_of = [[1 + item // size] for item in range(n_items)]
    ring_of[0], ring_of[-1] = [1, n_rings + 1], []
    return make_split(dataset_of(rows, n_items, Ragged.from_rows(ring_of)))


def blocks(n_users: int = 240, n_blocks: int = 12, size: int = 10, seed: int = 0) -> Split:
    """Items in blocks of `size`; a user touches seven of one, in random order."""
    rng = np.random.default_rng(seed)
    rows = [rng.integers(0, n_blocks) * size + rng.permutation(size)[:7] for _ in range(n_users)]
    return make_split(dataset_of(rows, n_blocks * size))


def training_of(split: Split) -> Training:
    """What a model sees of a split."""
    return training_data(split, TASKS, PROTOCOLS["sound"])


def fitted(name: str, training: Training, context: Context | None = None, **settings: Any) -> Any:
    """A registered model after its fit; small and brief unless the settings say otherwise."""
    info = discover().get(name)
    small = {"hidden_size": 8, "epochs": 1, "batch_size": 64}
    if name in ("sasrec", "sasrec-pairwise", "fdsa", "s3rec", "bert4rec"):
        small |= {"inner_size": 16, "layers": 1}
    if name == "s3rec":
        small |= {"pretrain_epochs": 0}
    model: Any = info.build(info.settings(**(small | settings)))
    model.fit(training, context or Context(0))
    return model


def roughened(model: Any, seed: int = 0) -> Any:
    """The model with weights far from their start, so that scores are of order one and differ; padding stays 0."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
        for part in model.network.modules():
            if isinstance(part, torch.nn.Embedding) and part.padding_idx is not None:
                part.weight[part.padding_idx] = 0
    return model


def pristine(model: Any, training: Training) -> Any:
    """RecBole's own class, built anew, with the model's weights, in evaluation mode."""
    import torch

    from baselines._recbole.bridge import build

    network, _ = build(training, model.settings.network, model.settings.recbole(), "cpu")
    network.load_state_dict(model.network.state_dict())
    if hasattr(network, "train_stage"):
        network.train_stage, network.loss_fct = "finetune", torch.nn.CrossEntropyLoss()
    return network.eval()


def padded_by_hand(rows: Iterable[Any], items: Any, width: int) -> tuple[Any, Any]:
    """Row by row: RecBole's numbers of the last `width` items from the left, then zeros; and the lengths."""
    import torch

    tables, lengths = [], []
    for row in rows:
        numbers = [int(items[item]) for item in row][-width:]
        tables.append(numbers + [0] * (width - len(numbers)))
        lengths.append(len(numbers))
    return torch.tensor(tables), torch.tensor(lengths)


def queries_of(histories: list[list[int]], n_items: int) -> Queries:
    """Next-item queries of the first users."""
    return Queries("sequential", "test", np.arange(len(histories)), Ragged.from_rows(histories), None, n_items)


class Interrupted(Exception):
    """Stands for a kill."""


class Interrupting(Progress):
    """Raises before training step number `at` of all, counted over stages, and keeps the lines it was told."""

    def __init__(self, at: int | None = None) -> None:
        self.at, self.steps, self.lines = at, 0, []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def track(self, steps: Any, total: int, label: str) -> Any:
        for step in steps:
            if self.steps == self.at:
                self.end()
            self.steps += 1
            yield step

    def end(self) -> None:
        raise Interrupted
