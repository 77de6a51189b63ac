"""Models as the paper's Table 2 has them."""

from __future__ import annotations

import pytest
from made_up import LlmSettings, info


@pytest.fixture
def paper_models():
    """The paper's sequential models, POD among them, and the added rows."""
    names = ("caser", "hgn", "gru4rec", "bert4rec", "fdsa", "sasrec", "s3rec")
    models = [info(name, name.upper()) for name in names]
    models += [info(name, name.upper(), "llm", LlmSettings) for name in ("p5", "pod")]
    rules = [info(name, name.title(), "rule", deterministic=True) for name in ("popularity", "item-knn")]
    return [*models, *rules, info("id-order", "Id order", "probe", deterministic=True)]


@pytest.fixture(autouse=True)
def _no_presets(monkeypatch):
    """Made-up models bear real names, but have not the settings that presets change."""
    monkeypatch.setattr("bench.settings.preset_table", dict)
