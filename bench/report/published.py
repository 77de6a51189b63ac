"""The paper's printed figures, by table, dataset, model and metric."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

OURS = "pod"


@cache
def _content() -> dict[str, Any]:
    return tomllib.loads(files("bench.report").joinpath("published.toml").read_text(encoding="utf-8"))


def paper_value(number: str, dataset: str, model: str, metric: str) -> float | None:
    """The figure that table `number` of the paper prints; None where it prints none.

    model: the suite's name; "dataset" for the sizes in Table 1. metric: a column of that table.
    """
    table = _content()["tables"].get(number, {})
    row = table.get(dataset, {}).get(model)
    if row is None or metric not in table["columns"]:
        return None
    return row[table["columns"].index(metric)]


def paper_has(number: str, dataset: str) -> bool:
    """Whether table `number` of the paper is about this dataset."""
    return dataset in _content()["tables"].get(number, {})


def paper_lines(number: str, dataset: str) -> list[dict[str, Any]]:
    """The printed lines of a table whose columns are not ours, as the file has them; none for other datasets."""
    return _content()["lines"].get(number, {}).get(dataset, [])


def paper_title(model: str) -> str | None:
    """How the paper calls a model; None where it does not know it."""
    return _content()["titles"].get(model)


def improvement(ours: float | None, baselines: list[float]) -> float | None:
    """By how many percent our value exceeds the best baseline; None without either, or where that is 0."""
    best = max(baselines, default=0.0)
    return None if ours is None or not best else 100.0 * (ours - best) / best
