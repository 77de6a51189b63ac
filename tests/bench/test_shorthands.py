"""Flags for all text models at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.errors import UserError
from bench.models import ModelInfo, NoSettings, Registry, discover
from bench.options import parse
from bench.shorthands import read_shorthands, spread


@dataclass(frozen=True)
class Text:
    backbone: str = "t5-small"
    item_tokens: str = "sentencepiece"


@dataclass(frozen=True)
class Own(Text):
    item_tokens: str = "independent"


def registry() -> Registry:
    kinds = {"text": ("llm", Text), "own": ("llm", Own), "bare": ("llm", NoSettings), "other": ("sequential", Text)}
    infos = {name: ModelInfo(name, name, family, (), "", settings) for name, (family, settings) in kinds.items()}
    return Registry(infos, {})


def test_each_text_model_with_the_setting_gets_it_unless_it_is_set() -> None:
    given = {"text": {"backbone": "here"}}
    found = spread({"backbone": "scratch:mini", "item_tokens": "independent"}, given, registry())
    assert found == {
        "text": {"backbone": "here", "item_tokens": "independent"},
        "own": {"backbone": "scratch:mini"},
    }
    assert given == {"text": {"backbone": "here"}}


def test_a_variant_by_its_item_tokens_keeps_them() -> None:
    assert "item_tokens" not in spread({"item_tokens": "sentencepiece"}, {}, registry()).get("own", {})


def test_flags_reach_the_registered_text_models() -> None:
    options = parse(["--dataset", "demo", "--backbone", "scratch:mini", "--item-tokens", "independent"])
    found = spread(options.shorthands, options.overrides, discover())
    assert found["pod"] == {"backbone": "scratch:mini", "item_tokens": "independent"}
    assert found["p5-independent"] == {"backbone": "scratch:mini"}
    assert "sasrec" not in found


def test_templates_are_taken_by_content(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text("[sequential]\n", encoding="utf-8")
    assert read_shorthands(None, None, file) == {"templates": "[sequential]\n"}
    with pytest.raises(UserError, match="cannot be read"):
        read_shorthands(None, None, tmp_path / "absent.toml")
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="UTF-8"):
        read_shorthands(None, None, file)


def test_an_unknown_kind_of_item_tokens_is_refused() -> None:
    with pytest.raises(UserError, match="did you mean 'independent'"):
        parse(["--dataset", "demo", "--item-tokens", "independant"])
