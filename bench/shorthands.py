"""Flags that set one setting of every text model at once: --backbone, --item-tokens, --templates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from bench.errors import UserError
from bench.models import ModelInfo, Registry

FAMILY = "llm"


def read_shorthands(backbone: str | None, item_tokens: str | None, templates: Path | None) -> dict[str, str]:
    """setting -> text, of the flags that were given; a templates file is taken by its content, which decides results.

    Raises UserError where the file cannot be read.
    """
    given = {"backbone": backbone, "item_tokens": item_tokens}
    if templates is not None:
        try:
            given["templates"] = templates.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            raise UserError(f"cannot be read ({reason})", str(templates), "check --templates") from error
    return {name: text for name, text in given.items() if text is not None}


def spread(
    shorthands: Mapping[str, str], overrides: Mapping[str, Mapping[str, str]], registry: Registry
) -> dict[str, dict[str, str]]:
    """The overrides with each shorthand for every text model that has the setting.

    `--set` goes before. A model that is a variant by that very setting keeps its own value.
    """
    found = {name: dict(settings) for name, settings in overrides.items()}
    for info in registry.models.values():
        for name, text in shorthands.items():
            if info.family == FAMILY and _takes(info, name):
                found.setdefault(info.name, {}).setdefault(name, text)
    return found


def _takes(info: ModelInfo, name: str) -> bool:
    own = {field.name: field.default for field in fields(info.settings)}
    return name in own and not (name == "item_tokens" and own[name] != "sentencepiece")
