"""The learner: resumed after any kill to the same bytes, early stops, divergence, memory, checkpoints of others."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from contract import tiny  # noqa: E402
from worlds import Interrupted, Interrupting, rings  # noqa: E402

from bench.errors import RunFailed, UserError  # noqa: E402
from bench.models import Context, Training  # noqa: E402
from bench.progress import Progress  # noqa: E402
from bench.protocols import PROTOCOLS  # noqa: E402
from bench.runs.execute import training_data  # noqa: E402
from engine.checkpoint import load_state  # noqa: E402
from pod import training as learning  # noqa: E402
from pod.recommender import Pod, network_of  # noqa: E402
from pod.training import BEST, STATE, token_batches  # noqa: E402
from pod.variants import PodSettings  # noqa: E402

SMALL = PodSettings(
    backbone="scratch:16x1", strategy="fastest", batch_size=8, topn_batch_size=4, epochs=3, dropout=0.2, beams=4
)


def data(protocol: str = "sound") -> Training:
    return training_data(tiny(), ("sequential", "topn"), PROTOCOLS[protocol])


def fit(settings: PodSettings, context: Context, protocol: str = "sound") -> Pod:
    model = Pod(settings)
    model.fit(data(protocol), context)
    return model


def weights(model: Pod) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in network_of(model).state_dict().items()}


@pytest.mark.parametrize("protocol", ["sound", "published"])
@pytest.mark.parametrize("share", [0.2, 0.55, 0.95])
def test_a_killed_run_resumes_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str, share: float
) -> None:
    # A checkpoint as often as the loss is looked at, and that every third step: kills fall inside epochs.
    monkeypatch.setattr(learning, "_CHECK_EVERY", 3)
    monkeypatch.setattr(learning, "_CHECKPOINT_EVERY_S", 0.0)
    counting = Interrupting()
    whole = Context(1, progress=counting, offline=True)
    expected = weights(fit(SMALL, whole, protocol))
    killed = Context(1, checkpoint=tmp_path, progress=Interrupting(int(counting.steps * share)), offline=True)
    with pytest.raises(Interrupted):
        fit(SMALL, killed, protocol)
    context = Context(1, checkpoint=tmp_path, progress=Interrupting(), offline=True)
    assert weights(fit(SMALL, context, protocol)) == expected
    timeless = [{k: v for k, v in row.items() if "seconds" not in k} for row in whole.curve]
    assert [{k: v for k, v in row.items() if "seconds" not in k} for row in context.curve] == timeless
    for row in whole.curve:
        assert (
            0 < row["validation_seconds"] < row["seconds"] and row["tokens"] > row["samples"] and row["cpu_seconds"] > 0
        )
    assert context.progress.steps < counting.steps
    assert any("resumed" in line for line in context.progress.lines)
    assert context.spent.wall > 0


def test_the_best_weights_are_kept_and_written(tmp_path: Path) -> None:
    context = Context(0, checkpoint=tmp_path, offline=True)
    model = fit(SMALL, context)
    state = load_state(tmp_path / BEST)
    assert state is not None
    assert {name: tensor.numpy().tobytes() for name, tensor in state.tensors.items()} == weights(model)
    losses = [row["validation_loss"] for row in context.curve]
    fit_again = Pod(SMALL)
    fit_again.restore(tmp_path / BEST, data(), Context(5, offline=True))
    assert weights(fit_again) == weights(model)
    assert min(losses) == losses[int(np.argmin(losses))] and len(losses) == 3


def validated(monkeypatch: pytest.MonkeyPatch, losses: list[float], protocol: str, **changes: Any) -> list[float]:
    """The epochs that a run goes through whose validation losses are these."""
    seen: list[float] = []

    def told(self: Any, epoch: int) -> dict[str, float]:
        seen.append(losses[epoch])
        return {"sequential": losses[epoch] - 0.5, "topn": losses[epoch] + 0.5}

    monkeypatch.setattr("pod.recommender._Validator.losses", told)
    context = Context(0, offline=True)
    fit(replace(SMALL, epochs=len(losses), patience=2, **changes), context, protocol)
    assert [row["validation_loss"] for row in context.curve] == pytest.approx(seen)
    return seen


def test_patience_starts_again_under_sound_and_never_under_published(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = [5.0, 6.0, 4.0, 6.0, 3.0, 6.0, 6.0, 2.0]
    assert validated(monkeypatch, losses, "sound") == losses[:7]
    assert validated(monkeypatch, losses, "published") == losses[:4]


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_good_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = learning.Learner._gradients, []

    def failing(self: Any, *step: Any) -> Any:
        calls.append(1)
        loss = real(self, *step)
        return loss * math.nan if self.standing.epoch == 2 else loss

    monkeypatch.setattr(learning.Learner, "_gradients", failing)
    with pytest.raises(RunFailed, match=r"the loss became nan in epoch 3.*weights of epoch \d are in.*learning_rate"):
        fit(SMALL, Context(0, checkpoint=tmp_path, offline=True))
    state = load_state(tmp_path / BEST)
    assert state is not None and all(torch.isfinite(tensor).all() for tensor in state.tensors.values())


class Lines(Progress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


def test_out_of_memory_computes_steps_in_parts_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(SMALL, dropout=0.0, epochs=1)
    expected = network_of(fit(settings, Context(0, offline=True))).state_dict()
    real = learning.make_batch

    def limited(examples: Any, *rest: Any, **more: Any) -> Any:
        if len(examples) > 3 and "whole" in more:
            raise torch.OutOfMemoryError("full")
        return real(examples, *rest, **more)

    monkeypatch.setattr(learning, "make_batch", limited)
    progress = Lines()
    found = network_of(fit(settings, Context(0, progress=progress, offline=True))).state_dict()
    assert sum("out of memory" in line for line in progress.lines) == 2  # 8 samples: in 2 parts, then in 4
    for name, tensor in found.items():
        assert (tensor - expected[name]).abs().max() < 1e-4, name


def test_a_single_sample_that_does_not_fit_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(learning.Learner, "_gradients", full)
    with pytest.raises(RunFailed, match="a single sample does not fit"):
        fit(SMALL, Context(0, offline=True))


def test_a_checkpoint_without_its_best_weights_is_refused(tmp_path: Path) -> None:
    fit(SMALL, Context(0, checkpoint=tmp_path, offline=True))
    (tmp_path / BEST).unlink()
    with pytest.raises(UserError, match=f"{BEST} is missing"):
        fit(SMALL, Context(0, checkpoint=tmp_path, offline=True))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"backbone": "scratch:32x1"}, "settings"),
        ({"prompts": 5}, "prompt vectors"),
        ({"learning_rate": 0.1}, "settings"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_by_name(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    fit(SMALL, Context(0, checkpoint=tmp_path, offline=True))
    with pytest.raises(UserError, match=f"made with {named}"):
        fit(replace(SMALL, **change), Context(0, checkpoint=tmp_path, offline=True))
    with pytest.raises(UserError, match=f"made with {named}"):
        Pod(replace(SMALL, **change)).restore(tmp_path / BEST, data(), Context(0, offline=True))


def test_a_checkpoint_of_other_data_is_refused(tmp_path: Path) -> None:
    fit(SMALL, Context(0, checkpoint=tmp_path, offline=True))
    with pytest.raises(UserError, match="made with data"):
        fit(replace(SMALL), Context(0, checkpoint=tmp_path, offline=True), "published")


def test_ways_of_asking_share_weights(tmp_path: Path) -> None:
    fit(SMALL, Context(0, checkpoint=tmp_path, offline=True))
    asked = Pod(replace(SMALL, inference="continuous+discrete", beams=7))
    asked.restore(tmp_path / BEST, data(), Context(0, offline=True))


def test_a_damaged_checkpoint_is_a_message(tmp_path: Path) -> None:
    fit(SMALL, Context(0, checkpoint=tmp_path, offline=True))
    (tmp_path / STATE).write_bytes(b"nothing")
    with pytest.raises(UserError, match="not a readable checkpoint"):
        fit(SMALL, Context(0, checkpoint=tmp_path, offline=True))


def test_a_sample_weighs_the_same_in_every_turn() -> None:
    model, training = Pod(SMALL), data("published")
    built = model._build(training, Context(0, offline=True))
    sampler = model._sampler(built, training, 0)
    assert sampler.tasks == ("sequential", "topn")
    assert [sampler.scale(number) for number in range(4)] == [1.0, 0.5, 1.0, 0.5]
    assert [len(sampler.step(0, number)) for number in range(4)] == [8, 4, 8, 4]
    packed = model._sampler(built, data(), 0)
    assert [packed.scale(number) for number in range(4)] == [1.0] * 4


def test_warmup_and_decay_shape_the_rate() -> None:
    class Steps:
        steps = 10

    plan = learning.Plan(epochs=2, patience=1, learning_rate=1.0, warmup=4, decay=0.5)
    learner: Any = object.__new__(learning.Learner)
    learner._plan, learner._sampler, learner.standing = plan, Steps(), learning.Standing()
    rates = []
    for done in range(20):
        learner.standing.steps_done = done
        rates.append(learner._rate())
    assert rates[:4] == pytest.approx([0.25, 0.4875, 0.7125, 0.925])
    assert rates[10] == pytest.approx(0.75) and rates[3:] == sorted(rates[3:], reverse=True)
    assert learning.Plan(epochs=2, patience=1).decay == 1.0


def test_token_batches_hold_every_row_once_and_keep_the_budget() -> None:
    lengths = np.random.default_rng(0).integers(1, 60, 200)
    parts = list(token_batches(lengths, 100))
    assert sorted(np.concatenate(parts).tolist()) == list(range(200))
    assert all(len(part) * lengths[part].max() <= 100 for part in parts if len(part) > 1)
    assert list(map(len, token_batches(np.array([500, 500]), 100))) == [1, 1]


@pytest.mark.parametrize(("tokens", "least"), [("independent", 0.5), ("sentencepiece", 0.2)])
def test_the_next_item_is_learnt(tokens: Any, least: float) -> None:
    # 120 items in rings: the next one follows from the last. By chance HR@5 is 0.04.
    training = training_data(rings(), ("sequential",), PROTOCOLS["sound"])
    settings = replace(
        SMALL,
        backbone="scratch:32x1",
        item_tokens=tokens,
        tasks=("sequential",),
        epochs=60,
        patience=60,
        learning_rate=2e-3,
        dropout=0.0,
        batch_size=16,
        whole_word_scale=0.02,
    )
    model, context = Pod(settings), Context(0, offline=True)
    model.fit(training, context)
    assert context.curve[-1]["loss"] < 0.7 * context.curve[0]["loss"]
    validation = training.validation["sequential"]
    assert validation.score(model.rank(validation.queries))["HR@5"] > least
