"""The results folder of a dataset: its card, its split, and one folder a preset."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.data.catalog import EXPLANATIONS, find_explanation_file, load_dataset, load_reviews
from bench.data.dataset import Dataset
from bench.errors import UserError
from bench.explanations import (
    MADE,
    Explanations,
    authors_origin,
    load_explanations,
    make_explanations,
    read_authors,
    save_explanations,
)
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
    explanations: have explanation records too: the authors' explanation.json beside sequential.txt, else sentences of
                  the reviews; made once, and anew where that file or the rule has changed. Without any the split
                  says why, and `progress` is told.
    Raises UserError where `out` holds results of other data under the same name, or explanation.json does not fit.
    """
    progress = progress or Progress()
    dataset = load_dataset(name_or_path, data_dir, offline)
    if not keep:
        split = make_split(dataset)
        return _explained(split, None, name_or_path, data_dir, offline, progress) if explanations else split
    folder = out / dataset.name
    make_folder(folder)
    with locked(folder / ".lock", wait=True):
        card = card_path(out, dataset.name)
        check_same_data(card, dataset.name, dataset.fingerprint)
        split = _load_or_make(dataset, folder / "split.npz")
        if explanations:
            split = _explained(split, folder / "explanations.npz", name_or_path, data_dir, offline, progress)
        write_card(DatasetCard.of(split), card)
    return split


def _explained(
    split: Split, path: Path | None, name_or_path: str, data_dir: Path | None, offline: bool, progress: Progress
) -> Split:
    """The split with its explanation records, or with the reason why there are none. path: where they are kept."""
    given = find_explanation_file(name_or_path, data_dir, offline)
    stored = load_explanations(path) if path is not None and path.exists() else None
    if stored is not None and _is_current(stored, given):
        return replace(split, explanations=stored)
    name = split.dataset.name
    if given is not None:
        progress.line(f"reading {given.name} of {name}")
        records = read_authors(given, split.dataset)
    else:
        try:
            reviews = load_reviews(name_or_path, data_dir, offline)
            progress.line(f"taking explanations from the reviews of {name}")
            records = make_explanations(reviews, split.dataset)
        except UserError as error:
            # Of a path only the last part: the reason goes into files that are shared.
            reason = f"{Path(error.where).name}: {error.what}"
            progress.line(f"no explanations: {reason}")
            return replace(split, no_explanations=reason)
    if path is not None:
        save_explanations(records, path)
    return replace(split, explanations=records)


def _is_current(stored: Explanations, given: Path | None) -> bool:
    """Whether stored records are what would be made now; what a file gave stays when the file is gone."""
    if given is not None:
        return stored.origin == authors_origin(given)
    return stored.origin == MADE or stored.origin.startswith(EXPLANATIONS)


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
