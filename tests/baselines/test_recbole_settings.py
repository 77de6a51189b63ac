"""Settings of the networks: presets resolve, bad values are one clear line, and listing them imports no torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import baselines.mlp
import baselines.recbole
from bench.errors import UserError
from bench.settings import PRESETS, as_dict, resolve

MODELS = {info.name: info for info in (*baselines.recbole.MODELS, *baselines.mlp.MODELS)}


def test_the_issues_models_are_there():
    assert MODELS.keys() == {
        *("caser", "hgn", "gru4rec", "bert4rec", "fdsa", "s3rec", "sasrec", "sasrec-pairwise", "mf", "mlp")
    }
    assert {name for name, info in MODELS.items() if "attributes" in info.needs} == {"fdsa", "s3rec"}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", MODELS)
def test_every_preset_resolves_and_survives_a_round_trip(name, preset):
    settings = resolve(MODELS[name], preset, "beauty")
    assert (
        MODELS[name].settings(**{k: tuple(v) if isinstance(v, list) else v for k, v in as_dict(settings).items()})
        == settings
    )
    assert 1 <= settings.expected_epochs <= settings.epochs + getattr(settings, "pretrain_epochs", 0)
    assert all(isinstance(key, str) for key in settings.recbole())


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("sasrec", {"dropout": "1"}, r"dropout must lie in 0\.\.1"),
        ("sasrec", {"dropout": "-0.1"}, r"dropout must lie in 0\.\.1"),
        ("caser", {"dropout": "1.5"}, r"dropout must lie in 0\.\.1"),
        ("bert4rec", {"dropout": "1"}, r"dropout must lie in 0\.\.1"),
        ("mlp", {"dropout": "2"}, r"dropout must lie in 0\.\.1"),
        ("sasrec", {"stride": "0"}, r"stride must lie in 1\.\.max_length"),
        ("gru4rec", {"stride": "51"}, r"stride must lie in 1\.\.max_length"),
        ("hgn", {"max_length": "0"}, "max_length must be at least 1"),
        ("bert4rec", {"max_length": "1"}, "max_length must exceed 1"),
        ("bert4rec", {"loss": "BPR"}, "loss CE alone"),
        ("bert4rec", {"mask_ratio": "0"}, r"mask_ratio must lie in 0\.\.1"),
        ("bert4rec", {"copies": "-1"}, "copies must not be negative"),
        ("s3rec", {"loss": "BPR"}, "loss CE alone"),
        ("s3rec", {"weights": "1,2,3"}, "weights must be four numbers"),
        ("s3rec", {"mask_ratio": "1"}, r"mask_ratio must lie in 0\.\.1"),
        ("s3rec", {"pretrain_epochs": "-1"}, "pretrain_epochs must not be negative"),
        ("s3rec", {"pretrain_batch_size": "0"}, "pretrain_batch_size must be at least 1"),
        ("hgn", {"l2": "1"}, "l2 must be two numbers"),
        ("sasrec", {"hidden_size": "65"}, "hidden_size must be a multiple of heads"),
        ("bert4rec", {"heads": "3"}, "hidden_size must be a multiple of heads"),
        ("fdsa", {"layers": "0"}, "layers must be at least 1"),
        ("gru4rec", {"state_size": "0"}, "state_size must be at least 1"),
        ("caser", {"vertical": "0"}, "vertical must be at least 1"),
        ("mf", {"epochs": "0"}, "epochs must be at least 1"),
        ("mf", {"batch_size": "0"}, "batch_size must be at least 1"),
        ("mf", {"patience": "-3"}, "patience must be at least 1"),
        ("mf", {"evaluate_every": "0"}, "evaluate_every must be at least 1"),
        ("mf", {"hidden_size": "0"}, "hidden_size must be at least 1"),
        ("mf", {"learning_rate": "0"}, "learning_rate must be above 0"),
        ("mf", {"learning_rate": "nan"}, "learning_rate"),
        ("mf", {"weight_decay": "-1"}, "weight_decay not below"),
        ("mlp", {"layers": ""}, "layers must be widths"),
        ("mlp", {"layers": "8,0"}, "layers must be widths"),
        ("mlp", {"layers": "8,x"}, r"mlp\.layers"),
        ("sasrec", {"loss": "ce"}, "not a choice"),
        ("sasrec", {"epochs": "many"}, r"sasrec\.epochs"),
        ("sasrec", {"droput": "0.1"}, "did you mean 'dropout'"),
        ("mf", {"max_length": "5"}, "unknown setting 'max_length'"),
        ("hgn", {"pooling": "sum"}, "not a choice"),
    ],
)
def test_a_bad_value_is_one_line_that_names_the_model(name, change, words):
    with pytest.raises(UserError, match=words) as caught:
        resolve(MODELS[name], "paper", "beauty", change)
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_importing_the_settings_imports_no_library():
    code = "import sys, baselines.recbole, baselines.mlp; print({'torch', 'recbole', 'pandas'} & set(sys.modules))"
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
