"""The audit on disk: `audit.csv` with every answer, and a LaTeX table a question."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.report.audit import Answer, behind
from bench.report.files import csv_lines, write_text
from bench.report.inert import csv_text
from bench.report.latex import latex_table
from bench.report.seeds import seed_range
from bench.report.table import Table
from bench.runs.plan import Plan

AUDIT_COLUMNS = (
    "dataset",
    "preset",
    "question",
    "model",
    "task",
    "metric",
    "practice",
    "value",
    "low",
    "high",
    "against",
    "difference",
    "difference_low",
    "difference_high",
    "difference_least_seed",
    "difference_most_seed",
    "p",
    "p_holm",
    "n_users",
    "n_seeds",
    "note",
)


def write_audit(tables: Iterable[Table], answers: Iterable[Answer], plan: Plan, folder: Path) -> list[Path]:
    """Write audit.csv and a LaTeX table a question; returns their paths."""
    paths = [folder / "audit.csv"]
    write_text(paths[0], csv_lines(AUDIT_COLUMNS, audit_rows(answers, plan)))
    for table in tables:
        paths.append(folder / f"{table.number}.tex")
        write_text(paths[-1], latex_table(table))
    return paths


def audit_rows(answers: Iterable[Answer], plan: Plan) -> Iterator[dict[str, str]]:
    """One row a figure, see `Answer`; ROUGE-L in percent, six digits, empty where missing."""
    for answer in answers:
        over = answer.against
        span = {"value": answer.value, "low": answer.low, "high": answer.high} if answer.seeds else {}
        far = {} if over is None else {"difference": over.difference, "difference_low": over.low}
        far |= {} if over is None else {"difference_high": over.high, "p": over.p, "p_holm": over.p_holm}
        far |= {} if over is None else seed_range(over.by_seed)
        yield {
            "dataset": csv_text(plan.card.name),
            "preset": csv_text(plan.preset),
            "question": answer.question.name,
            "model": csv_text(answer.model),
            "task": answer.task,
            "metric": answer.metric,
            "practice": answer.practice.name,
            "against": "" if over is None else answer.question.practices[0].name,
            **{name: f"{value:.6g}" for name, value in {**span, **far}.items()},
            "n_users": str(len(answer.scores)) if answer.scores is not None else "",
            "n_seeds": str(answer.seeds or ""),
            "note": csv_text("; ".join(behind(answer, plan))),
        }
