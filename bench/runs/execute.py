"""Carrying out one job: fit, ask, judge, record."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.dataset import Dataset
from bench.efficiency import (
    Timing,
    device_peak_memory_mib,
    environment,
    keep_freed_memory,
    peak_memory_mib,
    reset_peak_memory,
    timed,
)
from bench.explanations import TEST, VALID, train_rows
from bench.models import Context, Pairs, Training, Validation
from bench.progress import LoggedProgress, Progress
from bench.protocols import Protocol
from bench.ragged import FloatArray, IntArray, Ragged
from bench.runs.curve import draw_curve, write_curve
from bench.runs.fitted import find_fit
from bench.runs.identity import Job
from bench.runs.lock import locked
from bench.runs.machine import conditions
from bench.runs.predictions import EXPLANATIONS, write_explanations, write_per_user, write_predictions
from bench.runs.record import LOG, Record, write_record
from bench.splits import Split, draw_negatives, item_numbers
from bench.tasks import Queries, Ranking, TaskName, judge, make_queries


def training_data(split: Split, tasks: tuple[TaskName, ...], protocol: Protocol) -> Training:
    """What a model may see of a split under a protocol."""
    validation: dict[TaskName, Validation] = {}
    for task in tasks:
        if task != "explanation":
            queries, truth = make_queries(split, task, "valid"), split.truth("valid").copy()
            validation[task] = Validation(queries, truth, _validator(queries, truth))
    histories = split.dataset.sequences if protocol.whole_history_negatives else split.train
    return Training(
        n_users=split.dataset.n_users,
        n_items=split.dataset.n_items,
        sequences=split.train,
        attributes=split.dataset.attributes,
        item_numbers=item_numbers(split, protocol.item_numbering),
        validation=validation,
        protocol=protocol,
        negatives=_sampler(histories, split.dataset.n_items),
        explanations=_explanations(split, protocol) if "explanation" in tasks else None,
    )


def _validator(queries: Queries, truth: IntArray) -> Callable[[Ranking], dict[str, float]]:
    # The closure holds the validation items alone: not even a model that looks inside it finds a test item.
    def score(ranking: Ranking) -> dict[str, float]:
        values = judge(ranking, queries, truth)
        return {name: float(column.mean()) for name, column in values.items() if name != "rank"}

    return score


def _sampler(histories: Ragged, n_items: int) -> Callable[[IntArray, np.random.Generator], IntArray]:
    return lambda users, rng: draw_negatives(histories, n_items, users, rng)


def _explanations(split: Split, protocol: Protocol) -> tuple[Pairs, Pairs] | None:
    if split.explanations is None:
        return None
    rows = train_rows(split.explanations, split, sound=not protocol.held_out_pairs)
    return explanation_pairs(split, rows), explanation_pairs(split, split.explanations.rows(VALID))


def explanation_pairs(split: Split, rows: IntArray, *, texts: bool = True) -> Pairs:
    """The explanation records of these rows; without sentences and ratings where sentences are what is asked for."""
    records = split.explanations
    if records is None:
        raise ValueError("this split has no explanations")
    users, items = records.users[rows], records.items[rows]
    if not texts:
        return Pairs(users, items)
    return Pairs(users, items, tuple(records.texts[row] for row in rows), _ratings(split.dataset, users, items))


def _ratings(dataset: Dataset, users: IntArray, items: IntArray) -> FloatArray | None:
    """(n,) the rating of each pair, None where the dataset does not have them all."""
    if dataset.ratings is None:
        return None
    known = dataset.sequences.row_of.astype(np.int64) * dataset.n_items + dataset.sequences.values
    order, asked = np.argsort(known), users.astype(np.int64) * dataset.n_items + items
    place = order[np.searchsorted(known, asked, sorter=order).clip(max=len(order) - 1)]
    return dataset.ratings[place] if np.array_equal(known[place], asked) else None


@dataclass
class Answers:
    """What a model answered. rankings: task -> queries and ranking. sentences: of the explanation test pairs."""

    rankings: dict[TaskName, tuple[Queries, Ranking]] = field(default_factory=dict)
    sentences: list[str] | None = None
    seconds: dict[str, Timing] = field(default_factory=dict)


def execute(
    job: Job,
    split: Split,
    runs: Path,
    *,
    device: str,
    threads: int,
    progress: Progress,
    force: bool = False,
    offline: bool = False,
    data_dir: Path | None = None,
    memory_mib: float = 0.0,
) -> Record:
    """Fit the job's model, or take the weights of a run that shares its fit, ask it every task, judge and record.

    A killed run resumes from its last checkpoint; `force` throws the checkpoint away and fits anew.
    offline, data_dir, memory_mib: see `Context`.
    Raises what the model raises; nothing is written then but the checkpoint.
    """
    checkpoint, logged = runs / "checkpoints" / job.folder, LoggedProgress(progress)
    if force:
        shutil.rmtree(checkpoint, ignore_errors=True)
    context = Context(
        job.seed, device, threads, checkpoint, logged, offline=offline, data_dir=data_dir, memory_mib=memory_mib
    )
    # Two runs that share a fit do not fit twice: the later one waits and takes the weights.
    fit_lock = locked(runs / "checkpoints" / f"fit-{job.fit_key}.lock", wait=True) if job.info.asking else nullcontext()
    with fit_lock:
        record = _execute(job, split, runs, context, force, logged)
    shutil.rmtree(checkpoint, ignore_errors=True)
    return record


def _execute(job: Job, split: Split, runs: Path, context: Context, force: bool, logged: LoggedProgress) -> Record:
    keep_freed_memory()
    reset_peak_memory()
    before = conditions()
    model: Any = job.info.build(job.settings)
    training = training_data(split, job.tasks, job.protocol)
    shared = None if force else find_fit(runs, job)
    reset_peak_memory()
    if shared is None:
        with timed() as fitting:
            model.fit(training, context)
        fitting.wall, fitting.cpu = fitting.wall + context.spent.wall, fitting.cpu + context.spent.cpu
    else:
        context.progress.line(f"{job.info.name}: takes the weights of {shared.path.name}")
        model.restore(shared.path / "weights.safetensors", training, context)
        fitting = Timing(*shared.content["timings"]["fit"].values())
    answers = _ask(model, job, split, context.progress)
    judged: dict[TaskName, dict[str, FloatArray]] = {
        task: judge(ranking, queries, split.truth("test"), per_occurrence=counts_repeats(job))
        for task, (queries, ranking) in answers.rankings.items()
    }
    content = _content(job, split, context, judged, {"fit": fitting, **answers.seconds})
    if shared is not None:
        content["fitted_by"] = shared.path.name
    if context.memory_mib:
        content["memory_budget_mib"] = context.memory_mib
    if job.timed:
        content["conditions"] = {"before": before, "after": conditions()}
    weights = shared.path / "weights.safetensors" if shared else Path(str(context.checkpoint)) / "best.safetensors"
    writers = _writers(split, context, judged, answers, weights)
    if logged.log:
        writers[LOG] = lambda path: path.write_text(logged.log, encoding="utf-8")
    return write_record(runs / job.folder, content, writers)


def _ask(model: Any, job: Job, split: Split, progress: Progress) -> Answers:
    answers = Answers()
    for task in progress.track(job.tasks, len(job.tasks), f"{job.info.name}: asking"):
        if task == "explanation":
            if split.explanations is None:
                raise ValueError("this split has no explanations")
            pairs = explanation_pairs(split, split.explanations.rows(TEST), texts=False)
            with timed() as answers.seconds["explain"]:
                sentences: list[str] = model.explain(pairs)
            if len(sentences) != len(pairs):
                raise ValueError(f"{len(sentences)} sentences for {len(pairs)} pairs")
            answers.sentences = sentences
            continue
        queries = make_queries(split, task, "test", keep_history=keeps_history(job))
        with timed() as answers.seconds[f"rank-{task}"]:
            answers.rankings[task] = (queries, model.rank(queries))
    return answers


def keeps_history(job: Job) -> bool:
    """Whether this model's lists may hold history items: only if the protocol says so and touches this model."""
    return "keep_history" in job.info.protocol_settings and job.protocol.keep_history


def counts_repeats(job: Job) -> bool:
    """Whether repeated items count again: only if the protocol says so and touches this model."""
    return "per_occurrence" in job.info.protocol_settings and job.protocol.per_occurrence


def _content(
    job: Job,
    split: Split,
    context: Context,
    judged: Mapping[TaskName, Mapping[str, FloatArray]],
    seconds: Mapping[str, Timing],
) -> dict[str, Any]:
    means: dict[str, dict[str, float]] = {}
    for task, values in judged.items():
        means[task] = {name: float(column.mean()) for name, column in values.items() if name != "rank"}
        means[task]["n"] = len(split.users)
    content = {
        "key": job.key,
        "identity": job.identity,
        "dataset": job.dataset,
        "preset": job.preset,
        "title": job.info.title,
        "device": context.device,
        "threads": context.threads,
        "environment": environment(),
        "timings": {name: {"wall_s": t.wall, "cpu_s": t.cpu} for name, t in seconds.items()},
        "peak_memory_mib": peak_memory_mib(),
        "metrics": means,
    }
    if context.device == "cuda":
        content["device_peak_memory_mib"] = device_peak_memory_mib()
    if job.info.asking:
        content["fit_key"] = job.fit_key
    if context.facts:
        content["facts"] = context.facts
    return content


def _writers(
    split: Split,
    context: Context,
    judged: Mapping[TaskName, Mapping[str, FloatArray]],
    answers: Answers,
    weights: Path,
) -> dict[str, Callable[[Path], Any]]:
    writers: dict[str, Callable[[Path], Any]] = {}
    if judged:
        writers["per_user.parquet"] = partial(write_per_user, split=split, judged=judged)
    for task, (_, ranking) in answers.rankings.items():
        writers[f"predictions-{task}.parquet"] = partial(write_predictions, split=split, ranking=ranking)
    if answers.sentences is not None:
        writers[EXPLANATIONS] = partial(write_explanations, split=split, sentences=answers.sentences)
    if context.curve:
        writers["curve.csv"] = partial(write_curve, curve=context.curve)
        writers["curve.png"] = partial(draw_curve, curve=context.curve)
    if weights.exists():
        writers["weights.safetensors"] = partial(shutil.copyfile, weights)
    return writers
