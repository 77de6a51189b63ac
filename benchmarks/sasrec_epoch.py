"""What an epoch of SASRec on Beauty costs, ours against RecBole's own trainer.

    python -m benchmarks.sasrec_epoch --data-dir DIR [--share 0.1] [--rounds 2]

Both train the same network (hidden size 64, history length 50, cross-entropy) on the same 131,413 targets, 2,048 a
step, with one thread, by turns in one process. RecBole's side is its dataset with its own augmentation, its data
loader and `Trainer._train_epoch`; its dataset is prepared outside the clock. Importing its sequential models turns
torch's anomaly detection on for the whole process (SINE's module), which a user of RecBole pays for: here it is off.
Every batch of RecBole's has the same shape, so a share of its epoch is scaled up; ours always runs whole.

Bar: ours costs at most 0.4 of RecBole's CPU-seconds, and both give the same scores to 1e-5 from the same weights.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
import tempfile
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from baselines._recbole.bridge import Config, build, configured
from baselines._recbole.sequential import SequentialModel
from baselines.recbole import SasRecSettings
from bench.data.catalog import load_dataset
from bench.efficiency import timed
from bench.models import Context, Training
from bench.protocols import PROTOCOLS
from bench.runs.execute import training_data
from bench.splits import make_split
from engine.randomness import seeded
from engine.training import Budget, Trainer

BAR, TOLERANCE, BATCH = 0.4, 1e-5, 2048
SETTINGS = SasRecSettings(hidden_size=64, max_length=50, loss="CE", batch_size=BATCH)


class Ours:
    """A whole epoch under the suite's loop."""

    def __init__(self, training: Training) -> None:
        self.model, self._training = SequentialModel(SETTINGS), training
        with seeded(0, "cpu"):
            self.model.network, self.model.encoding = build(training, SETTINGS.network, SETTINGS.recbole(), "cpu")
        self.model.prepare(training, Context(0))

    def epoch(self, number: int) -> None:
        budget = Budget(epochs=1, patience=1)
        batches = self.model.epoch(self._training)
        Trainer(self.model.network, batches, self.model.loss, None, budget, Context(number)).run()


class FirstBatches:
    """The first batches of a data loader, in the form that `_train_epoch` walks."""

    def __init__(self, loader: Any, count: int) -> None:
        self.loader, self.count = loader, count

    def __iter__(self) -> Iterator[Any]:
        return islice(self.loader, self.count)


class Theirs:
    """A share of an epoch under RecBole's own trainer; its files go to `folder`."""

    def __init__(self, training: Training, folder: Path, share: float) -> None:
        from recbole.data.dataloader import TrainDataLoader
        from recbole.data.dataset import SequentialDataset
        from recbole.model.sequential_recommender.sasrec import SASRec
        from recbole.trainer.trainer import Trainer as RecBoleTrainer

        torch.autograd.set_detect_anomaly(False)
        config = recbole_config(training, folder, SASRec)
        dataset = SequentialDataset(config)
        dataset._change_feat_format()  # this is where RecBole augments: one row for each prefix
        self.rows = len(dataset)
        loader = TrainDataLoader(config, dataset, None, shuffle=True)
        self._batches = FirstBatches(loader, max(1, round(len(loader) * share)))
        self.scale = len(loader) / self._batches.count
        self.network = SASRec(config, dataset)
        self.dataset = dataset
        with contextlib.chdir(folder):  # it opens a TensorBoard log where it stands
            self._trainer = RecBoleTrainer(config, self.network)

    def epoch(self, number: int) -> None:
        self._trainer._train_epoch(self._batches, number)


def recbole_config(training: Training, folder: Path, network: type) -> Config:
    """RecBole's configuration of the same training, with atomic files in `folder` whose times are positions."""
    data = folder / "timed"
    data.mkdir()
    sequences = training.sequences
    with (data / "timed.inter").open("w", encoding="ascii") as stream:
        stream.write("user_id:token\titem_id:token\ttimestamp:float\n")
        for time, (user, item) in enumerate(zip(sequences.row_of.tolist(), sequences.values.tolist(), strict=True)):
            stream.write(f"{user}\t{item}\t{time}\n")
    with (data / "timed.item").open("w", encoding="ascii") as stream:
        stream.write("item_id:token\n")
        stream.writelines(f"{item}\n" for item in range(training.n_items))
    values = dict(
        SETTINGS.recbole(),
        load_col={"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id"]},
        train_batch_size=BATCH,
        learning_rate=SETTINGS.learning_rate,
        checkpoint_dir=str(folder),
    )
    return configured(network, data, values, "cpu")


def scores_differ(ours: Ours, theirs: Theirs, training: Training, users: int = 1024, chunk: int = 64) -> float:
    """The largest difference between the scores that both give from our weights, for users of all history lengths.

    Ours come from rows of like length, trimmed; RecBole's from rows padded to the full length.
    """
    queries = training.validation["sequential"].queries
    by_length = np.argsort(queries.histories.lengths, kind="stable")
    queries = queries.take(by_length[np.linspace(0, len(by_length) - 1, users).astype(int)])
    theirs.network.load_state_dict(ours.model.network.state_dict())
    theirs.network.eval()
    number = theirs.dataset.field2token_id["item_id"]
    items = np.array([number[str(item)] for item in range(training.n_items)])
    worst = 0.0
    for _, part in queries.chunks(chunk):
        lengths = np.minimum(part.histories.lengths, SETTINGS.max_length)
        table = np.zeros((len(part), SETTINGS.max_length), np.int64)
        for row, length in enumerate(lengths):
            table[row, :length] = items[part.histories[row][-length:]]
        with torch.no_grad():
            fields = {"item_id_list": torch.from_numpy(table), "item_length": torch.from_numpy(lengths)}
            found = theirs.network.full_sort_predict(fields).numpy()[:, items]
        worst = max(worst, float(np.abs(ours.model.scores(part) - found).max()))
    return worst


def main() -> int:
    """Print both costs, their ratio and the verdict; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--share", type=float, default=1.0, help="how much of RecBole's epoch to run")
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", FutureWarning)
    logging.getLogger().setLevel(logging.WARNING)
    split = make_split(load_dataset("beauty", args.data_dir))
    training = training_data(split, ("sequential",), PROTOCOLS["sound"])
    with tempfile.TemporaryDirectory(prefix="podium-sasrec-") as folder:
        ours, theirs = Ours(training), Theirs(training, Path(folder), args.share)
        targets = int(np.maximum(training.sequences.lengths - 1, 0).sum())
        if theirs.rows != targets:
            raise RuntimeError(f"RecBole trains on {theirs.rows} targets, we on {targets}")
        cost: dict[str, list[float]] = {"ours": [], "RecBole": []}
        for number in range(1, args.rounds + 1):
            for name, side, scale in (("ours", ours, 1.0), ("RecBole", theirs, theirs.scale)):
                with timed() as spent:
                    side.epoch(number)
                cost[name].append(spent.cpu * scale)
                print(f"round {number}  {name:<8}{cost[name][-1]:>8.1f} CPU-seconds an epoch", flush=True)
        difference = scores_differ(ours, theirs, training)
    ratio = median(cost["ours"]) / median(cost["RecBole"])
    met = ratio <= BAR and difference <= TOLERANCE
    print(f"{targets:,} targets; medians {median(cost['ours']):.1f} and {median(cost['RecBole']):.1f} CPU-seconds")
    print(f"ratio {ratio:.3f} (bar {BAR}), largest difference of scores {difference:.1e} (bar {TOLERANCE:.0e})")
    print("met" if met else "MISSED")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
