"""The registry, the scoring base class, and what training data may hold."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

import bench.models as models
from bench.data.dataset import Dataset
from bench.errors import UserError
from bench.models import Context, ModelInfo, Registry, ScoringModel, discover
from bench.protocols import PROTOCOLS, with_numbering
from bench.ragged import Ragged
from bench.runs.execute import training_data
from bench.splits import make_split
from bench.tasks import Queries, check_ranking, select_top

TOY = ModelInfo("toy", "Toy", "rule", ("sequential",), "tests.nowhere:Toy")


def module_of(**content) -> ModuleType:
    module = ModuleType("theirs")
    vars(module).update(content)
    return module


@pytest.fixture
def only(monkeypatch):
    """Let `discover` see nothing but these loaders."""

    def install(**loaders):
        monkeypatch.setattr(models, "_modules", lambda: iter(loaders.items()))

    return install


def test_the_built_in_models_are_there_and_nothing_is_broken():
    registry = discover()
    assert {"popularity", "item-knn", "sequential-rules", "id-order"} <= set(registry.models)
    assert registry.broken == {}
    assert all(name == info.name == name.lower() for name, info in registry.models.items())


def test_discovering_imports_no_heavy_library():
    heavy = ("torch", "recbole", "pandas", "scipy")
    code = f"import sys, bench.models as m; m.discover(); print([n for n in {heavy} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "error", [ImportError("no libfoo"), OSError("libcuda.so"), RuntimeError("old\ndriver"), KeyError("x")]
)
def test_a_broken_module_steps_aside_with_its_reason(only, error):
    def broken():
        raise error

    only(bad=broken, good=lambda: module_of(MODELS=(TOY,)))
    registry = discover()
    assert list(registry.models) == ["toy"] and list(registry.broken) == ["bad"]
    assert registry.broken["bad"].startswith(type(error).__name__) and "\n" not in registry.broken["bad"]


@pytest.mark.parametrize("wrong", [TOY, [TOY], ("toy",), None])
def test_models_must_be_a_tuple_of_infos(only, wrong):
    only(bad=lambda: module_of(MODELS=wrong))
    assert discover().broken == {"bad": "TypeError: MODELS must be a tuple of ModelInfo"}


def test_a_module_without_models_has_none_and_entry_points_may_name_the_tuple(only):
    only(helper=lambda: module_of(), theirs=lambda: (TOY,))
    assert discover() == Registry({"toy": TOY}, {})


def test_entry_points_are_loaded(monkeypatch):
    class Point:
        value = "their.package"

        def load(self):
            return module_of(MODELS=(TOY,))

    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [Point()] if group == "podium.models" else [])
    assert discover().get("toy") is TOY


def test_two_models_of_one_name_are_an_error(only):
    only(a=lambda: module_of(MODELS=(TOY,)), b=lambda: module_of(MODELS=(replace(TOY, title="Other"),)))
    with pytest.raises(UserError, match="b: two models are called 'toy'; rename one"):
        discover()
    only(a=lambda: module_of(MODELS=(TOY,)), again=lambda: module_of(MODELS=(TOY,)))
    assert list(discover().models) == ["toy"]


def test_unknown_names_get_a_suggestion():
    registry = Registry({"sequential-rules": TOY}, {})
    with pytest.raises(UserError, match="did you mean 'sequential-rules'"):
        registry.get("sequential_rule")
    with pytest.raises(UserError, match="see --list"):
        registry.get("zzz")


def test_a_missing_package_is_told_before_anything_is_imported():
    info = replace(TOY, requires=("numpy", "no_such_package", "no_such.part"))
    assert info.missing_packages() == ["no_such_package", "no_such.part"]
    with pytest.raises(UserError, match=r"model toy: needs no_such_package, no_such\.part; pip install"):
        info.build(None)
    assert replace(TOY, factory="fractions:Fraction").build(3) == 3


def test_streams_of_a_context_are_reproducible_and_apart():
    context = Context(seed=5)
    assert context.rng(1).random() == Context(seed=5).rng(1).random()
    assert len({context.rng(0).random(), context.rng(1).random(), Context(seed=6).rng(0).random()}) == 3
    assert context.curve is not Context(seed=5).curve


class Hashed(ScoringModel):
    """Scores that depend on user and item alone; remembers the sizes it was asked for."""

    def __init__(self):
        self.asked = []

    def fit(self, training, context):
        pass

    def scores(self, queries):
        self.asked.append(len(queries))
        grid = queries.users[:, None] * 7919 + np.arange(queries.n_items) * 104729
        return (grid % 1013).astype(np.float32)


def some_queries(n=70, n_items=200, candidates=None):
    rng = np.random.default_rng(1)
    rows = [rng.permutation(n_items)[: rng.integers(0, 9)] for _ in range(n)]
    users = rng.permutation(1000)[:n].astype(np.int32)
    task = "sequential" if candidates is None else "topn"
    return Queries(task, "test", users, Ragged.from_rows(rows), candidates, n_items)


def test_ranking_in_parts_is_ranking_at_once():
    queries = some_queries()
    whole = select_top(Hashed().scores(queries), queries)
    for chunk, cells in ((512, 1 << 23), (3, 1 << 23), (512, 2000), (512, 1)):
        model = Hashed()
        model.chunk, model.cells = chunk, cells
        ranking = model.rank(queries)
        assert np.array_equal(ranking.items, whole.items) and np.array_equal(ranking.scores, whole.scores)
        assert max(model.asked) <= max(1, min(chunk, cells // 200)) and sum(model.asked) == 70


def test_candidates_are_scored_as_the_catalogue_is():
    candidates = np.random.default_rng(2).permuted(np.tile(np.arange(200), (70, 1)), axis=1)[:, :30].astype(np.int32)
    candidates[:, 25:] = -1
    queries = some_queries(candidates=candidates)
    ranking = Hashed().rank(queries)
    check_ranking(ranking, queries)
    assert np.array_equal(
        ranking.scores[:, 0], np.take_along_axis(Hashed().scores(queries), candidates[:, :25], axis=1).max(axis=1)
    )
    with pytest.raises(ValueError, match="no candidates"):
        Hashed().candidate_scores(some_queries())


def test_training_data_holds_no_test_item():
    # Every test item is bought once only, so whatever knows one has it from the test set; likewise for negatives.
    rows = [[n % 40, (n + 1) % 40, 40 + n % 20, 60 + n] for n in range(300)]
    sequences = Ragged.from_rows(rows)
    ids = tuple(map(str, range(300))), tuple(map(str, range(360)))
    split = make_split(Dataset("leak", "test", *ids, sequences))
    training = training_data(split, ("sequential", "topn"), PROTOCOLS["sound"])
    assert training.sequences.values.max() < 40
    for task in ("sequential", "topn"):
        queries = training.validation[task].queries
        assert queries.stage == "valid" and queries.histories.values.max() < 40
    candidates = training.validation["topn"].queries.candidates
    own = 60 + np.arange(300)
    assert not (candidates == own[:, None]).any()
    # Numbers by appearance tell the test items apart by user: that is what `id-order` is there to show.
    leaky = training_data(split, ("sequential",), with_numbering(PROTOCOLS["sound"], "appearance"))
    assert np.corrcoef(leaky.item_numbers[own], own)[0, 1] > 0.99
    assert abs(np.corrcoef(training.item_numbers[own], own)[0, 1]) < 0.3


def test_validation_is_judged_by_the_referee():
    rows = [[n % 7, (n + 1) % 7, (n + 2) % 7, (n + 3) % 7] for n in range(20)]
    ids = tuple(map(str, range(20))), tuple(map(str, range(7)))
    split = make_split(Dataset("ring", "test", *ids, Ragged.from_rows(rows)))
    validation = training_data(split, ("sequential",), PROTOCOLS["sound"]).validation["sequential"]
    scores = np.zeros((20, 7), np.float32)
    scores[np.arange(20), split.truth("valid")] = 1
    means = validation.score(select_top(scores.copy(), validation.queries))
    assert means == {"HR@1": 1, "HR@5": 1, "NDCG@5": 1, "HR@10": 1, "NDCG@10": 1}
    unfiltered = replace(validation.queries, keep_history=True)
    with pytest.raises(ValueError, match="history"):
        validation.score(select_top(scores, unfiltered))
