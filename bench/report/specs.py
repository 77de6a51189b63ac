"""Which tables there are, and the rows and columns of each: the plan is the union of what they need."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from bench.errors import UserError
from bench.tasks import TaskName


@dataclass(frozen=True)
class TableSpec:
    """A table of the paper.

    number:  as on the command line.
    caption: as the paper puts it.
    task:    the task its cells judge; None: it needs no runs.
    metrics: its columns, in the paper's order.
    paper:   model names of its printed rows, in the paper's order.
    remark:  where the paper's figures come from, if that matters for comparing.
    added:   rows the paper does not have: rules that put the numbers in perspective, and models that cost nothing more.
    """

    number: str
    caption: str
    task: TaskName | None = None
    metrics: tuple[str, ...] = ()
    paper: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    remark: str = ""

    @property
    def models(self) -> tuple[str, ...]:
        return self.paper + self.added


_RULES = ("popularity", "item-knn", "sequential-rules", "id-order")

TABLES: dict[str, TableSpec] = {
    "1": TableSpec("1", "Statistics of the dataset"),
    "2": TableSpec(
        "2",
        "Performance comparison on sequential recommendation",
        "sequential",
        ("HR@5", "NDCG@5", "HR@10", "NDCG@10"),
        ("caser", "hgn", "gru4rec", "bert4rec", "fdsa", "sasrec", "s3rec", "p5", "pod"),
        ("sasrec-pairwise", *_RULES),
        "Its figures of Caser to S3-Rec are those of the S3-Rec paper: trained against single negatives, not tuned; "
        "here all but SASRec (pairwise) are trained with cross-entropy over the catalogue.",
    ),
    "3": TableSpec(
        "3",
        "Performance comparison on top-N recommendation",
        "topn",
        ("HR@1", "HR@5", "NDCG@5", "HR@10", "NDCG@10"),
        ("mf", "mlp", "p5", "pod"),
        (*_RULES, "sasrec"),
    ),
}


def table(number: str) -> TableSpec:
    """The table of that number; UserError with a suggestion otherwise."""
    if number in TABLES:
        return TABLES[number]
    close = get_close_matches(number, TABLES, n=1, cutoff=0.4)
    hint = f"did you mean '{close[0]}'?" if close else f"there are tables {', '.join(TABLES)}"
    raise UserError(f"unknown table '{number}'", "--tables", hint)


def models_of(tables: Iterable[TableSpec]) -> list[str]:
    """Every model that the tables need, once, in table order."""
    return list(dict.fromkeys(name for spec in tables for name in spec.models))
