"""The results folder of a dataset: its card, its split, and one folder a preset."""

from __future__ import annotations

from pathlib import Path

from bench.data.catalog import load_dataset
from bench.data.dataset import Dataset
from bench.errors import UserError
from bench.runs.lock import locked
from bench.runs.plan import DatasetCard, check_same_data, write_card
from bench.runs.record import whole_or_nothing
from bench.splits import Split, load_split, make_split, save_split


def card_path(out: Path, dataset: str) -> Path:
    """Where the card of a dataset lies."""
    return out / dataset / "dataset.json"


def preset_folder(out: Path, dataset: str, preset: str) -> Path:
    """Where tables and runs of a dataset under a preset lie."""
    return out / dataset / preset


def prepare(
    name_or_path: str, out: Path, data_dir: Path | None = None, *, offline: bool = False, keep: bool = True
) -> Split:
    """Read a dataset and load its split, or make it once; writes the card beside it.

    keep: False: write nothing.
    Raises UserError where `out` holds results of other data under the same name.
    """
    dataset = load_dataset(name_or_path, data_dir, offline)
    if not keep:
        return make_split(dataset)
    folder = out / dataset.name
    make_folder(folder)
    with locked(folder / ".lock", wait=True):
        card = card_path(out, dataset.name)
        check_same_data(card, dataset.name, dataset.fingerprint)
        split = _load_or_make(dataset, folder / "split.npz")
        write_card(DatasetCard.of(split), card)
    return split


def make_folder(folder: Path) -> None:
    """Make a folder and its parents; UserError where that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot be made ({error.strerror})", str(folder), "choose another --out") from error


def _load_or_make(dataset: Dataset, path: Path) -> Split:
    if path.exists():
        return load_split(dataset, path)
    split = make_split(dataset)
    with whole_or_nothing(path.with_name(f".tmp-{path.name}")):
        save_split(split, path)
    return split
