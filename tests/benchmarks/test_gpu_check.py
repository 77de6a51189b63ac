"""The check for GPU machines: its rehearsal without the packages such a machine lacks, and what it notices."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from copy import deepcopy
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from bench.ragged import Ragged  # noqa: E402
from benchmarks import gpu_check, gpu_golden, gpu_parity, gpu_tables, gpu_world  # noqa: E402
from benchmarks.gpu_report import Report, as_text  # noqa: E402
from pod.templates import SLOTS, load_templates  # noqa: E402

ABSENT = (
    "orjson",
    "sentencepiece",
    "nltk",
    "scipy",
    "pyarrow",
    "pooch",
    "psutil",
    "textblob",
    "rouge_score",
    "recbole",
)
ALONE = f"""import runpy, sys
sys.modules.update(dict.fromkeys({ABSENT!r}))
sys.argv = ["gpu_check", "--rehearse", "--json", sys.argv[1]]
runpy.run_module("benchmarks.gpu_check", run_name="__main__")
"""


def world(report: Report | None = None) -> gpu_world.World:
    return gpu_world.World("cpu", gpu_world.REHEARSAL, report or Report(5))


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """What the command prints and writes where only what it asks for is installed."""
    path = tmp_path_factory.mktemp("gpu") / "found.json"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    root = Path(gpu_check.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(path)], cwd=root, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, json.loads(path.read_text())


def test_every_check_passes_in_the_rehearsal(rehearsal: tuple[str, dict[str, Any]]) -> None:
    text, found = rehearsal
    names = {check["check"] for check in found["checks"]}
    assert found["failed"] == 0 and not found["skipped"] and found["rehearsal"]
    assert {
        "out of memory",
        "killed and resumed",
        "sound, topn",
        "published, sequential",
        "free search, explanation",
    } <= names
    assert {f"loss and gradients, {way}, {kind}" for way in ("packed", "padded") for kind in ("fp32", "bf16")} <= names
    assert f"{len(names)} passed, 0 failed" in text and found["torch"] == torch.__version__


def test_both_tables_have_every_row(rehearsal: tuple[str, dict[str, Any]]) -> None:
    tables = rehearsal[1]["tables"]
    rows = {(row["numbers"], row["strategy"]): row for row in tables["Table 5, training"]}
    assert rows.keys() == {(kind, way) for kind in ("fp32", "bf16") for way in gpu_tables.STRATEGIES}
    packed, padded = rows["fp32", "packed"], rows["fp32", "sample-mixed"]
    assert packed["padding"] == "0%" and padded["padding"] != "0%" and packed["TFLOP a step"] < padded["TFLOP a step"]
    # The same samples: what is useful of them a second, by how many samples, is the same.
    each = [row["tokens/s"] / row["samples/s"] for row in (packed, padded)]
    assert each[0] == pytest.approx(each[1])
    asked = {(row["numbers"], row["task"], row["way"].split(",")[0]) for row in tables["Table 6, inference"]}
    assert asked == {(kind, task, way) for kind in ("fp32", "bf16") for task in SLOTS for way in ("authors", "ours")}
    for row in tables["Table 6, inference"]:
        assert row["users/s"] == pytest.approx(1000 * row["users"] / row["ms"], rel=1e-6)


def test_a_device_that_computes_otherwise_is_noticed() -> None:
    def worn(network: Any) -> Any:
        other = deepcopy(network)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.mul_(1.05)
        return other

    report = Report(5)
    with mock.patch.object(gpu_parity, "deepcopy", worn):
        gpu_parity.losses(world(report))
        gpu_parity.searches(world(report))
    failed = {check["check"] for check in report.checks if not check["passed"]}
    assert {"loss and gradients, packed, fp32", "encoder, sequential", "scores of candidates"} <= failed


def test_golden_lists_and_losses_are_found_and_others_are_not(shared: Path, tmp_path: Path) -> None:
    report = Report(5)
    gpu_golden.golden(world(report), shared / "golden")
    assert len(report.checks) == 16 and not report.failed
    for name in ("config.json", "model.safetensors", "cases_sharp.json"):
        (tmp_path / name).symlink_to((shared / "golden" / name).resolve())
    cases = json.loads((shared / "golden" / "cases.json").read_text())
    case = {**cases["sequential"], "loss_padding_counted": 1.0}
    case["beam_ids"] = case["beam_ids"][::-1]
    (tmp_path / "cases.json").write_text(json.dumps({"sequential": case}))
    report = Report(5)
    gpu_golden.golden(world(report), tmp_path)
    assert [check["passed"] for check in report.checks[:2]] == [False, False]


def test_lists_are_parted_by_more_than_near_ties() -> None:
    scores = [[-1.0, -1.00001, -2.0]]
    cases = [("abc", 0), ("bac", 0), ("acb", 1), ("abd", 0), ("dbc", 1), ("adc", 1)]
    for other, count in cases:
        assert gpu_parity.parted(([list("abc")], scores), ([list(other)], scores)) == count, other


def test_rows_are_what_the_filled_templates_say() -> None:
    templates, numbers = load_templates(), np.array([7, 12, 345, 18357])
    writer = gpu_world.Writer(200, numbers, 5000)
    items, user = [3, 0, 2], 98
    for task in SLOTS:
        for template in templates.of(task):
            text = template.fill(f"user_{user + 1}", [f"item_{numbers[item]}" for item in items])
            ids: list[int] = []
            words: list[int] = []
            for place, part in enumerate(re.split(r"((?:user|item)_\d+)", text)):
                if place % 2:
                    kind, number = part.split("_")
                    pairs = re.findall(r"\d\d?", number)
                    row = [3 if kind == "user" else 4, 5, *(16 + int(p) if len(p) > 1 else 6 + int(p) for p in pairs)]
                    ids += row
                    words += [place // 2 + 1] * len(row)
                else:
                    ids += writer._words(part).tolist()
                    words += [0] * (len(ids) - len(words))
            found = writer.inputs(template, np.array([user]), Ragged.from_rows([items]))
            assert found.ids[0].tolist() == [*ids, 1] and found.words[0].tolist() == [*words, 0], template.text
    spelt = writer.item_targets.padded(5, fill=0)
    assert writer.parse_items(spelt).tolist() == [0, 1, 2, 3]
    assert writer.parse_items(np.array([[0, 16, 1]])).tolist() == [-1]


def test_the_shop_is_of_the_size_it_says() -> None:
    training = gpu_world.shop(2000, 900, 500)
    lengths = training.sequences.lengths + 2
    assert (training.n_users, training.n_items) == (2000, 900) and 7 < lengths.mean() < 9.5
    keys = training.sequences.row_of.astype(np.int64) * 900 + training.sequences.values
    assert len(np.unique(keys)) == len(keys)
    assert training.explanations is not None and sum(map(len, training.explanations)) == 500
    assert set(training.explanations[0].users * 900 + training.explanations[0].items) <= set(keys.tolist())


def test_parts_fail_and_are_skipped_for_themselves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(1 / 60, tmp_path / "found.json")

    def broken() -> None:
        raise RuntimeError("no kernel image")

    report.part("first", 0, broken)
    report.part("second", 0, lambda: report.check("fine", True, "it is"))
    report.part("third", 60, lambda: report.check("never", False, "asked"))
    report.show()
    text, found = capsys.readouterr().out, json.loads((tmp_path / "found.json").read_text())
    assert report.failed == found["failed"] == 1 and report.skipped == ["third"] and len(report.checks) == 2
    assert "no kernel image" in text and "skipped third" in text and "1 passed, 1 failed" in text


def test_users_are_halved_until_they_fit() -> None:
    asked: list[int] = []

    def work(users: int) -> None:
        asked.append(users)
        if users > 3:
            raise torch.OutOfMemoryError("full")

    users, spent = gpu_tables.halving(world(), work, 12)
    assert users == 3 and asked == [12, 6, 3, 3, 3] and len(spent.wall) == 2
    with pytest.raises(torch.OutOfMemoryError):
        gpu_tables.halving(world(), lambda users: work(users + 9), 4)


def test_clocks_agree_and_wide_spreads_are_marked() -> None:
    spent = gpu_tables.timed(lambda: time.sleep(0.02), "cpu", 3)
    assert len(spent.wall) == 3 and min(spent.wall) >= 0.02 and max(spent.cpu) < 0.02 and spent.peak > 0
    assert gpu_tables.Spent([1.0, 1.1], [1.0, 1.1], [0.5, 0.5], 2**30).figures(2) == {
        "ms": 525.0, "device ms": 525.0, "cpu ms": 250.0, "peak GiB": 1.0, "rounds": 2, "spread": "10%"
    }  # fmt: skip
    assert gpu_tables.Spent([1.0, 1.5], [1.0, 1.0], [0.5, 0.5], 0).figures(1)["spread"] == "40% *"
    hurried = gpu_tables.timed(lambda: None, "cpu", 5, lambda: 1.0)
    assert len(hurried.wall) == 1


def test_what_is_missing_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with mock.patch.object(torch.cuda, "is_available", lambda: False):
        assert gpu_check.main(["--json", str(tmp_path / "a")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert gpu_check.main(["--rehearse", "--golden", str(tmp_path), "--json", str(tmp_path / "a")]) == 2
    assert "--golden" in capsys.readouterr().err and not (tmp_path / "a").exists()


def test_tables_line_up() -> None:
    lines = as_text([{"a": 1.5, "b": "x"}, {"a": 12345.6, "c": 2}]).splitlines()
    assert lines == ["     a  b  c", "   1.5  x   ", "12,346     2"]
