"""Settings: where values come from, what is refused, and the way through JSON and back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bench.settings as settings
from bench.data.catalog import DATASETS
from bench.errors import UserError
from bench.models import ModelInfo, NoSettings, discover
from bench.settings import PRESETS, as_dict, conform, documented, from_dict, parse_value, preset_table, resolve


@dataclass(frozen=True)
class Sizes:
    epochs: int = 3
    rate: float = 0.1
    warm: bool = False
    loss: Literal["CE", "BPR"] = "CE"
    levels: tuple[int, ...] = (1, 2)
    pair: tuple[float, float] = (0.0, 1.0)
    cap: int | None = None
    label: str = ""
    bits: Literal[8, 16] = 8
    extra: tuple[str, ...] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError("epochs must be at least 1")


INFO = ModelInfo("sizes", "Sizes", "toy", ("sequential",), "nowhere:Sizes", Sizes)


@pytest.fixture
def presets(monkeypatch):
    table: dict[str, Any] = {
        "laptop": {"toy": {"epochs": 5, "rate": 1}, "sizes": {"epochs": 7}, "sizes@beauty": {"levels": [4]}}
    }
    monkeypatch.setattr(settings, "preset_table", lambda: table)
    return table


def test_later_sources_win(presets):
    assert resolve(INFO, "paper", "beauty") == Sizes()
    assert resolve(INFO, "laptop", "toys") == Sizes(epochs=7, rate=1.0)
    assert resolve(INFO, "laptop", "beauty") == Sizes(epochs=7, rate=1.0, levels=(4,))
    assert resolve(INFO, "laptop", "beauty", {"epochs": "9", "levels": ""}).epochs == 9


def test_equal_settings_have_equal_records(presets):
    # 1 in the table and 1.0 typed are one setting: their runs must have one key.
    typed = resolve(INFO, "paper", "toys", {"rate": "1", "epochs": "7"})
    assert json.dumps(as_dict(typed)) == json.dumps(as_dict(resolve(INFO, "laptop", "toys")))


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("epochs", " 12 ", 12),
        ("rate", "1e-3", 0.001),
        ("rate", "2", 2.0),
        ("warm", "Yes", True),
        ("warm", "0", False),
        ("loss", "BPR", "BPR"),
        ("levels", "3,4,5", (3, 4, 5)),
        ("levels", "", ()),
        ("pair", "0.5, 2", (0.5, 2.0)),
        ("cap", "none", None),
        ("cap", "8", 8),
        ("label", "none", "none"),
        ("bits", "16", 16),
        ("extra", "a,b", ("a", "b")),
    ],
)
def test_typed_values(name, text, value):
    found = getattr(resolve(INFO, "paper", "beauty", {name: text}), name)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("epoch", "3", "--set sizes.epoch: unknown setting 'epoch'; did you mean 'epochs'?"),
        ("zzz", "3", "known settings: epochs, rate"),
        ("epochs", "3.5", "--set sizes.epochs: '3.5' is not a whole number"),
        ("epochs", "0", "settings of sizes: epochs must be at least 1"),
        ("epochs", "none", "is not a whole number"),
        ("rate", "fast", "'fast' is not a finite number"),
        ("rate", "nan", "nan is not a finite number"),
        ("warm", "maybe", "neither true nor false"),
        ("loss", "MSE", "'MSE' is not a choice; choose from CE, BPR"),
        ("bits", "32", "choose from 8, 16"),
        ("levels", "1,,2", "'' is not a whole number"),
        ("pair", "1", "1 values, not 2"),
        ("cap", "x", "'x' is not a whole number"),
    ],
)
def test_mistakes_are_one_line_that_names_the_option(name, text, words):
    with pytest.raises(UserError) as caught:
        resolve(INFO, "paper", "beauty", {name: text})
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"epochs": 2.0}, "2.0 is not a whole number"),
        ({"epochs": True}, "True is not a whole number"),
        ({"warm": 1}, "1 is not true or false"),
        ({"rate": "0.1"}, "'0.1' is not a finite number"),
        ({"levels": 3}, "3 is not a list"),
        ({"levels": [1, "2"]}, "'2' is not a whole number"),
        ({"loss": "MSE"}, "choose from CE, BPR"),
        ({"label": 3}, "3 is not text"),
        ({"hidden": 3}, "unknown setting 'hidden'"),
    ],
)
def test_a_wrong_preset_is_told_with_its_place(presets, values, words):
    presets["laptop"]["sizes"] = values
    with pytest.raises(UserError) as caught:
        resolve(INFO, "laptop", "toys")
    assert words in str(caught.value) and "presets.toml [laptop.sizes]" in str(caught.value)


def test_a_model_without_settings_says_so():
    info = ModelInfo("bare", "Bare", "toy", ("topn",), "nowhere:Bare")
    assert resolve(info, "paper", "beauty") == NoSettings()
    with pytest.raises(UserError, match="known settings: it has none"):
        resolve(info, "paper", "beauty", {"x": "1"})


@given(
    st.builds(
        Sizes,
        epochs=st.integers(1, 9),
        rate=st.floats(allow_nan=False, allow_infinity=False),
        levels=st.lists(st.integers()).map(tuple),
        pair=st.tuples(st.floats(0, 1), st.floats(0, 1)),
        cap=st.none() | st.integers(),
        extra=st.lists(st.text()).map(tuple),
    )
)
def test_through_json_and_back(record):
    assert from_dict(Sizes, json.loads(json.dumps(as_dict(record)))) == record


def test_from_dict_refuses_what_resolve_refuses():
    for values, words in (
        ({"epoch": 3}, "did you mean"),
        ({"epochs": 0}, "at least 1"),
        ({"rate": None}, "None is not"),
    ):
        with pytest.raises(UserError, match=words):
            from_dict(Sizes, values)


def test_listings_show_defaults():
    assert documented(NoSettings) == []
    shown = dict(documented(Sizes))
    assert shown["levels"] == (1, 2) and shown["extra"] == () and list(shown) == [f.name for f in fields(Sizes)]


def test_a_union_of_several_kinds_is_not_guessed():
    with pytest.raises(UserError, match="is not"):
        parse_value("3", int | str, "here")
    with pytest.raises(UserError, match="is not"):
        conform({}, dict[str, int], "here")


def test_every_preset_fits_every_model():
    registry = discover()
    families = {info.family for info in registry.models.values()}
    assert set(preset_table()) <= set(PRESETS)
    for preset, tables in preset_table().items():
        for key in tables:
            name, _, dataset = key.partition("@")
            assert name in registry.models or name in families, f"[{preset}.{key}] names neither model nor family"
            assert not dataset or dataset in DATASETS, f"[{preset}.{key}] names no dataset"
            family = [info for info in registry.models.values() if info.family == name]
            known = {field.name for info in family for field in fields(info.settings)}
            assert not family or set(tables[key]) <= known, f"[{preset}.{key}] has a setting that fits no model"
    for info in registry.models.values():
        for preset in PRESETS:
            for dataset in DATASETS:
                record = resolve(info, preset, dataset)
                assert from_dict(type(record), json.loads(json.dumps(as_dict(record)))) == record
