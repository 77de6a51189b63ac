"""The results folder of a dataset: its card, its split, and one folder a preset."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.data.catalog import load_dataset, load_reviews
from bench.data.dataset import Dataset
from bench.errors import UserError
from bench.explanations import Explanations, load_explanations, make_explanations, save_explanations
from bench.progress import Progress
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
    name_or_path: str,
    out: Path,
    data_dir: Path | None = None,
    *,
    offline: bool = False,
    keep: bool = True,
    explanations: bool = False,
    progress: Progress | None = None,
) -> Split:
    """Read a dataset and load its split, or make it once; writes the card beside it.

    keep:         False: write nothing.
    explanations: take sentences from its reviews too, once; without reviews there are none, and `progress` is told.
    Raises UserError where `out` holds results of other data under the same name.
    """
    progress = progress or Progress()
    dataset = load_dataset(name_or_path, data_dir, offline)
    if not keep:
        split = make_split(dataset)
        records = _extract(name_or_path, dataset, data_dir, offline, progress) if explanations else None
        return replace(split, explanations=records)
    folder = out / dataset.name
    make_folder(folder)
    with locked(folder / ".lock", wait=True):
        card = card_path(out, dataset.name)
        check_same_data(card, dataset.name, dataset.fingerprint)
        split = _load_or_make(dataset, folder / "split.npz")
        if explanations:
            path = folder / "explanations.npz"
            records = load_explanations(path) if path.exists() else None
            if records is None:
                records = _extract(name_or_path, dataset, data_dir, offline, progress)
                if records is not None:
                    save_explanations(records, path)
            split = replace(split, explanations=records)
        write_card(DatasetCard.of(split), card)
    return split


def _extract(
    name_or_path: str, dataset: Dataset, data_dir: Path | None, offline: bool, progress: Progress
) -> Explanations | None:
    """Sentences from the reviews behind a dataset; None where it has none."""
    try:
        reviews = load_reviews(name_or_path, data_dir, offline)
        progress.line(f"taking explanations from the reviews of {dataset.name}")
        return make_explanations(reviews, dataset)
    except UserError as error:
        progress.line(f"no explanations for {dataset.name}: {error.what}")
        return None


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
