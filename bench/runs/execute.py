"""Carrying out one job: fit, ask, judge, record."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.efficiency import Timing, environment, peak_memory_mib, reset_peak_memory, timed
from bench.models import Context, Training, Validation
from bench.progress import Progress
from bench.protocols import Protocol
from bench.ragged import FloatArray, IntArray
from bench.runs.identity import Job
from bench.runs.record import Record, write_record
from bench.splits import Split, item_numbers
from bench.tasks import Queries, Ranking, TaskName, judge, make_queries


def training_data(split: Split, tasks: tuple[TaskName, ...], protocol: Protocol) -> Training:
    """What a model may see of a split under a protocol."""
    validation: dict[TaskName, Validation] = {}
    for task in tasks:
        queries = make_queries(split, task, "valid")
        validation[task] = Validation(queries, _validator(queries, split.truth("valid").copy()))
    return Training(
        n_users=split.dataset.n_users,
        n_items=split.dataset.n_items,
        sequences=split.train,
        attributes=split.dataset.attributes,
        item_numbers=item_numbers(split, protocol.item_numbering),
        validation=validation,
        protocol=protocol,
    )


def _validator(queries: Queries, truth: IntArray) -> Callable[[Ranking], dict[str, float]]:
    # The closure holds the validation items alone: not even a model that looks inside it finds a test item.
    def score(ranking: Ranking) -> dict[str, float]:
        values = judge(ranking, queries, truth)
        return {name: float(column.mean()) for name, column in values.items() if name != "rank"}

    return score


def execute(
    job: Job, split: Split, runs: Path, *, device: str, threads: int, progress: Progress, force: bool = False
) -> Record:
    """Fit the job's model, ask it every task, judge its answers and write the record.

    A killed run resumes from its last checkpoint; `force` throws the checkpoint away.
    Raises what the model raises; nothing is written then but the checkpoint.
    """
    checkpoint = runs / "checkpoints" / job.folder
    if force:
        shutil.rmtree(checkpoint, ignore_errors=True)
    reset_peak_memory()
    context = Context(job.seed, device, threads, checkpoint, progress)
    model = job.info.build(job.settings)
    training = training_data(split, job.info.tasks, job.protocol)
    reset_peak_memory()
    with timed() as fitting:
        model.fit(training, context)
    fitting.wall, fitting.cpu = fitting.wall + context.spent.wall, fitting.cpu + context.spent.cpu
    answers: dict[TaskName, tuple[Queries, Ranking]] = {}
    asking: dict[str, Timing] = {}
    for task in progress.track(job.info.tasks, len(job.info.tasks), f"{job.info.name}: ranking"):
        queries = make_queries(split, task, "test", keep_history=keeps_history(job))
        with timed() as asking[task]:
            answers[task] = (queries, model.rank(queries))
    judged: dict[TaskName, dict[str, FloatArray]] = {
        task: judge(ranking, queries, split.truth("test"), per_occurrence=counts_repeats(job))
        for task, (queries, ranking) in answers.items()
    }
    content = _content(job, split, context, judged, fitting, asking)
    writers = {"per_user.parquet": lambda path: _write_per_user(path, split, judged)}
    for task, (_, ranking) in answers.items():
        writers[f"predictions-{task}.parquet"] = lambda path, r=ranking: write_predictions(path, split, r)
    if context.curve:
        writers["curve.csv"] = lambda path: _write_curve(path, context.curve)
    weights = checkpoint / "best.safetensors"
    if weights.exists():
        writers["weights.safetensors"] = lambda path: shutil.copyfile(weights, path)
    record = write_record(runs / job.folder, content, writers)
    shutil.rmtree(checkpoint, ignore_errors=True)
    return record


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
    fitting: Timing,
    asking: Mapping[str, Timing],
) -> dict[str, Any]:
    means: dict[str, dict[str, float]] = {}
    for task, values in judged.items():
        means[task] = {name: float(column.mean()) for name, column in values.items() if name != "rank"}
        means[task]["n"] = len(split.users)
    seconds = {"fit": fitting, **{f"rank-{task}": timing for task, timing in asking.items()}}
    return {
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


def _write_per_user(path: Path, split: Split, judged: Mapping[TaskName, Mapping[str, FloatArray]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts = []
    for task, values in judged.items():
        columns: dict[str, Any] = {"task": pa.array([task] * len(split.users)).dictionary_encode()}
        columns["user"] = split.users.astype(np.int32)
        columns.update({name: column.astype(np.float32) for name, column in values.items()})
        columns["rank"] = values["rank"].astype(np.int16)
        parts.append(pa.table(columns))
    pq.write_table(pa.concat_tables(parts, promote_options="default"), path, compression="zstd")


def write_predictions(path: Path, split: Split, ranking: Ranking) -> None:
    """Write a ranking in the form `--score` reads: user and item ids of the source, rank from 1, score."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    listed = ranking.items >= 0
    users, places = np.nonzero(listed)
    user_ids, item_ids = pa.array(split.dataset.user_ids), pa.array(split.dataset.item_ids)
    table = pa.table(
        {
            "user": pa.DictionaryArray.from_arrays(split.users[users].astype(np.int32), user_ids),
            "rank": (places + 1).astype(np.int16),
            "item": pa.DictionaryArray.from_arrays(ranking.items[listed].astype(np.int32), item_ids),
            "score": ranking.scores[listed].astype(np.float32),
        }
    )
    pq.write_table(table, path, compression="zstd")


def _write_curve(path: Path, curve: list[dict[str, float]]) -> None:
    columns = list(dict.fromkeys(name for row in curve for name in row))
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(curve)
