"""POD before the referee: both protocols, ways of asking, what free searches are charged with."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from contract import tiny  # noqa: E402

from bench.errors import UserError  # noqa: E402
from bench.models import Context, discover  # noqa: E402
from bench.progress import Progress  # noqa: E402
from bench.protocols import PROTOCOLS, Protocol, sound_but  # noqa: E402
from bench.ragged import Ragged  # noqa: E402
from bench.runs.execute import execute, training_data  # noqa: E402
from bench.runs.identity import canonical, job_for  # noqa: E402
from bench.runs.record import Record  # noqa: E402
from bench.settings import resolve  # noqa: E402
from bench.splits import Split  # noqa: E402
from bench.tasks import Queries, judge, make_queries  # noqa: E402
from pod import answering  # noqa: E402
from pod.recommender import Pod, network_of  # noqa: E402
from pod.tokens import EOS  # noqa: E402
from pod.trie import Trie  # noqa: E402
from pod.variants import P5Settings, PodSettings  # noqa: E402

SMALL = PodSettings(
    backbone="scratch:16x1", strategy="fastest", batch_size=16, topn_batch_size=8, epochs=2, learning_rate=3e-3
)


@cache
def asked(protocol: str, settings: PodSettings = SMALL) -> tuple[Pod, Context]:
    context = Context(0, offline=True)
    model = Pod(settings)
    model.fit(training_data(tiny(), ("sequential", "topn"), PROTOCOLS[protocol]), context)
    return model, context


def questions(task: Any, protocol: str = "sound") -> Queries:
    return make_queries(tiny(), task, "test", keep_history=PROTOCOLS[protocol].keep_history)


@pytest.mark.parametrize("task", ["sequential", "topn"])
def test_published_lists_are_judged_per_occurrence(task: Any) -> None:
    model, context = asked("published")
    queries = questions(task, "published")
    ranking = model.rank(queries)
    values = judge(ranking, queries, tiny().truth("test"), per_occurrence=True)
    assert values["HR@10"].shape == (len(queries),)
    shares = context.facts["free_search"][task]
    assert shares["users"] == len(queries)
    wrong = "history" if task == "sequential" else "no_candidate"
    assert all(0 <= shares[name] <= 1 for name in ("invalid", "duplicate", wrong))


def test_a_constrained_run_says_what_the_free_search_would_have_done() -> None:
    model, context = asked("sound")
    model.rank(questions("sequential"))
    assert context.facts["free_search"]["sequential"]["users"] == len(questions("sequential"))


def teacher_forced(model: Pod, rows: int, items: np.ndarray, task: Any) -> np.ndarray:
    """(rows, items) exact scores by the plain forward pass, one (user, item) pair a row."""
    answerer, queries = model._answerer, questions(task)
    part = answerer._asked(queries.take(np.arange(rows)))
    renderer, network = answerer._built.renderer, answerer.network
    allowed = Trie.build(renderer.item_targets, EOS).rows
    found = np.zeros((rows, len(items)))
    for row in range(rows):
        repeated = part.take(np.full(len(items), row))
        examples = replace(repeated, targets=renderer.item_targets.take(items))
        batch = answering.make_batch(examples, replace(answerer._shape, packed=False), "cpu")
        with torch.no_grad():
            scores = network.backbone.head(network.hidden(batch, masked=True), allowed).log_softmax(-1)
        places = torch.searchsorted(allowed, batch.targets)
        picked = scores.gather(1, places.clamp(max=len(allowed) - 1)[:, None])[:, 0].view(len(items), -1)
        lengths = renderer.item_targets.lengths[items]
        inside = np.arange(picked.shape[1])[None] < lengths[:, None]
        found[row] = np.where(inside, picked.numpy(), 0).sum(1) / lengths
    return found


@pytest.mark.parametrize("tokens", ["sentencepiece", "independent"])
def test_topn_scores_are_those_of_teacher_forcing(tokens: Any) -> None:
    model, _ = asked("sound", replace(SMALL, item_tokens=tokens))
    queries = questions("topn")
    ranking = model.rank(queries)
    expected = teacher_forced(model, 5, np.arange(tiny().dataset.n_items), "topn")
    for row in range(5):
        listed = ranking.items[row]
        assert ranking.scores[row] == pytest.approx(expected[row, listed], abs=1e-5)
        among = queries.candidates[row] if queries.candidates is not None else np.empty(0, int)
        rest = np.setdiff1d(among[among >= 0], listed)
        assert expected[row, rest].max() <= ranking.scores[row].min() + 1e-5


def test_a_search_as_wide_as_the_catalogue_ranks_by_exact_scores() -> None:
    wide = replace(SMALL, beams=tiny().dataset.n_items)
    model, _ = asked("sound", wide)
    queries = questions("sequential")
    ranking = model.rank(queries)
    expected = teacher_forced(model, 6, np.arange(tiny().dataset.n_items), "sequential")
    for row in range(6):
        scores = expected[row].copy()
        scores[queries.histories[row]] = -np.inf
        best = np.argsort(-scores)[: queries.k]
        assert ranking.scores[row] == pytest.approx(scores[best], abs=1e-5)
        assert not np.isin(ranking.items[row], queries.histories[row]).any()


def test_invalid_generations_become_random_items_and_repeats_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    model, context = asked("published")
    queries = questions("sequential", "published").take(np.arange(3))
    first = int(queries.histories[1][0])
    items = np.tile(np.arange(20), (3, 1))
    items[0, :4], items[1, :3], items[2, :2] = -1, first, (7, 7)
    scores = np.tile(-np.arange(20, dtype=np.float32), (3, 1))
    monkeypatch.setattr(model._answerer, "_generated", lambda queries: (items.copy(), scores.copy()))
    ranking = model.rank(queries)
    assert (ranking.items[0] >= 0).all() and ranking.items[0, 4:].tolist() == list(range(4, 20))
    assert ranking.items[1, :3].tolist() == [first] * 3 and ranking.items[2, :2].tolist() == [7, 7]
    shares = context.facts["free_search"]["sequential"]
    assert shares["invalid"] == pytest.approx(4 / 30)
    again = model.rank(queries)
    assert np.array_equal(again.items, ranking.items)


def test_published_results_depend_on_the_batch_and_sound_ones_do_not() -> None:
    model, _ = asked("published", replace(SMALL, inference_batch=4))
    assert not model._answerer._masked and not model._answerer._shape.packed
    assert asked("sound")[0]._answerer._masked


def test_p5_has_words_and_no_prompt_vectors() -> None:
    settings = P5Settings(backbone="scratch:16x1", batch_size=16, topn_batch_size=8, epochs=1)
    model, context = asked("published", settings)
    assert context.facts["prompt_vectors"] == 0 and context.facts["strategy"] == "sample-mixed"
    assert model._answerer._masked
    assert not network_of(model).prompt_embeddings.weight.requires_grad
    built = model._answerer._built
    assert built.asking_template("sequential", settings.inference) == built.templates.worded["sequential"][0]


def test_prompt_vectors_follow_the_protocol_unless_set() -> None:
    assert asked("sound")[1].facts["prompt_vectors"] == 3
    assert asked("published")[1].facts["prompt_vectors"] == 10
    assert asked("sound", replace(SMALL, prompts=1))[1].facts["prompt_vectors"] == 1


def test_packing_under_unmasked_attention_is_refused() -> None:
    with pytest.raises(UserError, match="exact only where padding is masked"):
        asked("published", replace(SMALL, strategy="packed"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompts": -1}, "prompts"),
        ({"batch_size": 0}, "batch_size"),
        ({"tasks": ("ranking",)}, "tasks must be"),
        ({"dropout": 1.0}, "dropout"),
        ({"learning_rate": -1.0}, "learning_rate"),
    ],
)
def test_bad_settings_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PodSettings(**change)


def test_a_backbone_that_is_nowhere_says_where_was_looked() -> None:
    with pytest.raises(UserError, match="looked at"):
        asked("sound", replace(SMALL, backbone="no-such-model"))


def test_worded_templates_without_a_slot_are_refused() -> None:
    bare = {"explanation": "{user} {item}", "sequential": "{user}", "topn": "{user} {candidates}"}
    text = "\n".join(f'[{task}]\nbare = "{words}"' for task, words in bare.items())
    with pytest.raises(UserError, match=r"slot '\{history\}' is missing|--templates, line 4, sequential.bare"):
        asked("sound", replace(SMALL, templates=text))


def run(name: str, split: Split, runs: Path, protocol: Protocol = PROTOCOLS["sound"], **settings: Any) -> Record:
    info = discover().get(name)
    own = info.settings(**{**vars(SMALL), "inference": info.settings().inference, **settings})
    job = job_for(info, own, protocol, 0, split, "tiny", "smoke")
    return execute(job, split, runs, device="cpu", threads=1, progress=Progress(), offline=True)


def test_ways_of_asking_share_one_fit(tmp_path: Path) -> None:
    fitted = run("pod", tiny(), tmp_path)
    asked_in_words = run("pod-discrete", tiny(), tmp_path)
    assert asked_in_words.content["fitted_by"] == fitted.path.name
    assert "fitted_by" not in fitted.content and fitted.content["fit_key"] == asked_in_words.content["fit_key"]
    assert fitted.content["files"]["weights.safetensors"] == asked_in_words.content["files"]["weights.safetensors"]
    other = run("pod", tiny(), tmp_path, learning_rate=1e-3)
    assert "fitted_by" not in other.content
    assert {"curve.csv", "curve.png", "log.txt"} <= fitted.content["files"].keys()
    assert "epoch" in (fitted.path / "log.txt").read_text()
    assert f"takes the weights of {fitted.path.name}" in (asked_in_words.path / "log.txt").read_text()


@pytest.mark.parametrize("dataset", ["beauty", "sports", "musical", "elsewhere"])
@pytest.mark.parametrize("preset", ["paper", "laptop", "smoke"])
def test_presets_leave_ways_of_asking_one_fit(preset: str, dataset: str) -> None:
    keys = set()
    for name in ("pod", "pod-discrete"):
        info = discover().get(name)
        keys.add(job_for(info, resolve(info, preset, dataset), PROTOCOLS["sound"], 0, tiny(), "tiny", preset).fit_key)
    assert len(keys) == 1


def test_the_same_weights_search_freely(tmp_path: Path) -> None:
    """Free search under sound needs no fit of its own, whatever rule an earlier version made the fit's key by."""
    fitted = run("pod", tiny(), tmp_path)
    record = json.loads((fitted.path / "record.json").read_text())
    record["fit_key"] = "of old"
    record["checksum"] = hashlib.sha256(canonical({k: v for k, v in record.items() if k != "checksum"})).hexdigest()
    (fitted.path / "record.json").write_text(json.dumps(record))
    free = run("pod", tiny(), tmp_path, sound_but("free-search"))
    assert free.content["fitted_by"] == fitted.path.name
    assert free.content["facts"]["free_search"]["sequential"]["users"] == len(tiny().users)
    other = run("pod", tiny(), tmp_path, sound_but("counted-padding"), strategy="task-alternated")
    assert "fitted_by" not in other.content


def test_histories_of_no_item_are_asked(tmp_path: Path) -> None:
    model, _ = asked("published")
    queries = Queries(
        "sequential",
        "test",
        np.array([0, 1]),
        Ragged.from_rows([[], [3]]),
        None,
        tiny().dataset.n_items,
        keep_history=True,
    )
    assert model.rank(queries).items.shape == (2, 20)
