"""How cost grows: fits against known laws on a clock of our own, what is made to grow, and the command in small."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("sentencepiece")

from bench.efficiency import Timing  # noqa: E402
from bench.errors import UserError  # noqa: E402
from bench.splits import make_split  # noqa: E402
from benchmarks import decoding, measure, scale, scale_work  # noqa: E402
from benchmarks.scale import Found, exponent  # noqa: E402
from benchmarks.scale_work import Growth, Prepared  # noqa: E402
from pod.constrained import score_candidates  # noqa: E402
from pod.trie import Trie  # noqa: E402


class Clock:
    """CPU time that passes only where work says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.done: list[int] = []

    @contextmanager
    def timed(self) -> Iterator[Timing]:
        timing, before = Timing(), self.now
        yield timing
        timing.cpu = timing.wall = self.now - before

    def work(self, size: int, cost: float) -> Prepared:
        def spend() -> None:
            self.now += cost
            self.done.append(size)

        return Prepared(spend, size)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(measure, "timed", clock.timed)
    return clock


def found(costs: list[float], bar: float | None = 1.1, **changed: Any) -> Found:
    amounts = [4.0**place for place in range(len(costs))]
    made = Found("op", "users", [int(size) for size in amounts], amounts, [costs], len(costs), bar, False)
    return replace(made, **changed)


def test_exponents_are_least_squares_slopes() -> None:
    rng = np.random.default_rng(0)
    for power in (0.0, 0.5, 1.0, 2.3):
        amounts = rng.uniform(1, 1000, 6)
        assert exponent(amounts.tolist(), (3e-4 * amounts**power).tolist()) == pytest.approx(power)
        noisy = 3e-4 * amounts**power * np.exp(rng.normal(0, 0.2, 6))
        line = np.polyfit(np.log(amounts), np.log(noisy), 1)
        assert exponent(amounts.tolist(), noisy.tolist()) == pytest.approx(line[0])


@pytest.mark.parametrize(
    ("amounts", "costs"), [([2.0, 2.0], [1.0, 2.0]), ([3.0], [1.0]), ([1.0, 2.0], [0.0, 1.0]), ([0.0, 1.0], [1.0, 1.0])]
)
def test_no_exponent_without_two_amounts_and_positive_numbers(amounts: list[float], costs: list[float]) -> None:
    with pytest.raises(ValueError, match="exponent"):
        exponent(amounts, costs)


@pytest.mark.parametrize(("power", "verdict"), [(0.5, "met"), (1.0, "met"), (1.2, "MISSED"), (2.0, "MISSED")])
def test_measuring_finds_the_law_of_the_work(clock: Clock, power: float, verdict: str) -> None:
    growth = Growth("law", "users", (10, 40, 160), lambda size: clock.work(size, 1e-3 * size**power), 1.1)
    measured = scale.grown(growth, 3, least=1e-9)
    assert measured.slope == pytest.approx(power) and measured.last == pytest.approx(power)
    assert measured.noise == pytest.approx((power, power)) and measured.verdict == verdict
    assert measured.costs == pytest.approx([1e-3 * size**power for size in (10, 40, 160)])


def test_sizes_take_turns_and_short_work_is_repeated(clock: Clock) -> None:
    growth = Growth("turns", "users", (1, 4), lambda size: clock.work(size, 0.01 * size))
    measured = scale.grown(growth, 2, least=0.03)
    # Two warm-ups of each size, then rounds: three times the short work, once the other.
    assert clock.done == [1, 1, 4, 4, *[1, 1, 1, 4] * 2]
    assert measured.rounds == [pytest.approx([0.01, 0.04])] * 2 and measured.verdict == ""


def test_sizes_beyond_the_fit_are_measured_but_not_fitted(clock: Clock) -> None:
    growth = Growth("cut", "history", (5, 10, 20, 40), lambda n: clock.work(n, 0.1 * min(n, 20)), 1.1, fitted=3)
    measured = scale.grown(growth, 1)
    assert measured.slope == pytest.approx(1) and measured.costs == pytest.approx([0.5, 1, 2, 2])
    assert measured.last == pytest.approx(1)
    assert replace(measured, fitted=4).slope < 0.8


def test_verdicts() -> None:
    assert found([1.0, 4.0], bar=1.0).verdict == "met"
    assert found([1.0, 4.0], bar=1.0, strict=True).verdict == "MISSED"
    assert found([1.0, 3.9], bar=1.0, strict=True).verdict == "met"
    assert found([1.0, 16.0], bar=None).verdict == ""
    # One slow round among three changes the range, not the verdict.
    rounds = [[1.0, 4.0, 16.0], [1.0, 4.0, 160.0], [1.0, 4.0, 16.0]]
    steady = found([1.0, 1.0, 1.0], rounds=rounds)
    assert steady.verdict == "met" and steady.noise[0] == pytest.approx(1) and steady.noise[1] > 1.8
    # A fixed cost flattens the fit; the last step shows more of the growth.
    fixed = found([1.0 + 0.01 * size**2 for size in (1, 4, 16)])
    assert fixed.slope < fixed.last < 2


@pytest.mark.parametrize(("users", "items", "length"), [(40, 500, 8), (30, 50_000, 8), (20, 5_000, 82)])
def test_shops_hold_distinct_items(users: int, items: int, length: int) -> None:
    data = scale_work.shop(users, items, length)
    assert (data.n_users, data.n_items) == (users, items) and set(data.sequences.lengths.tolist()) == {length}
    walked = scale_work.walk(users, items, length, 0, length + 120)
    assert all(len(set(row)) == length + 120 for row in walked.tolist()) and 0 <= walked.min() <= walked.max() < items
    assert (walked[:, :length] == data.sequences.values.reshape(users, length)).all()


def test_lists_to_be_judged_keep_the_rules() -> None:
    split = make_split(scale_work.shop(50, 600))
    lists = scale_work.walk(50, 600, 8, 7, 20)
    judged = scale_work.judging(split, lists, "sequential")()
    assert judged["HR@1"].mean() == 1.0 and (judged["rank"] == 1).all()  # the walk's next item is the held-out one
    with pytest.raises(ValueError, match="history"):
        scale_work.judging(split, scale_work.walk(50, 600, 8, 6, 20), "sequential")()
    judged = scale_work.judging(split, split.candidates["test"][:, :20], "topn")()
    truth = [list(row).index(item) + 1 for row, item in zip(split.candidates["test"], split.truth("test"), strict=True)]
    assert judged["rank"].tolist() == [place if place <= 20 else 0 for place in truth]


def spellings(trie: Trie) -> list[tuple[int, ...]]:
    """Every item's id, read back from its path."""
    tokens, paths = trie.rows.numpy()[trie.columns.numpy()], trie.paths.numpy()[:-1, 1:]
    return [tuple(token for token in row if token >= 0) for row in np.where(paths >= 0, tokens[paths], -1).tolist()]


def test_catalogues_of_any_size_are_spelt_alike() -> None:
    small, large = spellings(scale_work.spelled(300)), spellings(scale_work.spelled(9000))
    assert large[:300] == small and len(set(large)) == 9000
    assert [len(row) for row in small] == [1] * 194 + [2] * 106
    kinds = [set(decoding.FIRST.tolist()), set(decoding.SECOND.tolist()), set(decoding.THIRD.tolist())]
    assert all(token in kinds[place] for row in large for place, token in enumerate(row))
    whole, theirs = scale_work.spelled(12_101), decoding.catalogue()
    assert whole.lengths.bincount().tolist() == theirs.lengths.bincount().tolist()
    assert len(scale_work.spelled(50_000)) == 50_000


def test_inputs_stop_growing_where_histories_are_cut() -> None:
    drawn = {history: scale_work.questions(6, history) for history in (5, 20, 40)}
    names = {history: np.array([max(row) for row in rows(examples.words)]) for history, examples in drawn.items()}
    assert {history: set(counts.tolist()) for history, counts in names.items()} == {5: {6}, 20: {21}, 40: {21}}
    tokens = {history: len(examples.ids.values) for history, examples in drawn.items()}
    assert tokens[20] > 2 * tokens[5] and tokens[40] < 1.3 * tokens[20]  # larger numbers are longer


def rows(ragged: Any) -> list[list[int]]:
    return [ragged[row].tolist() for row in range(len(ragged))]


def test_searches_are_of_what_they_say() -> None:
    asked = scale_work.Asked()
    found = asked.ways["constrained search"](3, 400, 20, 30)()
    forbidden = scale_work.some(3, 400, 20)
    trie = scale_work.spelled(400)
    for items, bought in zip(found.items.tolist(), forbidden.tolist(), strict=True):
        assert len(set(items)) == 20 and min(items) >= 0 and not set(items) & set(bought)
    exact = score_candidates(asked.decoder, asked.memory(3, 30), trie, found.items)
    torch.testing.assert_close(found.scores, exact, rtol=1e-4, atol=1e-5)
    free = asked.ways["free search"](3, 400, 5, 30)()
    assert free.ids.shape[:2] == (3, 5) and bool(torch.isfinite(free.scores).all())
    assert asked.ways["candidate scores"](3, 400, 5, 30)().shape == (3, 100)


@pytest.fixture(scope="module")
def small() -> list[Found]:
    return [Found(**each) for each in json.loads(json.dumps(scale.measure(quick=True, rounds=1)))]


def test_every_operation_is_measured_and_held_to_its_bar(small: list[Found]) -> None:
    bars = {(each.operation, each.axis): (each.bar, each.strict) for each in small}
    assert len(bars) == len(small)
    for operation, axis in bars:
        held = (1.0, True) if (operation, axis) == ("constrained search", "items") else (None, False)
        assert bars[operation, axis] == ((1.1, False) if axis in ("users", "tokens", "history") else held)
    for operation in ("splitting", "judging, catalogue", "judging, candidates", "top-N candidates"):
        assert {(operation, "users"), (operation, "items")} <= set(bars)
    for operation in ("preparing samples", "training step", "free search", "constrained search", "candidate scores"):
        assert (operation, "history") in bars
    assert {("training step", "tokens"), ("free search", "beams"), ("constrained search", "beams")} <= set(bars)
    assert all(cost > 0 for each in small for cost in each.costs)


def test_the_command_prints_and_writes(
    small: list[Found], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[str, ...]] = []
    worse = [replace(small[0], rounds=[[float(size) ** 1.5 for size in small[0].sizes]]), *small[1:2]]

    def figures(*command: str) -> dict[str, Any]:
        told.append(command)
        return {"found": [vars(each) for each in worse]}

    monkeypatch.setattr(scale, "figures", figures)
    assert scale.main(["--quick", "--rounds", "4", "--out", str(tmp_path / "new")]) == 1
    assert told == [("benchmarks.scale", "--measure", "--rounds", "4", "--quick")]
    printed = capsys.readouterr().out
    assert printed.count("MISSED") == 1 and "0 bars met, 1 missed" in printed and " 1.50 " in printed
    read = {name: list(csv.DictReader((tmp_path / "new" / f"{name}.csv").open())) for name in ("scale", "exponents")}
    assert [float(row["cpu_s"]) for row in read["scale"][:2]] == pytest.approx(worse[0].costs, rel=1e-5)
    assert [row["verdict"] for row in read["exponents"]] == ["MISSED", ""]
    assert float(read["exponents"][0]["exponent"]) == 1.5
    assert scale.main(["--out", str(tmp_path / "new" / "scale.csv")]) == 255
    assert "choose another --out" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        scale.main(["--rounds", "0"])


def test_the_picture_is_small_and_every_axis_has_a_panel(small: list[Found], tmp_path: Path) -> None:
    from matplotlib.image import imread

    scale.draw(small, tmp_path / "scale.png")
    scale.draw([each for each in small if each.axis == "beams"], tmp_path / "beams.png")
    assert 10_000 < (tmp_path / "scale.png").stat().st_size < 120_000
    wide, narrow = (imread(tmp_path / f"{name}.png").shape[1] for name in ("scale", "beams"))
    assert wide == pytest.approx(5 * narrow, rel=0.01)
    with pytest.raises(UserError, match="cannot be written"):
        scale.write(small, tmp_path / "scale.png")
