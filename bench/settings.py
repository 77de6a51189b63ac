"""Settings records: presets, per-dataset values and `--set`, checked against the model's dataclass."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, fields
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from bench.errors import UserError
from bench.models import ModelInfo

PRESETS: dict[str, str] = {
    "paper": "the paper's settings, trained to convergence; meant for a GPU",
    "laptop": "small models and budgets for 2 CPU cores: minutes to a few hours a dataset",
    "smoke": "seconds a model: shows that everything runs, its numbers mean nothing",
}

_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")
_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a finite number",
    bool: "true or false",
    str: "text",
    tuple: "a list",
}


@cache
def preset_table() -> dict[str, dict[str, dict[str, Any]]]:
    """preset -> family or model, alone or "@dataset" -> setting -> value, from the one file that holds them."""
    return tomllib.loads(files("baselines").joinpath("presets.toml").read_text(encoding="utf-8"))


def resolve(
    info: ModelInfo, preset: str, dataset: str, overrides: Mapping[str, str] | None = None, table: str = ""
) -> Any:
    """The settings record of a model: its defaults, then the preset's for its family, for the model whose fits it
    shares, for it, each also on this dataset, then `--set`.

    overrides: setting -> text as typed; table: "6:" where they were typed for Table 6 alone.
    Raises UserError on an unknown setting or a value of the wrong type.
    """
    presets = preset_table().get(preset, {})
    values: dict[str, Any] = {}
    families = (info.family, f"{info.family}@{dataset}")
    # A model that shares the fits of another has what is said of that one, or it would have fits of its own.
    shared = (info.fits, f"{info.fits}@{dataset}") if info.fits else ()
    for key in (*families, *shared, info.name, f"{info.name}@{dataset}"):
        for name, value in presets.get(key, {}).items():
            if key in families and name not in [field.name for field in fields(info.settings)]:
                continue  # a model of that family from elsewhere need not have the same settings
            where = f"presets.toml [{preset}.{key}] {name}"
            values[name] = conform(value, _kind_of(info.settings, name, where), where)
    for name, text in (overrides or {}).items():
        where = f"--set {table}{info.name}.{name}"
        values[name] = parse_value(text, _kind_of(info.settings, name, where), where)
    return _build(info.settings, values, f"settings of {info.name}")


def as_dict(settings: Any) -> dict[str, Any]:
    """A settings record as JSON-ready values; `from_dict(type(settings), …)` gives it back."""
    return {name: _plain(value) for name, value in asdict(settings).items()}


def from_dict(kind: type, values: Mapping[str, Any]) -> Any:
    """The settings record of a dataclass from `as_dict`'s values; UserError where name or type do not fit."""
    where = f"settings of {kind.__name__}"
    read = {name: conform(value, _kind_of(kind, name, where), f"{where}, {name}") for name, value in values.items()}
    return _build(kind, read, where)


def documented(settings: type) -> list[tuple[str, Any]]:
    """(name, default) of each setting, for listings."""
    found = []
    for field in fields(settings):
        made = field.default_factory() if field.default_factory is not MISSING else field.default
        found.append((field.name, made))
    return found


def _build(kind: type, values: Mapping[str, Any], where: str) -> Any:
    try:
        return kind(**values)
    except ValueError as error:
        raise UserError(str(error), where, "change it with --set") from error


def _plain(value: Any) -> Any:
    return [_plain(part) for part in value] if isinstance(value, tuple) else value


def _kind_of(settings: type, name: str, where: str) -> Any:
    """The annotated type of a setting; UserError, with a suggestion, where there is none of that name."""
    names = [field.name for field in fields(settings)]
    if name not in names:
        close = get_close_matches(name, names, n=1, cutoff=0.4)
        hint = f"did you mean '{close[0]}'?" if close else f"known settings: {', '.join(names) or 'it has none'}"
        raise UserError(f"unknown setting '{name}'", where, hint)
    return get_type_hints(settings)[name]


def parse_value(text: str, kind: Any, where: str) -> Any:
    """Turn typed text into a value of the annotated type; UserError where it does not fit.

    Parts of a tuple are parted by commas; "none" is None where the type allows it.
    """
    kind, optional = _without_none(kind)
    text = text.strip()
    if optional and text.lower() == "none":
        return None
    if get_origin(kind) is tuple:
        parts = text.split(",") if text else []
        return tuple(parse_value(part, each, where) for part, each in _pair(parts, kind, where))
    if get_origin(kind) is Literal:
        named = {str(choice): choice for choice in get_args(kind)}
        return conform(named.get(text, text), kind, where)
    if kind is bool:
        if text.lower() not in (*_TRUE, *_FALSE):
            raise UserError(f"'{text}' is neither true nor false", where, "give true or false")
        return text.lower() in _TRUE
    if kind in (int, float):
        try:
            return conform(kind(text), kind, where)
        except ValueError as error:
            raise _unfit(text, kind, where) from error
    return conform(text, kind, where)


def conform(value: Any, kind: Any, where: str) -> Any:
    """A value from TOML or JSON in the annotated type: lists become tuples, and whole numbers floats where floats
    are due, so that equal settings have equal records. UserError where it does not fit.
    """
    kind, optional = _without_none(kind)
    if optional and value is None:
        return None
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise _unfit(value, kind, where)
        return tuple(conform(part, each, where) for part, each in _pair(value, kind, where))
    if get_origin(kind) is Literal:
        choices = get_args(kind)
        if not any(value == choice and type(value) is type(choice) for choice in choices):
            raise UserError(f"{value!r} is not a choice", where, f"choose from {', '.join(map(str, choices))}")
        return value
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        raise _unfit(value, kind, where)
    return value


def _without_none(kind: Any) -> tuple[Any, bool]:
    """`X | None` as (X, True), anything else as (itself, False)."""
    if get_origin(kind) not in (Union, UnionType):
        return kind, False
    kinds = [each for each in get_args(kind) if each is not NoneType]
    return (kinds[0], True) if len(kinds) == 1 else (kind, False)


def _pair(parts: Sequence[Any], kind: Any, where: str) -> list[tuple[Any, Any]]:
    """Each part with the type that the tuple's annotation gives it."""
    kinds = get_args(kind)
    if kinds[-1:] == (...,):
        kinds = kinds[:1] * len(parts)
    if len(kinds) != len(parts):
        raise UserError(f"{len(parts)} values, not {len(kinds)}", where, f"give {len(kinds)}, parted by commas")
    return list(zip(parts, kinds, strict=True))


def _unfit(value: Any, kind: Any, where: str) -> UserError:
    name = _WORDS.get(get_origin(kind) or kind, str(kind))
    return UserError(f"{value!r} is not {name}", where, f"give {name}")
