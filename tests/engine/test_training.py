"""The training loop: killed anywhere and resumed it ends as if undisturbed; when it stops; what it keeps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from worlds import Interrupted, Interrupting, fitted, rings, training_of

from bench.errors import RunFailed, UserError
from bench.models import Context

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")

from engine.checkpoint import load_state, save_state  # noqa: E402
from engine.randomness import seeded  # noqa: E402
from engine.training import Budget, Trainer  # noqa: E402

STEPS = 4


def drawn(rng: np.random.Generator) -> Any:
    """STEPS batches of one epoch."""
    for _ in range(STEPS):
        yield torch.from_numpy(rng.standard_normal((8, 3)).astype(np.float32))


class Script:
    """A validation score that follows a script, and the weights it was asked about."""

    def __init__(self, network: Any, scores: list[float]) -> None:
        self.network, self.scores, self.seen = network, scores, []

    def __call__(self) -> float:
        assert not self.network.training and not torch.is_grad_enabled()
        self.seen.append(weights(self.network))
        return self.scores[len(self.seen) - 1]


def weights(network: Any) -> dict[str, Any]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(left: dict[str, Any], right: dict[str, Any]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def trained(
    context: Context | None = None,
    scores: list[float] | None = None,
    width: int = 5,
    loss: Any = None,
    *,
    losses: bool = False,
    **budget: Any,
) -> tuple[Any, Script | None, float]:
    """A small network with dropout and running statistics, trained from the context's seed."""
    context = context or Context(3)
    with seeded(context.seed, "cpu"):
        layers = (torch.nn.Linear(3, width), torch.nn.BatchNorm1d(width), torch.nn.Dropout(0.5))
        network = torch.nn.Sequential(*layers, torch.nn.Linear(width, 1))
        script = None if scores is None else Script(network, scores)
        make = {"epochs": 5, "patience": 2, "learning_rate": 0.05} | budget

        def square(batch: Any) -> Any:
            return ((network(batch).squeeze(-1) - batch.sum(1)) ** 2).mean()

        best = Trainer(network, drawn, loss or square, script, Budget(**make), context, losses=losses).run()
    return network, script, best


RISING = [0.1, 0.3, 0.2, 0.5, 0.4]


@pytest.mark.parametrize("at", range(5 * STEPS))
def test_interrupted_at_any_step_and_resumed_it_is_bit_identical(tmp_path, at):
    whole = Context(3)
    expected, _, best = trained(whole, RISING)
    for stop in (at, at % STEPS + STEPS):  # the second time one epoch after the place of resumption, or never
        with suppress(Interrupted):
            context = Context(3, checkpoint=tmp_path, progress=Interrupting(stop))
            trained(context, RISING[epochs_in(tmp_path) :])
    done = epochs_in(tmp_path)
    resumed = Context(3, checkpoint=tmp_path, progress=Interrupting())
    network, script, reached = trained(resumed, RISING[done:])
    assert script is not None and len(script.seen) == 5 - done
    assert same(weights(network), weights(expected)) and reached == best == 0.5
    assert without_time(resumed.curve) == without_time(whole.curve)
    assert any("resumed" in line for line in resumed.progress.lines) == (done > 0)


def epochs_in(folder: Path) -> int:
    state = load_state(folder / "fit.safetensors")
    return 0 if state is None else state.facts["standing"]["epoch"]


def without_time(curve: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in curve]


def test_best_weights_are_kept_and_training_ends_when_patience_does():
    context = Context(3)
    network, script, best = trained(context, [0.2, 0.4, 0.4, 0.1, 0.9], patience=2)
    assert script is not None and best == 0.4 and len(script.seen) == 4  # an equal score is not a better one
    assert same(weights(network), script.seen[1]) and not same(weights(network), script.seen[3])
    assert not network.training
    assert [row["validation"] for row in context.curve] == [0.2, 0.4, 0.4, 0.1]
    assert [row["epoch"] for row in context.curve] == [1, 2, 3, 4]


def test_of_losses_the_lowest_is_the_best():
    context = Context(3)
    network, script, best = trained(context, [0.9, 0.4, float("nan"), 0.4, 0.1], patience=2, losses=True)
    assert script is not None and best == 0.4 and same(weights(network), script.seen[1])
    assert [row["validation_loss"] for row in context.curve][:2] == [0.9, 0.4] and len(context.curve) == 4


@pytest.mark.parametrize(("least", "epochs"), [(0, 3), (2 * STEPS, 3), (2 * STEPS + 1, 4), (4 * STEPS, 5), (999, 8)])
def test_patience_waits_for_the_least_number_of_steps(least, epochs):
    scores = [0.5, *[0.1] * 6, 0.9]
    _, script, best = trained(scores=scores, epochs=8, patience=2, least_steps=least)
    assert script is not None and len(script.seen) == epochs and best == max(scores[:epochs])


def test_patience_starts_again_with_each_better_score():
    _, script, best = trained(scores=[0.1, 0.0, 0.2, 0.0, 0.3, 0.0, 0.0, 0.9], epochs=8)
    assert script is not None and best == 0.3 and len(script.seen) == 7


def test_evaluations_lie_as_far_apart_as_asked_and_the_last_epoch_counts():
    context = Context(3)
    _, script, _ = trained(context, [0.1, 0.2, 0.3], epochs=5, evaluate_every=2)
    assert script is not None and len(script.seen) == 3
    assert [row["epoch"] for row in context.curve if "validation" in row] == [2, 4, 5]


def test_a_score_that_is_no_number_is_not_a_better_one():
    network, script, best = trained(scores=[0.1, float("nan"), float("nan"), 1.0])
    assert script is not None and best == 0.1 and same(weights(network), script.seen[0])


def test_without_validation_the_last_weights_stay():
    context = Context(3)
    network, _, best = trained(context, epochs=4, patience=1)
    longer, script, _ = trained(scores=[0.1, 0.2, 0.3, 0.4], epochs=4)
    assert len(context.curve) == 4 and best == float("-inf") and script is not None
    assert same(weights(network), weights(longer)) and same(weights(network), script.seen[-1])
    assert all("validation" not in row for row in context.curve)


def test_the_loss_falls_and_weight_decay_and_clipping_matter():
    context = Context(3)
    plain, _, _ = trained(context, epochs=40)
    assert context.curve[-1]["loss"] < 0.7 * context.curve[0]["loss"]
    for other in ({"weight_decay": 0.1}, {"clip": 1e-3}, {"learning_rate": 0.01}):
        assert not same(weights(plain), weights(trained(epochs=40, **other)[0]))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_fails_the_run_and_names_the_epoch(tmp_path, bad):
    parameter = {"steps": 0}

    def loss(batch: Any) -> Any:
        parameter["steps"] += 1
        worse = bad if parameter["steps"] == 2 * STEPS + 2 else 1.0
        return batch.sum() * torch.ones((), requires_grad=True) * worse

    context = Context(3, checkpoint=tmp_path)
    with pytest.raises(RunFailed, match=r"loss became (nan|-?inf) in epoch 3") as caught:
        trained(context, loss=loss)
    assert "learning_rate" in str(caught.value)
    state = load_state(tmp_path / "fit.safetensors")
    assert state is not None and state.facts["standing"]["epoch"] == 2


def test_spent_time_and_curve_add_up_over_a_resume(tmp_path):
    first = Context(3, checkpoint=tmp_path, progress=Interrupting(3 * STEPS + 1))
    with pytest.raises(Interrupted):
        trained(first, RISING)
    state = load_state(tmp_path / "fit.safetensors")
    assert state is not None and first.spent.wall == 0
    spent = state.facts["spent"]
    second = Context(3, checkpoint=tmp_path)
    trained(second, RISING[3:])
    assert (second.spent.wall, second.spent.cpu) == (spent["wall"], spent["cpu"]) and spent["wall"] > 0
    seconds = [row["seconds"] for row in second.curve]
    assert len(seconds) == 5 and seconds == sorted(seconds) and seconds[2] == round(spent["wall"], 3)
    finished = Context(3, checkpoint=tmp_path)
    trained(finished, [])
    assert finished.spent.wall > second.spent.wall and without_time(finished.curve) == without_time(second.curve)


@pytest.mark.parametrize("change", ["width", "facts", "generator"])
def test_a_checkpoint_of_another_model_is_one_line(tmp_path, change):
    trained(Context(3, checkpoint=tmp_path), RISING, epochs=1)
    path = tmp_path / "fit.safetensors"
    if change != "width":
        state = load_state(path)
        assert state is not None
        if change == "facts":
            state.facts["standing"]["age"] = 3
        else:
            state.tensors = {name: t for name, t in state.tensors.items() if not name.startswith("generator")}
        save_state(state, path)
    with pytest.raises(UserError, match="of another model or version") as caught:
        trained(Context(3, checkpoint=tmp_path), RISING, width=6 if change == "width" else 5)
    assert str(path) in str(caught.value) and "--force" in str(caught.value) and "\n" not in str(caught.value)


def test_a_damaged_checkpoint_is_one_line(tmp_path):
    trained(Context(3, checkpoint=tmp_path), RISING, epochs=1)
    path = tmp_path / "fit.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match="not a readable checkpoint"):
        trained(Context(3, checkpoint=tmp_path), RISING)


# Whole models: the same, with their own batches, validation and stages.
SASREC: dict[str, Any] = {"epochs": 3, "batch_size": 100, "dropout": 0.3, "evaluate_every": 1}
S3REC: dict[str, Any] = SASREC | {"pretrain_epochs": 2, "pretrain_batch_size": 8, "epochs": 2}


def fit(name: str, how: dict[str, Any], context: Context) -> Any:
    pytest.importorskip("recbole", reason="RecBole is not installed")
    return fitted(name, training_of(rings(n_users=50)), context, **how)


@pytest.fixture(scope="module")
def uninterrupted() -> Any:
    """name -> (weights, steps, curve) of a run that nobody disturbed."""
    known: dict[str, Any] = {}

    def of(name: str, how: dict[str, Any]) -> Any:
        if name not in known:
            context = Context(1, progress=Interrupting())
            known[name] = (weights(fit(name, how, context).network), context.progress.steps, context.curve)
        return known[name]

    return of


@pytest.mark.parametrize(
    ("name", "how", "share"),
    [("sasrec", SASREC, 0.2), ("sasrec", SASREC, 0.5), ("sasrec", SASREC, 0.9)]
    + [("s3rec", S3REC, share) for share in (0.2, 0.6, 0.85, 0.97)]
    + [("bert4rec", {**SASREC}, 0.5), ("mf", {"epochs": 4}, 0.6), ("sasrec-pairwise", SASREC, 0.7)],
)
def test_a_model_resumes_to_the_same_bytes_in_either_stage(tmp_path, uninterrupted, name, how, share):
    expected, steps, curve = uninterrupted(name, how)
    with pytest.raises(Interrupted):
        fit(name, how, Context(1, checkpoint=tmp_path, progress=Interrupting(int(steps * share))))
    torch.rand(3)
    context = Context(1, checkpoint=tmp_path, progress=Interrupting())
    model = fit(name, how, context)
    assert same(weights(model.network), expected)
    assert without_time(context.curve) == without_time(curve)
    assert context.progress.steps < steps or share == 0.2
    kept = load_state(tmp_path / "best.safetensors")
    assert kept is not None and same(kept.tensors, expected)


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from worlds import Interrupting
import test_training
from bench.models import Context

class Killing(Interrupting):
    def end(self):
        os.kill(os.getpid(), signal.SIGKILL)

name, folder, at = sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
how = {"sasrec": test_training.SASREC, "s3rec": test_training.S3REC}[name]
test_training.fit(name, how, Context(1, checkpoint=folder, progress=Killing(at)))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize(("name", "how"), [("sasrec", SASREC), ("s3rec", S3REC)])
def test_a_process_that_was_really_killed_is_resumed_to_the_same_bytes(tmp_path, uninterrupted, name, how):
    expected, steps, _ = uninterrupted(name, how)
    here = Path(__file__).parent
    command = [sys.executable, "-c", KILLED, str(here), name, str(tmp_path), str(steps * 7 // 10)]
    paths = os.pathsep.join([str(here.parents[1]), str(here.parent / "baselines"), os.environ.get("PYTHONPATH", "")])
    killed = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert any(tmp_path.iterdir())
    context = Context(1, checkpoint=tmp_path, progress=Interrupting())
    assert same(weights(fit(name, how, context).network), expected)
    assert any("resumed" in line for line in context.progress.lines)
