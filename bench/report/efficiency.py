"""Table 5: what three ways of composing training steps cost, on the same samples (POD section 3.4 and 5.4).

An epoch is the same samples for every strategy. In the paper's Table 5 a sample-mixed epoch holds about 2.1 times the
samples of a task-alternated one (PUBLISHED.md, line 21), so that its 3.9 an epoch is some 1.9 a sample: both are shown.
"""

from __future__ import annotations

import csv
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UserError
from bench.explanation_judge import figure
from bench.report.build import dataset_title, explanation_reasons, reasons
from bench.report.figures import Line, draw_panels
from bench.report.files import write_table
from bench.report.inference import build_inference
from bench.report.machines import machine_in_words, timed_apart
from bench.report.notes import changed_settings, data_notes, protocol_in_words, run_notes, seed_note
from bench.report.published import paper_lines
from bench.report.sensitivity import build_sensitivity
from bench.report.specs import TableSpec
from bench.report.table import Cell, Footnotes, Panel, Row, Table
from bench.report.text_models import facts_of, model_notes, scratch_mark
from bench.runs.plan import Entry, Plan
from bench.runs.record import Record
from bench.runs.timed import UNSTEADY

PUBLISHED_EPOCH = {"sample-mixed": 2.1}
_DIGITS = {
    "Total, s": 0,
    "Epochs": 0,
    "Epoch, s": 2,
    "Published, s": 2,
    "Samples/s": 1,
    "Tokens/s": 0,
    "Padding, %": 1,
    "Memory, MiB": 0,
    "Best loss": 4,
    "Best at, s": 0,
}
TITLES = {
    "sample-mixed": "Sample-mixed",
    "task-alternated": "Task-alternated",
    "packed": "Packed",
}


def build_efficiency(spec: TableSpec, plan: Plan, folder: Path, suffix: str) -> tuple[Table, list[Path]]:
    """The table of a spec about time or the number of prompt vectors, written with what stands beside it."""
    if spec.timed:
        return build_inference(spec, plan, folder, suffix)
    if spec.variants is not None and spec.variants.setting == "prompts":
        return build_sensitivity(spec, plan, folder, suffix)
    table = build_training(spec, plan)
    return table, [*write_table(table, folder, suffix), *_draw(spec, plan, folder / f"table{spec.number}{suffix}")]


@dataclass(frozen=True)
class Training:
    """What a learning curve tells, in seconds of wall time.

    epoch_spread: (90th - 10th percentile) / median of the epochs' times.
    losses, at:   validation loss after each epoch, and when it was there.
    """

    total: float
    epochs: int
    epoch_spread: float
    samples_per_s: float
    tokens_per_s: float
    padding: float
    losses: tuple[float, ...]
    at: tuple[float, ...]

    @property
    def best(self) -> int:
        """The epoch of the lowest loss, from 0."""
        return min(range(len(self.losses)), key=self.losses.__getitem__)


def read_training(record: Record) -> Training:
    """The training behind a record; UserError where its curve lacks columns or is empty."""
    path = record.path / "curve.csv"
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(stream)]
        last, at = rows[-1], [row["seconds"] for row in rows]
        seconds = last["seconds"] - last["validation_seconds"]
        steps = [late - early for early, late in zip([0.0, *at[:-1]], at, strict=True)]
        tenths = statistics.quantiles(steps, n=10) if len(steps) > 1 else [steps[0]] * 9
        return Training(
            last["seconds"],
            len(rows),
            (tenths[-1] - tenths[0]) / statistics.median(steps),
            last["samples"] / seconds,
            last["tokens"] / seconds,
            100.0 * last["padding"],
            tuple(row["validation_loss"] for row in rows),
            tuple(at),
        )
    except (OSError, KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise UserError(f"no learning curve with times ({error!r})", str(path), "run it again with --force") from error


def build_training(spec: TableSpec, plan: Plan) -> Table:
    """Table 5 of a plan: a row a strategy, then the paper's rows where it is about this dataset."""
    footnotes, (protocol,) = Footnotes(), plan.protocols
    tested = _tested(plan)
    columns = (*_DIGITS, *tested)
    rows, trainings = [], {}
    for name in _strategies(plan):
        entries = [entry for entry in plan.entries if entry.variant == name]
        found = [(entry.record, read_training(entry.record)) for entry in entries if entry.record]
        trainings[name] = [training for _, training in found]
        cells = [_cell([values(r, t, name) for r, t in found], digits) for digits, values in _measures()]
        cells += [_cell([r.metrics.get(task, {}).get(metric) for r, _ in found], 4) for task, metric in tested.values()]
        texts = [*scratch_mark(entries), *reasons(entries), *_unsteady(trainings[name]), *_untested(entries, plan)]
        texts += timed_apart(_machines(entries), _machines(plan.entries))
        rows.append(Row(name, TITLES.get(name, name), tuple(cells), tuple(map(footnotes.add, texts)), "added"))
    rows += [_paper_row(line, columns) for line in paper_lines(spec.number, plan.card.name)]
    notes = (
        *run_notes(plan),
        seed_note(plan),
        f"Protocol {protocol.name}: {protocol_in_words(protocol, text_models=True)}.",
        *changed_settings(plan),
        *model_notes(plan.entries, None),
        *_conditions(plan.entries),
        _MEANING,
        *_findings(trainings),
        _PAPER,
        *data_notes(plan.card),
    )
    caption = f"{spec.caption}: {dataset_title(plan.card.name)}"
    texts = tuple(footnotes.texts)
    panel = Panel(protocol.name, tuple(rows))
    return Table(spec.number, caption, plan.card.name, plan.preset, columns, (panel,), False, notes, texts)


_MEANING = (
    "Packed: sample-mixed without padding. An epoch is the same samples in as many steps for every strategy, drawn by "
    "the same seeds; published epoch: a sample-mixed one of the released code holds about 2.1 times the samples of a "
    "task-alternated one. Total and epoch with validation; samples and useful tokens (without padding) a second of "
    "training alone. Memory: the peak of the whole process, on CUDA of the device."
)
_PAPER = (
    "The paper's Table 5 (Sports, one V100S): 959 min in 13 epochs of 74 for sample-mixed, 415 in 22 of 19 for "
    "task-alternated. 74 / 19 is 3.9; at 2.1 times the samples an epoch that is 1.9 a sample."
)


def _measures() -> list[tuple[int, Callable[[Record, Training, str], float]]]:
    return [
        (0, lambda r, t, name: t.total),
        (0, lambda r, t, name: float(t.epochs)),
        (2, lambda r, t, name: t.total / t.epochs),
        (2, lambda r, t, name: t.total / t.epochs * PUBLISHED_EPOCH.get(name, 1.0)),
        (1, lambda r, t, name: t.samples_per_s),
        (0, lambda r, t, name: t.tokens_per_s),
        (1, lambda r, t, name: t.padding),
        (0, lambda r, t, name: peak_memory(r)),
        (4, lambda r, t, name: t.losses[t.best]),
        (0, lambda r, t, name: t.at[t.best]),
    ]


def peak_memory(record: Record) -> float:
    """MiB: of the device where there was one, else of the process."""
    content = record.content
    return float(content.get("device_peak_memory_mib", content["peak_memory_mib"]))


def _strategies(plan: Plan) -> list[str]:
    return list(dict.fromkeys(entry.variant for entry in plan.entries))


def _tested(plan: Plan) -> dict[str, tuple[str, str]]:
    """Columns of test figures: heading -> task and metric."""
    (protocol,) = plan.protocols
    columns = {"HR@10": ("sequential", "HR@10"), "Top-N NDCG@10": ("topn", "NDCG@10")}
    if plan.card.explanations_fingerprint:
        columns["BLEU-4"] = ("explanation", figure("BLEU-4", protocol.text_metrics))
    return columns


def _untested(entries: list[Entry], plan: Plan) -> list[str]:
    if not plan.card.explanations_fingerprint:
        return []
    return [text for text in explanation_reasons(entries, plan.card) if text not in reasons(entries)]


def _cell(values: Sequence[float | None], digits: int) -> Cell:
    known = [value for value in values if value is not None]
    if not known:
        return Cell(digits=digits)
    std = statistics.stdev(known) if len(known) > 1 else None
    return Cell(statistics.fmean(known), std, len(known), digits=digits)


def _unsteady(trainings: Iterable[Training]) -> list[str]:
    worst = max((training.epoch_spread for training in trainings), default=0.0)
    return [f"unsteady: its epochs' times spread by {worst:.0%} of their median"] if worst > UNSTEADY else []


def _machines(entries: Iterable[Entry]) -> list[tuple[int, str]]:
    """Seed and machine of each run."""
    return [(entry.seed, machine_in_words(entry.record.content)) for entry in entries if entry.record]


def _conditions(entries: Iterable[Entry]) -> list[str]:
    """What the machine was like: runs had it for themselves, as far as this suite can see to it."""
    found = [entry.record.content for entry in entries if entry.record]
    loads = [content["conditions"]["before"]["load_average"][0] for content in found if "conditions" in content]
    if not loads:
        return []
    threads = sorted({str(content["threads"]) for content in found})
    budgets = [
        f"{entry.variant} in at most {facts_of(entry.record).get('most_parts', 1)} parts a step"
        for entry in entries
        if entry.record and entry.record.content.get("memory_budget_mib")
    ]
    held = sorted({f"{content['memory_budget_mib'] / 1024:g}" for content in found if "memory_budget_mib" in content})
    told = [f"Memory budget {' and '.join(held)} GiB: {', '.join(budgets)}."] if held else []
    return [
        f"Timed one at a time, each in a process of its own, no other run of ours beside; "
        f"threads: {', '.join(threads)}; load average before: {min(loads):g} to {max(loads):g}.",
        *told,
    ]


def _findings(trainings: dict[str, list[Training]]) -> list[str]:
    """Sentences from the figures: speed a sample, and time to a loss that all reach; first seeds alone."""
    first = {name: found[0] for name, found in trainings.items() if found}
    told = []
    if {"sample-mixed", "task-alternated"} <= set(first):
        ratio = first["task-alternated"].samples_per_s / first["sample-mixed"].samples_per_s
        told.append(f"A sample costs {ratio:.2f} times as much sample-mixed as task-alternated")
    if {"sample-mixed", "packed"} <= set(first):
        ratio = first["packed"].samples_per_s / first["sample-mixed"].samples_per_s
        told.append(f"{ratio:.2f} times as much sample-mixed as packed")
    sentences = [f"{', '.join(told)}."] if told else []
    if len(first) > 1:
        common = max(min(training.losses) for training in first.values())
        times = ", ".join(f"{name} {_reached(training, common):,.0f} s" for name, training in first.items())
        sentences.append(f"Time to a validation loss of {common:.4f}, which all reach: {times}.")
    if {"sample-mixed", "packed"} <= set(first):
        mixed, packed = (min(first[name].losses) for name in ("sample-mixed", "packed"))
        sentences.append(
            f"Sample-mixed and packed take the same steps but for rounding, and their lowest losses, {mixed:.4f} and "
            f"{packed:.4f}, differ by {abs(mixed - packed):.4f}: so much, or less, tells no strategies apart."
        )
    return sentences


def _reached(training: Training, loss: float) -> float:
    return next(at for at, found in zip(training.at, training.losses, strict=True) if found <= loss)


def _paper_row(line: dict[str, float | str], columns: Iterable[str]) -> Row:
    minutes = {"Total, s": "total_minutes", "Epoch, s": "minutes_per_epoch", "Published, s": "minutes_per_epoch"}
    cells = []
    for column in columns:
        value = 60.0 * float(line[minutes[column]]) if column in minutes else None
        value = float(line["epochs"]) if column == "Epochs" else value
        cells.append(Cell(value, digits=0))
    return Row("", f"Paper, V100S: {line['name']}", tuple(cells), (), "paper")


def _draw(spec: TableSpec, plan: Plan, stem: Path) -> list[Path]:
    """The curve of validation loss over wall time of each strategy's first seed."""
    lines = []
    for name in _strategies(plan):
        records = [entry.record for entry in plan.entries if entry.variant == name and entry.record]
        if records:
            training = read_training(records[0])
            lines.append(Line(TITLES.get(name, name), training.at, training.losses))
    if not lines:
        return []
    axes = {"xlabel": "seconds of training and validation", "ylabel": "validation loss"}
    return draw_panels([(dataset_title(plan.card.name), axes, lines)], stem)
