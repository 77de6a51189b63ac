"""The one place that touches RecBole's machinery: aliases, configuration and dataset encoding.

RecBole 1.2.1 was written for numpy 1 and for being the program itself. Here it is a library: its `Config`
must not read our command line nor choose devices, its `Dataset` encodes ids and item features from atomic
files in a folder that is gone afterwards, and `quick_start` (which imports ray) and `Trainer` are never used.
"""

from __future__ import annotations

import importlib
import logging
import random
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.models import Training
from bench.ragged import IntArray

# numpy 2 dropped these names; RecBole's configurator assigns from them when it is constructed.
for _gone, _kept in {"float_": "float64", "complex_": "complex128", "unicode_": "str_", "string_": "bytes_"}.items():
    if not hasattr(np, _gone):
        setattr(np, _gone, getattr(np, _kept))

# Among what it imports is rich, which draws from Python's global generator when loaded.
_state = random.getstate()
from recbole.config import Config  # noqa: E402
from recbole.data.dataset import Dataset as RecBoleDataset  # noqa: E402

random.setstate(_state)

ATTRIBUTE_FIELD = "class"
_NAME = "podium"


class _Config(Config):
    """RecBole's configuration from values alone: no command line, no environment, no device choice."""

    def _load_cmd_line(self) -> dict[str, Any]:
        return {}

    def _init_device(self) -> None:
        self.final_config_dict["single_spec"] = True
        self.final_config_dict["local_rank"] = 0
        self.final_config_dict["device"] = torch.device(self.final_config_dict.pop("podium_device"))


@dataclass(frozen=True, eq=False)
class Encoding:
    """A RecBole dataset and the way between its numbers and ours.

    config, dataset: as RecBole's model constructors take them.
    users: (n_users,) RecBole's number of each of our users; its 0 is padding.
    items: (n_items,) likewise for items.
    """

    config: Config
    dataset: RecBoleDataset
    users: IntArray
    items: IntArray


def configured(network: type, data: Path, values: Mapping[str, Any], device: str) -> Config:
    """RecBole's configuration of a model on the atomic files in the folder `data`.

    values: RecBole parameters, passed as they are.
    """
    settings = dict(
        values,
        data_path=str(data.parent),
        podium_device=device,
        train_neg_sample_args=None,
        show_progress=False,
        save_dataset=False,
    )
    return _Config(model=network, dataset=data.name, config_dict=settings)


def encode(training: Training, network: type, values: Mapping[str, Any], device: str) -> Encoding:
    """Let RecBole read and number the training data for a model.

    values: RecBole parameters (embedding_size, MAX_ITEM_LIST_LENGTH, …), passed as they are.
    """
    has_attributes = training.attributes is not None
    columns: dict[str, list[str]] = {"inter": ["user_id", "item_id"], "user": ["user_id"], "item": ["item_id"]}
    if has_attributes:
        columns["item"].append(ATTRIBUTE_FIELD)
    # RecBole announces every parameter; its loggers are not ours to configure beyond that.
    logging.getLogger("recbole").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="podium-recbole-") as folder:
        _write_atomic(training, Path(folder) / _NAME)
        config = configured(network, Path(folder) / _NAME, {**values, "load_col": columns}, device)
        with warnings.catch_warnings():
            # RecBole calls pandas in ways that pandas 3 will not have; the requirements keep pandas below it.
            warnings.simplefilter("ignore", FutureWarning)
            dataset = RecBoleDataset(config)
        dataset._change_feat_format()  # data frames to tensors, as RecBole's own `build` does before it splits
    to_user, to_item = dataset.field2token_id["user_id"], dataset.field2token_id["item_id"]
    users = np.array([to_user[str(user)] for user in range(training.n_users)], dtype=np.int64)
    items = np.array([to_item[str(item)] for item in range(training.n_items)], dtype=np.int64)
    return Encoding(config, dataset, users, items)


def build(training: Training, network: str, values: Mapping[str, Any], device: str) -> tuple[Any, Encoding]:
    """A network of RecBole (or of ours in its form) on the device, and its encoding.

    network: "module:Class".
    """
    kind = _network_class(network)
    encoding = encode(training, kind, values, device)
    return kind(encoding.config, encoding.dataset).to(device), encoding


def _network_class(network: str) -> Any:
    """The class at "module:Class"; torch's anomaly detection is left as it was.

    RecBole's package of sequential models holds one (SINE) that turns it on for the whole process when it is
    imported, which makes every training step of every model several times slower.
    """
    module, _, name = network.partition(":")
    before = torch.is_anomaly_enabled()
    try:
        return getattr(importlib.import_module(module), name)
    finally:
        torch.autograd.set_detect_anomaly(before)


def _write_atomic(training: Training, folder: Path) -> None:
    """Atomic files of the training interactions and of every user and item, trained on or not."""
    folder.mkdir()
    sequences = training.sequences
    pairs = np.stack([sequences.row_of, sequences.values], axis=1)
    with (folder / f"{_NAME}.inter").open("w", encoding="utf-8") as stream:
        stream.write("user_id:token\titem_id:token\n")
        stream.write("\n".join(f"{user}\t{item}" for user, item in pairs.tolist()))
        stream.write("\n")
    with (folder / f"{_NAME}.user").open("w", encoding="utf-8") as stream:
        stream.write("user_id:token\n")
        stream.writelines(f"{user}\n" for user in range(training.n_users))
    with (folder / f"{_NAME}.item").open("w", encoding="utf-8") as stream:
        attributes = training.attributes
        if attributes is None:
            stream.write("item_id:token\n")
            stream.writelines(f"{item}\n" for item in range(training.n_items))
            return
        stream.write(f"item_id:token\t{ATTRIBUTE_FIELD}:token_seq\n")
        for item in range(training.n_items):
            stream.write(f"{item}\t{' '.join(map(str, attributes[item].tolist()))}\n")
