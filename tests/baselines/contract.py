"""What every model owes the referee. Testing a new model takes four lines:

    from contract import ModelContract

    class TestMine(ModelContract):
        name = "mine"

`test_contract.py` runs the same over every model of the registry.
"""

from __future__ import annotations

import importlib.util
import json
import random
import sys
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from bench.data.dataset import Dataset
from bench.models import Context, Model, ModelInfo, Pairs, Training, discover
from bench.protocols import PROTOCOLS, Protocol
from bench.ragged import Ragged
from bench.runs.execute import training_data
from bench.settings import as_dict, from_dict, resolve
from bench.splits import Split, make_split
from bench.tasks import TASKS, Queries, Ranking, TaskName, check_ranking, judge, make_queries

N_USERS, N_ITEMS, GROUP, NEVER = 64, 130, 13, 3
FAMILIES = ("rule", "probe", "sequential", "general", "llm", "explanation")
CLOSE = 1e-5


@cache
def tiny() -> Split:
    """64 users who walk through groups of 13 items, three of them too short to be evaluated; no user has the last 3
    items, and others are held out only. Every item but the last has attributes, every interaction a rating.
    """
    rng = np.random.default_rng(11)
    rows: list[list[int]] = [[], [5], [7, 9]]
    while len(rows) < N_USERS:
        group, start, length = rng.integers(0, N_ITEMS // GROUP), rng.integers(0, GROUP), rng.integers(3, 11)
        rows.append([int(group * GROUP + (start + step) % GROUP) for step in range(length)])
        rows[-1] = [item for item in rows[-1] if item < N_ITEMS - NEVER]
    sequences = Ragged.from_rows(rows)
    attributes = [[1 + item // GROUP, 50 + item % 4] for item in range(N_ITEMS)]
    attributes[-1] = []
    return make_split(
        Dataset(
            "tiny",
            "made for contracts",
            tuple(f"u{n}" for n in range(N_USERS)),
            tuple(f"i{n}" for n in range(N_ITEMS)),
            sequences,
            ratings=rng.integers(1, 6, len(sequences.values)).astype(np.float32),
            attributes=Ragged.from_rows(attributes),
        )
    )


@cache
def known(name: str) -> ModelInfo:
    """The model's info; the test is skipped, with the reason, where its packages are not installed."""
    info = discover().get(name)
    missing = info.missing_packages()
    if missing:
        pytest.skip(f"{name} needs {', '.join(missing)}, which is not installed")
    return info


def small_settings(info: ModelInfo) -> Any:
    """The smoke preset's settings, with budgets cut to what shows that everything runs."""
    settings = resolve(info, "smoke", "tiny")
    cut = {field.name: min(2, getattr(settings, field.name)) for field in fields(settings) if "epochs" in field.name}
    if hasattr(settings, "patience"):
        cut["patience"] = 1
    return replace(settings, **cut)


def training_of(info: ModelInfo) -> Training:
    """The tiny split's; explaining models get a sentence and a rating for each training pair of the first users."""
    training = training_data(tiny(), ranking_tasks(info), PROTOCOLS["sound"])
    if "explanation" not in info.tasks:
        return training
    users, items = training.sequences.row_of[:60], training.sequences.values[:60]
    texts = tuple(f"the {('sound', 'case', 'neck')[item % 3]} is {('good', 'bad')[item % 2]}" for item in items)
    ratings = (1 + items % 5).astype(np.float32)
    rows = [Pairs(users[part], items[part], texts[part], ratings[part]) for part in (slice(0, 50), slice(50, 60))]
    return replace(training, explanations=(rows[0], rows[1]))


def ranking_tasks(info: ModelInfo) -> tuple[TaskName, ...]:
    """What it can be asked for lists; nothing where it explains alone."""
    return tuple(task for task in info.tasks if task in TASKS)


@dataclass(frozen=True)
class Fitted:
    """A fitted model, its rankings of each task's test queries, and its sentences where it explains."""

    model: Model
    rankings: dict[TaskName, Ranking]
    sentences: list[str]


def explained(info: ModelInfo, model: Any) -> list[str]:
    """A sentence for each pair of the first users with some items; none where the model explains nothing."""
    users, items = np.divmod(np.arange(40), 4)
    return model.explain(Pairs(users, 11 * items)) if "explanation" in info.tasks else []


@cache
def fitted(name: str, seed: int = 0, again: bool = False) -> Fitted:
    """Fit a model on the tiny data and ask it; `again` only makes a second one of the same seed."""
    del again
    info = known(name)
    model = info.build(small_settings(info))
    model.fit(training_of(info), Context(seed, offline=True))
    rankings = {task: model.rank(make_queries(tiny(), task, "test")) for task in ranking_tasks(info)}
    return Fitted(model, rankings, explained(info, model))


def odd_queries(task: TaskName) -> Queries:
    """Users as they come in the wild: no history, one item, an item never trained on, far too many items, and
    users that have no training items or only one.
    """
    histories = [[], [4], [N_ITEMS - 1], list(range(100)), [], [8, 8 + GROUP], [N_ITEMS - 2, 3]]
    users = np.array([0, 1, 2, 3, 10, 11, 12], np.int32)
    candidates = None
    if task == "topn":
        # The last 30 items: none in a history but the untrained ones, which candidates may not repeat.
        candidates = np.tile(np.arange(100, 127, dtype=np.int32), (len(users), 1))
        candidates[1, 5:] = -1
    return Queries(task, "test", users, Ragged.from_rows(histories), candidates, N_ITEMS)


def global_states() -> list[bytes]:
    """Python's, numpy's and, where it is loaded, torch's global generators."""
    states = [repr(random.getstate()).encode(), repr(np.random.get_state()).encode()]  # noqa: NPY002
    if importlib.util.find_spec("torch"):
        import torch

        states.append(torch.get_rng_state().numpy().tobytes())
    return states


def assert_same_answers(found: Ranking, expected: Ranking) -> None:
    """Scores equal to 1e-5 place by place, and items wherever no other score is that near."""
    scale = np.maximum(1.0, np.abs(np.where(np.isfinite(expected.scores), expected.scores, 0.0)))
    both = np.isfinite(expected.scores)
    assert np.array_equal(both, np.isfinite(found.scores))
    difference = np.where(both, found.scores, 0.0) - np.where(both, expected.scores, 0.0)
    assert np.abs(difference / scale).max() <= CLOSE
    gaps = -np.diff(np.where(both, expected.scores, -1e30).astype(np.float64), axis=1)
    lone = np.ones(expected.items.shape, bool)
    lone[:, 1:] &= gaps > 4 * CLOSE * scale[:, 1:]
    lone[:, :-1] &= gaps > 4 * CLOSE * scale[:, :-1]
    lone[:, -1] = False  # the best item that was left out may be near
    assert np.array_equal(found.items[lone], expected.items[lone])


class ModelContract:
    """Tests of the model called `name`."""

    name = ""

    @pytest.fixture
    def model(self) -> str:
        return self.name

    def test_the_info_is_consistent(self, model):
        info = known(model)
        assert info.name == model == model.lower() and info.title and info.version >= 1
        assert info.family in FAMILIES and info.tasks and set(info.tasks) <= {*TASKS, "explanation"}
        assert info.paper or info.family in ("rule", "probe")
        assert set(info.needs) <= {"attributes", "ratings"}
        assert set(info.protocol_settings) <= {field.name for field in fields(Protocol)} - {"name"}
        assert is_dataclass(info.settings) and info.settings.__dataclass_params__.frozen
        assert info.settings.__doc__ and "(" not in info.settings.__doc__.split(" ")[0], "settings need a docstring"
        assert hash(info.settings()) == hash(info.settings())

    def test_settings_survive_json(self, model):
        info = known(model)
        for record in (info.settings(), small_settings(info)):
            assert from_dict(info.settings, json.loads(json.dumps(as_dict(record)))) == record

    def test_lists_obey_the_rules(self, model):
        for task, ranking in fitted(model).rankings.items():
            queries = make_queries(tiny(), task, "test")
            values = judge(ranking, queries, tiny().truth("test"))
            assert (ranking.items >= 0).all() and np.isfinite(ranking.scores).all()
            assert 0 <= values["NDCG@10"].mean() <= 1
            check_ranking(
                fitted(model).model.rank(make_queries(tiny(), task, "valid")), make_queries(tiny(), task, "valid")
            )

    def test_history_may_be_kept(self, model):
        for task in ranking_tasks(known(model)):
            queries = make_queries(tiny(), task, "test", keep_history=True)
            check_ranking(fitted(model).model.rank(queries), queries)

    def test_every_user_is_answered(self, model):
        for task in ranking_tasks(known(model)):
            queries = odd_queries(task)
            ranking = fitted(model).model.rank(queries)
            check_ranking(ranking, queries)
            assert (ranking.items[:, 0] >= 0).all()
            if task == "sequential":
                assert (ranking.items >= 0).all()
            else:
                assert np.count_nonzero(ranking.items[1] >= 0) == 5

    def test_nobody_is_asked(self, model):
        for task in ranking_tasks(known(model)):
            queries = make_queries(tiny(), task, "test").take(np.empty(0, np.int64))
            assert fitted(model).model.rank(queries).items.shape == (0, queries.k)

    def test_an_answer_does_not_depend_on_who_shares_the_batch(self, model):
        order = np.random.default_rng(3).permutation(len(tiny().users))
        for task, whole in fitted(model).rankings.items():
            queries = make_queries(tiny(), task, "test")
            for rows in (order, order[:9], order[:1], order[1:2]):
                apart = fitted(model).model.rank(queries.take(rows))
                assert_same_answers(apart, Ranking(whole.items[rows], whole.scores[rows]))

    def test_same_seed_same_bytes(self, model):
        first, second = fitted(model), fitted(model, again=True)
        for task, ranking in first.rankings.items():
            assert ranking.items.tobytes() == second.rankings[task].items.tobytes()
            assert ranking.scores.tobytes() == second.rankings[task].scores.tobytes()
        assert first.sentences == second.sentences

    def test_what_is_called_deterministic_is(self, model):
        if not known(model).deterministic:
            pytest.skip("the model draws random numbers")
        for task, ranking in fitted(model).rankings.items():
            assert ranking.items.tobytes() == fitted(model, seed=1).rankings[task].items.tobytes()

    def test_every_pair_gets_a_sentence_whoever_shares_the_batch(self, model):
        if "explanation" not in known(model).tasks:
            pytest.skip("the model explains nothing")
        explainer: Any = fitted(model).model
        pairs = Pairs(np.array([5, 0, 9, 5]), np.array([3, 4, 120, 3]))
        sentences = explainer.explain(pairs)
        assert len(sentences) == 4 and all(isinstance(sentence, str) for sentence in sentences)
        assert sentences[0] == sentences[3]
        assert explainer.explain(Pairs(pairs.users[1:2], pairs.items[1:2])) == sentences[1:2]
        assert explainer.explain(Pairs(pairs.users[:0], pairs.items[:0])) == []

    def test_nothing_outside_the_model_changes(self, model):
        info = known(model)
        training = training_of(info)
        queries = {task: make_queries(tiny(), task, "test") for task in ranking_tasks(info)}
        arrays = [training.sequences.values, training.sequences.offsets, training.item_numbers]
        arrays += [q.histories.values for q in queries.values()]
        arrays += [q.candidates for q in queries.values() if q.candidates is not None]
        arrays += [numbers for pairs in training.explanations or () for numbers in (pairs.users, pairs.items)]
        before, states = [array.tobytes() for array in arrays], global_states()
        built = info.build(small_settings(info))
        built.fit(training, Context(0, offline=True))
        for asked in queries.values():
            built.rank(asked)
        explained(info, built)
        assert global_states() == states, "a global random generator was used or seeded"
        assert [array.tobytes() for array in arrays] == before
        if "torch" in sys.modules:
            torch = sys.modules["torch"]
            assert torch.is_grad_enabled() and torch.get_default_dtype() == torch.float32
