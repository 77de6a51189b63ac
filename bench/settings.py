"""Settings records: presets, per-dataset values and `--set`, checked against the model's dataclass."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, fields
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any, get_args, get_origin, get_type_hints

from bench.errors import UserError
from bench.models import ModelInfo

PRESETS: dict[str, str] = {
    "paper": "the paper's settings, trained to convergence; meant for a GPU",
    "laptop": "small models and budgets for 2 CPU cores: minutes to a few hours a dataset",
    "smoke": "seconds a model: shows that everything runs, its numbers mean nothing",
}


@cache
def preset_table() -> dict[str, dict[str, dict[str, Any]]]:
    """preset -> family, model or "model@dataset" -> setting -> value, from the one file that holds them."""
    return tomllib.loads(files("baselines").joinpath("presets.toml").read_text(encoding="utf-8"))


def resolve(info: ModelInfo, preset: str, dataset: str, overrides: Mapping[str, str] | None = None) -> Any:
    """The settings record of a model: its defaults, then the preset's for its family, for it, for it on this
    dataset, then `--set`.

    overrides: setting -> text as typed. Raises UserError on an unknown setting or a value of the wrong type.
    """
    table = preset_table().get(preset, {})
    values: dict[str, Any] = {}
    for key in (info.family, info.name, f"{info.name}@{dataset}"):
        values.update(table.get(key, {}))
    hints = get_type_hints(info.settings)
    for name in (*values, *(overrides or {})):
        if name not in hints:
            close = get_close_matches(name, hints, n=1, cutoff=0.4)
            known = ", ".join(hints) or "it has none"
            hint = f"did you mean '{close[0]}'?" if close else f"known settings: {known}"
            raise UserError(f"unknown setting '{name}'", f"model {info.name}", hint)
    values = {name: _tuples(value) for name, value in values.items()}
    for name, text in (overrides or {}).items():
        values[name] = parse_value(text, hints[name], f"--set {info.name}.{name}")
    try:
        return info.settings(**values)
    except ValueError as error:
        raise UserError(str(error), f"settings of {info.name}", "change it with --set") from error


def as_dict(settings: Any) -> dict[str, Any]:
    """A settings record as JSON-ready values; `info.settings(**as_dict(s))` gives it back."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(settings).items()}


def documented(settings: type) -> list[tuple[str, Any]]:
    """(name, default) of each setting, for listings."""
    return [(field.name, field.default) for field in fields(settings)]


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def parse_value(text: str, kind: Any, where: str) -> Any:
    """Turn typed text into a value of the annotated type; UserError where it does not fit."""
    if get_origin(kind) is tuple:
        return tuple(parse_value(part, get_args(kind)[0], where) for part in text.split(",") if part)
    if kind is bool:
        if text.lower() in ("true", "yes", "1", "false", "no", "0"):
            return text.lower() in ("true", "yes", "1")
        raise UserError(f"'{text}' is neither true nor false", where, "give true or false")
    if get_origin(kind) is not None and str in map(type, get_args(kind)):
        if text not in get_args(kind):
            raise UserError(f"'{text}' is not a choice", where, f"choose from {', '.join(get_args(kind))}")
        return text
    try:
        return kind(text)
    except (TypeError, ValueError) as error:
        raise UserError(f"'{text}' is not of type {kind.__name__}", where, f"give a {kind.__name__}") from error
