"""What stands beside Table 4: how varied explanations are, how sure the figures are, and what records they are of."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.explanation_file import PARTS
from bench.explanation_judge import VARIETY, figure
from bench.explanation_report import records, sample_rows, statistics
from bench.metrics.text import ROUGE_METRICS, Family, bleu_difference
from bench.ragged import FloatArray
from bench.report.build import cell_of, dataset_title, explanation_reasons, row_title, rows_of
from bench.report.explanation_notes import cut_notes, pairs_note
from bench.report.files import csv_lines, write_text
from bench.report.inert import csv_text, plain
from bench.report.notes import run_notes, seed_note
from bench.report.published import OURS
from bench.report.specs import TableSpec
from bench.report.table import Footnotes, Panel, Row, Table
from bench.report.text_models import scratch_mark
from bench.runs.judged import Judged
from bench.runs.outside_sentences import estimates
from bench.runs.plan import Entry, Plan
from bench.splits import Split

STATISTICS, SAMPLE = "explanations.csv", "explanations_sample.csv"
INTERVAL_COLUMNS = (
    "dataset",
    "preset",
    "protocol",
    "model",
    "seed",
    "metric",
    "value",
    "low",
    "high",
    "n",
    "pod_minus_model",
    "p_value",
)
_SAMPLE_COLUMNS = ("split", "user", "item", "feature", "explanation")
_SEED = 4
_MEANING = (
    "distinct-1 and -2: different words and pairs of words over all; unique sentences: different sentences over all; "
    "feature match: sentences that name the feature of their record; feature coverage: different features named over "
    "those of the whole data set; length ratio: words of all sentences over those of the references, of which BLEU "
    "takes exp(1 - 1/ratio) where it is below 1. A model that says one sentence to everybody shows here."
)


def build_variety(spec: TableSpec, plan: Plan) -> Table:
    """How varied each model's sentences are, and whether they name features: rows and protocols as in Table 4."""
    footnotes = Footnotes()
    panels = []
    for protocol in plan.protocols:
        rows = []
        for name, kind in rows_of(spec, plan):
            entries = plan.of(name, protocol)
            cells = tuple(cell_of(entries, "explanation", metric) for metric in VARIETY)
            texts = [*scratch_mark(entries), *explanation_reasons(entries, plan.card)]
            title = row_title(name, entries[0].info if entries else None)
            rows.append(Row(name, title, cells, tuple(map(footnotes.add, texts)), kind))
        panels.append(Panel(protocol.name, tuple(rows)))
    return Table(
        "variety",
        f"How varied explanations are, and whether they name features: {dataset_title(plan.card.name)}",
        plan.card.name,
        plan.preset,
        VARIETY,
        tuple(panels),
        has_paper=False,
        notes=(*run_notes(plan, pairs_note(plan)), seed_note(plan), _MEANING, *cut_notes(plan)),
        footnotes=tuple(footnotes.texts),
    )


def write_intervals(spec: TableSpec, plan: Plan, path: Path) -> list[Path]:
    """Write the intervals of Table 4's figures; returns the path, and writes nothing where no run is judged."""
    rows = list(interval_rows(spec, plan))
    if not rows and not path.exists():
        return []
    write_text(path, csv_lines(INTERVAL_COLUMNS, rows))
    return [path]


def interval_rows(spec: TableSpec, plan: Plan) -> Iterator[dict[str, str]]:
    """One row a run, protocol and metric of Table 4, in the family that the protocol shows; percent.

    low, high: 95 % interval over n pairs, see `bench.runs.outside_sentences.estimates`.
    pod_minus_model: POD's run of the same seed minus this one on the same pairs, in points, and its two-sided p value:
    paired t test for ROUGE, paired bootstrap for BLEU; empty where there is no such run. A model without randomness has
    one run and is compared with POD's first.
    """
    for protocol in plan.protocols:
        family = protocol.text_metrics
        ours = {entry.seed: judged for entry in plan.of(OURS, protocol) if (judged := _judged(entry))}
        for entry in (entry for name, _ in rows_of(spec, plan) for entry in plan.of(name, protocol)):
            judged = _judged(entry)
            if judged is None:
                continue
            seed = min(ours, default=0) if entry.info.deterministic else entry.seed
            differences = _differences(ours.get(seed), judged, family) if entry.info.name != OURS else {}
            for metric, found in estimates(judged.per_pair, judged.counts, family).items():
                difference, p_value = map(_six, differences[metric]) if differences else ("", "")
                yield {
                    "dataset": csv_text(plan.card.name),
                    "preset": csv_text(plan.preset),
                    "protocol": protocol.name,
                    "model": csv_text(entry.info.name),
                    "seed": str(entry.seed),
                    "metric": metric,
                    "value": _six(found.mean),
                    "low": _six(found.low),
                    "high": _six(found.high),
                    "n": f"{judged.figures['n']:.0f}",
                    "pod_minus_model": difference,
                    "p_value": p_value,
                }


def _six(value: float) -> str:
    """Six significant digits: those after depend on the machine that adds."""
    return f"{value:.6g}"


def _judged(entry: Entry) -> Judged | None:
    return entry.record.judged if entry.record else None


def _differences(ours: Judged | None, other: Judged, family: Family) -> dict[str, tuple[float, float]]:
    """metric -> (ours minus the other's, p), empty where ours are not there or of other pairs."""
    if ours is None or any(not np.array_equal(ours.per_pair[name], other.per_pair[name]) for name in ("user", "item")):
        return {}
    found = {"BLEU-4": bleu_difference(ours.counts, other.counts, family, np.random.default_rng(_SEED))}
    for metric in ROUGE_METRICS:
        column = figure(metric, family)
        found[metric] = _paired(ours.per_pair[column] - other.per_pair[column])
    return found


def _paired(differences: FloatArray) -> tuple[float, float]:
    """Mean of (n,) differences and the two-sided p value of Student's paired t test; 1 where all are equal to 0."""
    from scipy import stats

    if not differences.any():
        return 0.0, 1.0
    tested: Any = stats.ttest_1samp(differences, 0.0)
    return float(differences.mean()), float(tested.pvalue)


def write_record_files(split: Split, folder: Path) -> list[Path]:
    """Write what a reader should know of the explanation records: explanations.csv and explanations_sample.csv.

    The first holds their statistics, where they are from and what was left out and why, the second 20 of them. Returns
    the paths; nothing is written where there are no records, or where files of the same records are there.
    """
    explanations = split.explanations
    if explanations is None:
        return []
    paths = [folder / STATISTICS, folder / SAMPLE]
    if not all(path.exists() for path in paths) or _facts(paths[0]).get("fingerprint") != explanations.fingerprint:
        facts: dict[str, str] = {"origin": explanations.origin, "fingerprint": explanations.fingerprint}
        facts |= {name: f"{value:.6g}" for name, value in statistics(explanations, split.dataset).items()}
        facts |= {note.rule: str(note.count) for note in explanations.notes}
        rows = ({"statistic": csv_text(name), "value": csv_text(value)} for name, value in facts.items())
        write_text(paths[0], csv_lines(("statistic", "value"), rows))
        chosen = sample_rows(explanations)
        sample = (
            {"split": PARTS[explanations.part[row]], **{name: csv_text(text) for name, text in record.items()}}
            for row, record in zip(chosen, records(explanations, split.dataset, chosen), strict=True)
        )
        write_text(paths[1], csv_lines(_SAMPLE_COLUMNS, sample))
    return paths


def record_text(folder: Path, name: str) -> str:
    """The two files of `write_record_files` for the terminal; "" where they are not there."""
    facts = _facts(folder / STATISTICS)
    if not facts or not (folder / SAMPLE).exists():
        return ""
    with (folder / SAMPLE).open(newline="", encoding="utf-8") as stream:
        sample = [f"  {row['split']:<6}{row['feature']}: {row['explanation']}" for row in csv.DictReader(stream)]
    width = max(map(len, facts))
    lines = [f"  {name:<{width}}  {value}" for name, value in facts.items()]
    return "\n".join([f"Explanation records of {plain(name)}", *lines, "Some of them, drawn at random", *sample]) + "\n"


def _facts(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as stream:
        return {row["statistic"]: row["value"] for row in csv.DictReader(stream)}
