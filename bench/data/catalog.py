"""The door to the data: names people type, where their files are looked for, and what must come out.

Importing this module is cheap, so that listings start at once: readers are imported when data is read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.data.dataset import Dataset
from bench.errors import UserError

if TYPE_CHECKING:
    from bench.data.amazon import Review

Format = Literal["authors", "atomic", "amazon"]

DATA_VARIABLE = "PODIUM_DATA"
_REVIEW_SUFFIXES = (".json", ".json.gz", ".jsonl", ".jsonl.gz")
EXPLANATIONS = "explanation.json"
# Files of the other formats, and Amazon's product files, that a folder may hold beside its reviews.
_NOT_REVIEWS = ("datamaps.json", "item_attributes.json", EXPLANATIONS)
_EXPECTED = "sequential.txt, a .inter file or one review file (.json, .jsonl, .gz or not)"


@dataclass(frozen=True)
class CatalogEntry:
    """A data set known by name.

    name:        what people type, and the folder its results go to.
    title:       how tables call it.
    description: one line for listings.
    statistics:  (users, items, interactions) that reading must give; None where nothing is fixed.
    in_paper:    whether the statistics are those of the paper's Table 1.
    review_file: the file to download or to look for; None where there is none.
    """

    name: str
    title: str
    description: str
    statistics: tuple[int, int, int] | None = None
    in_paper: bool = False
    review_file: str | None = None

    @property
    def paper_statistics(self) -> tuple[int, int, int] | None:
        """(users, items, interactions) as Table 1 of the paper prints them; None where it is not in the paper."""
        return self.statistics if self.in_paper else None


def _amazon(name: str, title: str, file: str, statistics: tuple[int, int, int], in_paper: bool = True) -> CatalogEntry:
    users, items, interactions = statistics
    size = f"{users:,} users, {items:,} items, {interactions:,} reviews"
    which = "one of the paper's three" if in_paper else "small, not in the paper"
    return CatalogEntry(name, title, f"Amazon 2014 5-core, {size}; {which}", statistics, in_paper, file)


_ENTRIES = (
    _amazon("sports", "Sports", "reviews_Sports_and_Outdoors_5.json.gz", (35598, 18357, 296337)),
    _amazon("beauty", "Beauty", "reviews_Beauty_5.json.gz", (22363, 12101, 198502)),
    _amazon("toys", "Toys", "reviews_Toys_and_Games_5.json.gz", (19412, 11924, 167597)),
    _amazon("musical", "Musical Instruments", "reviews_Musical_Instruments_5.json.gz", (1429, 900, 10261), False),
    CatalogEntry(
        "ml-100k",
        "MovieLens 100K",
        "943 users, 1,682 films, 100,000 ratings; shipped with RecBole",
        (943, 1682, 100000),
    ),
    CatalogEntry("demo", "Demo", "generated shop of about 500 users and 300 items; needs no files"),
)
DATASETS: dict[str, CatalogEntry] = {entry.name: entry for entry in _ENTRIES}


@dataclass(frozen=True)
class _Found:
    """Where a data set lies: its format, and the folder (authors) or the file (atomic, amazon)."""

    name: str
    format: Format
    path: Path


def load_dataset(name_or_path: str, data_dir: Path | None = None, offline: bool = False) -> Dataset:
    """Read a data set by its name in the catalogue, or from a folder or review file.

    data_dir: where <name>/ lies, or the files themselves; None: the environment variable PODIUM_DATA.
    offline:  never download.
    A name is looked for in data_dir/<name>/, in data_dir, in the cache, then downloaded. Where a folder holds
    several formats, sequential.txt goes before .inter and that before reviews. A path is named by its folder.
    Raises UserError where nothing is found, does not parse, or differs from the catalogue's statistics.
    """
    if name_or_path == "demo":
        from bench.data.demo import make_demo

        return make_demo()
    data_dir = _data_dir(data_dir)
    entry = DATASETS.get(name_or_path)
    found = _find_named(entry, data_dir, offline) if entry else _find_unnamed(name_or_path, data_dir)
    dataset = _read(found)
    same_name = DATASETS.get(dataset.name)
    if same_name is not None:
        _check(same_name, dataset, found.path)
    return dataset


def load_reviews(name_or_path: str, data_dir: Path | None = None, offline: bool = False) -> Iterator[Review]:
    """The reviews behind a data set, in file order; looked for as `load_dataset` does, but only review files.

    Raises UserError where there are none: sequences alone have no texts.
    """
    from bench.data.amazon import iter_reviews

    if name_or_path == "demo":
        from bench.data.demo import demo_reviews

        return demo_reviews()
    data_dir = _data_dir(data_dir)
    entry = DATASETS.get(name_or_path)
    if entry is not None and entry.review_file is not None:
        return iter_reviews(_find_reviews(entry, entry.review_file, data_dir, offline))
    found = _find_named(entry, data_dir, offline) if entry else _find_unnamed(name_or_path, data_dir)
    folder = found.path if found.path.is_dir() else found.path.parent
    path = found.path if found.format == "amazon" else _review_file(folder, None)
    if path is None:
        raise UserError("has no review texts", str(found.path), "put the review file beside, or leave out explanation")
    return iter_reviews(path)


def find_explanation_file(name_or_path: str, data_dir: Path | None = None, offline: bool = False) -> Path | None:
    """The authors' explanation.json beside the sequential.txt that `load_dataset` reads; None where there is none."""
    if name_or_path == "demo":
        return None
    data_dir = _data_dir(data_dir)
    entry = DATASETS.get(name_or_path)
    found = _find_named(entry, data_dir, offline) if entry else _find_unnamed(name_or_path, data_dir)
    path = found.path / EXPLANATIONS
    return path if found.format == "authors" and path.is_file() else None


def detect_format(folder: Path, review_file: str | None = None) -> tuple[Format, Path] | None:
    """What a folder holds and where: the folder for authors, else the file; None if none of our formats.

    review_file: the only file name to accept as reviews; None: any, if there is just one.
    Raises UserError where the folder cannot be listed or holds several files of a kind and none is called like it.
    """
    names = _listed(folder)
    if "sequential.txt" in names:
        return "authors", folder
    if any(name.endswith(".inter") for name in names):
        from bench.data.atomic import inter_file

        return "atomic", inter_file(folder)
    path = _review_file(folder, review_file)
    return None if path is None else ("amazon", path)


def dataset_name(path: Path) -> str:
    """The name of the data set at a path: that of its folder, in lower case, odd characters turned into '-'."""
    folder = path if path.is_dir() else path.parent
    name = re.sub(r"[^a-z0-9._-]+", "-", folder.resolve().name.lower()).strip("-.")
    return name or "data"


def _data_dir(given: Path | None) -> Path | None:
    """The folder to search; UserError where one was named that is not there."""
    where, chosen = ("--data-dir", str(given)) if given else (DATA_VARIABLE, os.environ.get(DATA_VARIABLE, ""))
    if not chosen:
        return None
    folder = Path(chosen).expanduser()
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder", where, "check the path")
    return folder


def _listed(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError as error:
        what = f"cannot be read ({error.strerror})"
        raise UserError(what, str(folder), "check the path and its permissions") from error


def _review_file(folder: Path, wanted: str | None) -> Path | None:
    names = _listed(folder)
    if wanted is not None:
        return folder / wanted if wanted in names else None
    reviews = [n for n in names if n.endswith(_REVIEW_SUFFIXES) and n not in _NOT_REVIEWS and not n.startswith("meta_")]
    if len(reviews) > 1:
        raise UserError(f"holds several review files ({', '.join(reviews)})", str(folder), "name one of them")
    return folder / reviews[0] if reviews else None


def _find_named(entry: CatalogEntry, data_dir: Path | None, offline: bool) -> _Found:
    """A data set of the catalogue, in the order that `load_dataset` promises."""
    if data_dir is not None:
        known = _in_own_folder(entry, data_dir) or _among_others(entry, data_dir)
        if known is not None:
            return _Found(entry.name, *known)
    if entry.review_file is None:
        from bench.data.atomic import inter_file, recbole_example

        return _Found(entry.name, "atomic", inter_file(recbole_example(entry.name)))
    from bench.data.download import fetch

    return _Found(entry.name, "amazon", fetch(entry.name, entry.review_file, offline))


def _in_own_folder(entry: CatalogEntry, data_dir: Path) -> tuple[Format, Path] | None:
    """What a folder called like the data set holds: inside data_dir, or data_dir itself."""
    for folder in (data_dir / entry.name, data_dir):
        if folder.name == entry.name and folder.is_dir():
            known = detect_format(folder, entry.review_file) or detect_format(folder)
            if known is not None:
                return known
    return None


def _among_others(entry: CatalogEntry, data_dir: Path) -> tuple[Format, Path] | None:
    """Files straight in data_dir: there only their own names, or for sequential.txt none else's folder, tell whose."""
    if entry.in_paper and data_dir.name not in DATASETS and (data_dir / "sequential.txt").is_file():
        return "authors", data_dir
    inter = data_dir / f"{entry.name}.inter"
    if inter.is_file():
        return "atomic", inter
    if entry.review_file is not None and (data_dir / entry.review_file).is_file():
        return "amazon", data_dir / entry.review_file
    return None


def _find_reviews(entry: CatalogEntry, file: str, data_dir: Path | None, offline: bool) -> Path:
    from bench.data.download import fetch

    for folder in (data_dir / entry.name, data_dir) if data_dir else ():
        if (folder / file).is_file():
            return folder / file
    return fetch(entry.name, file, offline)


def _find_unnamed(text: str, data_dir: Path | None) -> _Found:
    """A folder or file that is not in the catalogue: the path itself, else a sub-folder of data_dir."""
    path = Path(text).expanduser()
    inside = data_dir / text if data_dir else None
    if not path.exists() and inside is not None and inside.exists():
        path = inside
    if not path.exists():
        if len(path.parts) > 1 or path.suffix or text.startswith("~"):
            raise UserError("no such file or folder", text, "check the path")
        close = get_close_matches(text.lower(), DATASETS, n=1, cutoff=0.5)
        hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(DATASETS)}, or a path"
        raise UserError(f"unknown dataset '{text}'", "", hint)
    if not path.is_dir():
        return _Found(dataset_name(path), *_file_format(path))
    known = detect_format(path)
    if known is None:
        raise UserError("holds no data in a known format", str(path), f"put there {_EXPECTED}")
    return _Found(dataset_name(path), *known)


def _file_format(path: Path) -> tuple[Format, Path]:
    if path.name == "sequential.txt":
        return "authors", path.parent
    if path.suffix == ".inter":
        return "atomic", path
    if path.name.endswith(_REVIEW_SUFFIXES):
        return "amazon", path
    raise UserError("is not a review file", str(path), f"give {_EXPECTED}, or a folder with one of them")


def _read(found: _Found) -> Dataset:
    if found.format == "authors":
        from bench.data.authors import read_authors_folder

        return read_authors_folder(found.path, found.name)
    if found.format == "atomic":
        from bench.data.atomic import read_atomic_folder

        return read_atomic_folder(found.path.parent, found.name, found.path)
    from bench.data.amazon import read_amazon_reviews

    return read_amazon_reviews(found.path, found.name)


def _check(entry: CatalogEntry, dataset: Dataset, path: Path) -> None:
    """UserError where data of a name in the catalogue is not that data: results would stand in the wrong rows."""
    if entry.name == "demo":
        raise UserError("'demo' is the name of the generated data", str(path), "rename the folder")
    read = (dataset.n_users, dataset.n_items, dataset.n_interactions)
    if entry.statistics is not None and read != entry.statistics:
        source = "Table 1 of the paper" if entry.in_paper else "the catalogue"
        words = ["{:,} users, {:,} items, {:,} interactions".format(*numbers) for numbers in (read, entry.statistics)]
        fix = "check the files; if they are other data on purpose, give the path of a folder with another name"
        raise UserError(f"'{entry.name}' has {words[0]}, but {source} says {words[1]}", str(path), fix)
