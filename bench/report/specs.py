"""Which tables there are, and the rows and columns of each: the plan is the union of what they need."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from bench.errors import UserError
from bench.explanation_judge import figure
from bench.metrics.text import METRICS
from bench.protocols import PROTOCOLS, Protocol, with_numbering
from bench.report.questions import QUESTIONS
from bench.runs.audited import Question
from bench.runs.plan import Variants
from bench.splits import Numbering
from bench.tasks import TaskName


@dataclass(frozen=True)
class TableSpec:
    """A table or figure of the paper, or one of ours.

    number:  as on the command line.
    caption: as the paper puts it.
    task:    the task its cells judge; None: it needs no runs.
    metrics: its columns, in the paper's order.
    paper:   model names of its printed rows, in the paper's order.
    remark:  where the paper's figures come from, if that matters for comparing.
    added:   rows the paper does not have: rules that put the numbers in perspective, models that cost nothing more, and
             text models with one token an item.
    numberings: it has its own runs, under each of these item numbers and `sound` in all else; empty: its runs are those
             of the protocols asked for.
    on_request: models with a row only where --models names them.
    variants: it has its own runs, these.
    timed:   models whose inference is timed, by every way they know.
    questions: it has its own runs, those that answer these.
    """

    number: str
    caption: str
    task: TaskName | None = None
    metrics: tuple[str, ...] = ()
    paper: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    remark: str = ""
    numberings: tuple[Numbering, ...] = ()
    on_request: tuple[str, ...] = ()
    variants: Variants | None = None
    timed: tuple[str, ...] = ()
    questions: tuple[Question, ...] = ()

    def figure(self, metric: str, protocol: Protocol) -> str:
        """How records call a column under a protocol: of text metrics each protocol shows its own family."""
        textual = self.task == "explanation" and metric in METRICS
        return figure(metric, protocol.text_metrics) if textual else metric

    @property
    def own(self) -> bool:
        """Whether it has its own runs."""
        return bool(self.numberings or self.variants or self.questions)

    def protocols(self, asked: Iterable[Protocol]) -> list[Protocol]:
        """The protocols of a table with its own runs: one an item numbering; `sound` where training is timed, as
        batches without padding are exact only there; else those asked for, see `runs_under`.
        """
        if self.numberings:
            return [with_numbering(PROTOCOLS["sound"], numbering) for numbering in self.numberings]
        return [PROTOCOLS["sound"]] if self.variants and self.variants.timed else list(asked)

    def runs_under(self, asked: Iterable[Protocol]) -> list[Protocol]:
        """The protocols under which a table's own runs are run and not only shown: `sound` alone of two, as a figure
        over K has a run for each of its points.
        """
        protocols = self.protocols(asked)
        sound = [each for each in protocols if each.name.startswith("sound")]
        return sound if self.variants is not None and sound else protocols

    @property
    def models(self) -> tuple[str, ...]:
        """Every model that it needs runs of."""
        varied = (self.variants.model,) if self.variants else ()
        asked = (model for question in self.questions for model in question.models)
        return tuple(dict.fromkeys([*self.paper, *self.added, *varied, *asked]))


_INDEPENDENT = ("p5-independent", "pod-independent")
_RULES = ("popularity", "item-knn", "sequential-rules", "id-order")

TABLES: dict[str, TableSpec] = {
    "1": TableSpec("1", "Statistics of the dataset"),
    "2": TableSpec(
        "2",
        "Performance comparison on sequential recommendation",
        "sequential",
        ("HR@5", "NDCG@5", "HR@10", "NDCG@10"),
        ("caser", "hgn", "gru4rec", "bert4rec", "fdsa", "sasrec", "s3rec", "p5", "pod"),
        (*_INDEPENDENT, "sasrec-pairwise", *_RULES),
        "Its figures of Caser to S3-Rec are those of the S3-Rec paper: trained against single negatives, not tuned; "
        "here all but SASRec (pairwise) are trained with cross-entropy over the catalogue.",
        on_request=("pod-discrete",),
    ),
    "3": TableSpec(
        "3",
        "Performance comparison on top-N recommendation",
        "topn",
        ("HR@1", "HR@5", "NDCG@5", "HR@10", "NDCG@10"),
        ("mf", "mlp", "p5", "pod"),
        (*_INDEPENDENT, *_RULES, "sasrec"),
        on_request=("pod-discrete",),
    ),
    "4": TableSpec(
        "4",
        "Performance comparison on explanation generation (%)",
        "explanation",
        METRICS,
        ("att2seq", "nrt", "peter", "pod"),
        ("frequent-sentence", "random-sentence"),
        on_request=("p5", *_INDEPENDENT, "pod-discrete"),
    ),
    "5": TableSpec(
        "5",
        "Training strategies",
        variants=Variants("pod", "strategy", ("sample-mixed", "task-alternated", "packed"), timed=True),
    ),
    "6": TableSpec(
        "6", "Inference with and without words", paper=("pod-discrete", "pod"), timed=("pod-discrete", "pod")
    ),
    "fig4": TableSpec(
        "fig4",
        "The number of prompt vectors K",
        variants=Variants("pod", "prompts", ("1", "3", "5", "10", "20", "50"), few=("1", "3", "10")),
    ),
}


# Tables of ours, written only where --tables names them: their runs are no part of the paper's.
EXTRA_TABLES: dict[str, TableSpec] = {
    "leak": TableSpec(
        "leak",
        "What item numbers give away, sequential recommendation",
        "sequential",
        ("HR@5", "NDCG@5", "HR@10", "NDCG@10"),
        added=("id-order", "pod-sequential"),
        numberings=("appearance", "train", "random"),
    ),
    "audit": TableSpec("audit", "What figures hang on", questions=QUESTIONS),
}


def table(number: str) -> TableSpec:
    """The table of that number or name; UserError with a suggestion otherwise."""
    known = {**TABLES, **EXTRA_TABLES}
    if number in known:
        return known[number]
    close = get_close_matches(number, known, n=1, cutoff=0.4)
    hint = f"did you mean '{close[0]}'?" if close else f"there are tables {', '.join(known)}"
    raise UserError(f"unknown table '{number}'", "--tables", hint)


def models_of(tables: Iterable[TableSpec]) -> list[str]:
    """Every model that the tables need, once, in table order."""
    return list(dict.fromkeys(name for spec in tables for name in spec.models))
