"""Tables and metrics as files, each written aside and renamed into place."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from bench.models import Registry
from bench.report.inert import csv_text
from bench.report.latex import latex_table
from bench.report.shown import current, protocols_served, variant
from bench.report.table import Table, fixed
from bench.report.text_models import FREE_SEARCH_COLUMNS, free_search_rows
from bench.runs.plan import DatasetCard
from bench.runs.record import Record, whole_or_nothing

TABLE_COLUMNS = (
    "table",
    "dataset",
    "preset",
    "protocol",
    "model",
    "title",
    "metric",
    "value",
    "std",
    "n_seeds",
    "n_users",
    "mark",
    "paper",
    "note",
)
METRIC_COLUMNS = ("dataset", "preset", "protocol", "task", "model", "variant", "seed", "metric", "value", "n")


def write_table(table: Table, folder: Path, suffix: str = "") -> list[Path]:
    """Write table<N>.csv and .tex, or those of its name where it has no number; returns their paths."""
    stem = f"table{table.number}" if table.number.isdigit() else table.number
    paths = [folder / f"{stem}{suffix}.{kind}" for kind in ("csv", "tex")]
    write_text(paths[0], csv_lines(TABLE_COLUMNS, table_rows(table)))
    write_text(paths[1], latex_table(table))
    return paths


def table_rows(table: Table) -> Iterator[dict[str, str]]:
    """One row a cell of the table.

    table, dataset, preset, protocol: where it stands. model, title: of its row ("" and a word where it is none).
    metric: its column. value, std: mean and standard deviation over n_seeds runs of n_users users (explanations: pairs)
    each, rounded as printed, empty where missing. mark: best, second or empty. paper: the printed figure. note: the
    row's footnotes, which say why a figure is missing or what stands behind it.
    """
    for panel in table.panels:
        for row in panel.rows:
            note = "; ".join(table.footnotes[number - 1] for number in row.notes)
            for column, cell in zip(table.columns, row.cells, strict=True):
                yield {
                    "table": table.number,
                    "dataset": csv_text(table.dataset),
                    "preset": csv_text(table.preset),
                    "protocol": csv_text(panel.protocol),
                    "model": csv_text("" if row.kind == "size" else row.model),
                    "title": csv_text(row.title),
                    "metric": csv_text(row.model if row.kind == "size" else column),
                    "value": _number(cell.value, cell.decimals(row)),
                    "std": _number(cell.std, cell.decimals(row)),
                    "n_seeds": str(cell.n_seeds or ""),
                    "n_users": str(cell.n_users or ""),
                    "mark": cell.mark,
                    "paper": _number(cell.paper, cell.decimals(row)),
                    "note": csv_text(note),
                }


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else fixed(value, digits).replace(",", "")


def write_metrics(records: Iterable[Record], registry: Registry, card: DatasetCard, path: Path) -> None:
    """Write metrics.csv: every figure of every record, once under each protocol that its run serves."""
    write_text(path, csv_lines(METRIC_COLUMNS, metric_rows(records, registry, card)))


def write_free_search(records: Iterable[Record], registry: Registry, card: DatasetCard, path: Path) -> list[Path]:
    """Write free_search.csv; returns its path, and writes nothing where no record tells of a free search."""
    rows = list(free_search_rows(records, registry, card))
    if not rows and not path.exists():
        return []
    write_text(path, csv_lines(FREE_SEARCH_COLUMNS, rows))
    return [path]


def metric_rows(records: Iterable[Record], registry: Registry, card: DatasetCard) -> Iterator[dict[str, str]]:
    """One row a record, protocol, task and metric; value in full precision, n users (explanations: pairs) behind it.

    variant: the settings that differ from the preset's, "" for none.
    Records of other data, or of another version of model or referee, are left out.
    """
    for record in records:
        if not current(record, registry, card):
            continue
        run = {
            "dataset": csv_text(record.content["dataset"]),
            "preset": csv_text(record.content["preset"]),
            "model": csv_text(record.model),
            "variant": csv_text(variant(record, registry)),
            "seed": str(record.seed),
        }
        for protocol in protocols_served(record.content["identity"]["protocol"]):
            for task, figures in record.metrics.items():
                shared = {**run, "protocol": protocol.name, "task": csv_text(task), "n": str(int(figures["n"]))}
                for metric, value in figures.items():
                    if metric != "n":
                        yield {**shared, "metric": csv_text(metric), "value": repr(value)}


def csv_lines(columns: tuple[str, ...], rows: Iterable[Mapping[str, str]]) -> str:
    """Rows under a head of column names, lines ending in a line feed."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def write_text(path: Path, text: str) -> None:
    """Write a file aside and rename it into place."""
    aside = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    with whole_or_nothing(aside):
        aside.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(text, encoding="utf-8", newline="")
        aside.replace(path)
