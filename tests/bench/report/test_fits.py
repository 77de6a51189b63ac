"""Runs of one fit that hold different weights are named."""

from pathlib import Path
from types import SimpleNamespace

from bench.report.fits import fitted_apart


def entry(folder, fit, weights, processor="A", seed=0, title="POD"):
    content = {
        "fit_key": fit,
        "files": {"weights.safetensors": weights} if weights else {},
        "device": "cpu",
        "environment": {"processor": processor, "cores": "2"},
    }
    record = SimpleNamespace(path=Path(folder), content=content)
    return SimpleNamespace(info=SimpleNamespace(title=title), seed=seed, record=record)


def test_nothing_is_said_of_runs_that_share_weights():
    runs = [entry("a", "f", "1"), entry("b", "f", "1"), entry("c", "g", "2")]
    assert fitted_apart(runs) == []


def test_a_fit_made_twice_names_seed_runs_and_machines():
    runs = [entry("a", "f", "1", seed=2), entry("b", "f", "2", "B", seed=2), entry("c", "g", "3")]
    (told,) = fitted_apart(runs)
    assert "POD, seed 2: a on cpu (A, 2 cores), b on cpu (B, 2 cores)" in told and "c on" not in told


def test_runs_without_a_record_a_fit_or_weights_are_passed_over():
    no_fit = entry("a", "f", "1")
    del no_fit.record.content["fit_key"]
    missing = SimpleNamespace(info=SimpleNamespace(title="POD"), seed=0, record=None)
    assert fitted_apart([missing, no_fit, entry("b", "f", ""), entry("c", "f", "2")]) == []


def test_each_fit_has_a_sentence_of_its_own():
    runs = [entry(name, fit, name, seed=int(fit)) for name, fit in (("a", "1"), ("b", "1"), ("c", "2"), ("d", "2"))]
    assert [text.split(":")[0][-6:] for text in fitted_apart(runs)] == ["seed 1", "seed 2"]
