"""results/index.html: every data set and preset with its report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.errors import UserError
from bench.report.files import write_text
from bench.report.page.markup import Child, address, grid, tag
from bench.report.page.write import FILE, document
from bench.runs.plan import DatasetCard, read_card

INDEX = "index.html"


def write_index(out: Path) -> Path:
    """Write index.html over every folder of `out` that holds a data set's results; returns its path.

    A card that cannot be read is said, not hidden; a preset with runs and no report is named without a link.
    """
    rows: list[list[Child]] = []
    for path in sorted(out.glob("*/dataset.json")):
        rows += _rows(path)
    head = tag("header", tag("h1", "Podium: results"))
    names = ("data set", "preset", "users", "items", "interactions", "runs", "report")
    body = (
        grid(names, rows, "Data sets and presets", numbers=(2, 3, 4, 5))
        if rows
        else tag("p", "No results are here yet.", cls="missing")
    )
    write_text(out / INDEX, document("Podium: results", [head, tag("main", body, id="main")]))
    return out / INDEX


def _rows(card_path: Path) -> Iterator[list[Child]]:
    folder = card_path.parent
    try:
        card = read_card(card_path)
    except UserError as error:
        yield [folder.name, "–", "–", "–", "–", "–", error.what]
        return
    presets = sorted(path for path in folder.iterdir() if (path / "runs").is_dir() or _reports(path))
    for preset in presets:
        yield _row(card, preset)
    if not presets:
        yield [*_sizes(card, "–"), "–", "nothing ran yet"]


def _row(card: DatasetCard, preset: Path) -> list[Child]:
    runs = sum(1 for _ in preset.glob("runs/*/record.json"))
    links = [tag("a", path.name, href=address(preset.parent.name, preset.name, path.name)) for path in _reports(preset)]
    shown = [part for at, link in enumerate(links) for part in ((", ", link) if at else (link,))]
    return [*_sizes(card, preset.name), f"{runs:,}", shown or "no report written yet: run with --report-only"]


def _reports(preset: Path) -> list[Path]:
    return sorted(preset.glob(f"{Path(FILE).stem}*.html")) if preset.is_dir() else []


def _sizes(card: DatasetCard, preset: str) -> list[Child]:
    return [card.name, preset, f"{card.users:,}", f"{card.items:,}", f"{card.interactions:,}"]
