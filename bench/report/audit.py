"""The audit: what figures change when one matter is done otherwise, with intervals, tests and a sentence each.

Scores are a user's (explanations: a pair's) means over the seeds that are there; differences are paired by users, over
the seeds that both sides have, their p values of sign-flip tests, Holm-corrected over the whole table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bench.errors import UserError
from bench.explanation_judge import figure
from bench.metrics.significance import TEST_NAMES, holm, mean_intervals, paired_test
from bench.ragged import FloatArray
from bench.report.build import dataset_title, explanation_reasons, reasons, row_title
from bench.report.fits import fitted_apart
from bench.report.notes import changed_settings, data_notes, protocol_in_words, run_notes
from bench.report.seeds import of_one_sign, seeds_in_words
from bench.report.specs import TableSpec
from bench.report.table import METRIC_DIGITS, PERCENT_DIGITS, Cell, Footnotes, Panel, Row, Table, fixed
from bench.report.text_models import model_notes, scratch_mark
from bench.runs.audited import Practice, Question
from bench.runs.plan import Entry, Plan
from bench.runs.record import Record

COLUMNS = ("Figure", "from", "to", "Difference", "from", "to", "p")
_TASKS = {"sequential": "sequential", "topn": "top-N", "explanation": "explanation"}
_ALPHA = 0.05
_SEED = 6
# Fewer models have no order worth a coefficient.
_ORDERED = 4
# How a sentence on a difference that chance does not explain goes on.
TOLD_APART = ", told apart from chance"


@dataclass(frozen=True)
class Against:
    """The paired difference from the question's first practice: mean, 95 % interval, p as tested and after Holm.

    part: the seeds that it is over, where a side has others too; else "".
    by_seed: the mean difference of each of these seeds, in order.
    """

    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    part: str = ""
    by_seed: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Answer:
    """A figure of a model under a practice.

    task: whose figure it is. rows: whom scores are of.
    scores: (n,) of users or pairs, means over seeds; None where there is no run. per_seed: seed -> those of its run.
    value, low, high: their mean and its 95 % interval.
    against: None for the first practice, and where either side is missing or of others.
    """

    question: Question
    practice: Practice
    model: str
    task: str
    metric: str
    entries: tuple[Entry, ...]
    scores: FloatArray | None = None
    rows: tuple[Any, ...] = ()
    per_seed: Mapping[int, FloatArray] = field(default_factory=dict)
    value: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    against: Against | None = None

    @property
    def digits(self) -> int:
        return PERCENT_DIGITS if self.task == "explanation" else METRIC_DIGITS

    @property
    def seeds(self) -> int:
        return len(self.per_seed)

    @property
    def figure(self) -> str:
        """What it is a figure of, in words."""
        return f"{_TASKS[self.task]} {self.metric}"

    @property
    def title(self) -> str:
        return row_title(self.model, self.entries[0].info if self.entries else None)


def audited(questions: Iterable[Question], plan: Plan) -> list[Answer]:
    """Every figure that the questions ask for, in the order to show them, with what its runs tell.

    Raises UserError where per-user scores are missing or of other users than the split's.
    """
    answers = [answer for question in questions if question.arises(plan.card) for answer in _asked(question, plan)]
    columns: list[FloatArray] = []
    pairs: list[tuple[int, int]] = []  # an answer and the one it is set against
    for at, answer in enumerate(answers):
        first = _first_of(answers, at)
        if first != at and _paired(answer, answers[first]):
            pairs.append((at, first))
        if answer.scores is not None:
            columns.append(answer.scores)
    differences = [_difference(answers[at], answers[first]) for at, first in pairs]
    spans = iter(_intervals([*columns, *differences]))
    for at, answer in enumerate(answers):
        if answer.scores is not None:
            low, high = next(spans)
            answers[at] = replace(answer, value=float(answer.scores.mean()), low=low, high=high)
    p = _tested(differences)
    corrected = holm(np.array(p, dtype=np.float64))
    for (at, first), over, one, held in zip(pairs, differences, p, corrected.tolist(), strict=True):
        low, high = next(spans)
        part, by_seed = _part(answers[at], answers[first]), _by_seed(answers[at], answers[first])
        found = Against(float(over.mean()), low, high, one, held, part, by_seed)
        answers[at] = replace(answers[at], against=found)
    return answers


def _asked(question: Question, plan: Plan) -> Iterator[Answer]:
    for model in question.models:
        for task, metric in question.figures:
            for practice in question.practices:
                key = question.key(practice)
                entries = tuple(e for e in plan.entries if (e.info.name, e.variant) == (model, key))
                if entries and task not in entries[0].info.tasks:
                    continue
                if task == "explanation" and not plan.card.explanations_fingerprint:
                    continue
                yield _answer(Answer(question, practice, model, practice.task or task, metric, entries), plan)


def _answer(answer: Answer, plan: Plan) -> Answer:
    """The answer with the scores of its runs."""
    there = {entry.seed: entry.record for entry in answer.entries if entry.record}
    runs = {seed: _scores(record, answer.task, answer.metric, plan) for seed, record in there.items()}
    found = {seed: run for seed, run in runs.items() if run}
    if not found:
        return answer
    rows = next(iter(found.values()))[0]
    # Seeds whose sentences were cut in another way have no mean with the first.
    alike = {seed: scores for seed, (other, scores) in found.items() if _same_rows(other, rows)}
    return replace(answer, scores=np.mean(list(alike.values()), axis=0), rows=rows, per_seed=alike)


def _same_rows(rows: tuple[Any, ...], others: tuple[Any, ...]) -> bool:
    return len(rows) == len(others) and all(map(np.array_equal, rows, others))


def _scores(record: Record, task: str, metric: str, plan: Plan) -> tuple[tuple[Any, ...], FloatArray] | None:
    """Whom the scores of a run are of, and these; None of sentences without a verdict."""
    if task != "explanation":
        scores = record.per_user(task)
        if len(scores["user"]) != plan.card.evaluated:
            what = "these scores are of other users than the split's"
            raise UserError(what, str(record.path / "per_user.parquet"), "rerun with --force")
        values: FloatArray = scores[metric].astype(np.float64)
        return (scores["user"],), values
    if record.judged is None:
        return None
    pairs = record.judged.per_pair
    return (pairs["user"], pairs["item"]), pairs[figure(metric, "standard")]


def _first_of(answers: list[Answer], at: int) -> int:
    """Where the first practice of an answer's question, model and figure stands."""
    while answers[at].practice != answers[at].question.practices[0]:
        at -= 1
    return at


def _shared(answer: Answer, first: Answer) -> list[int]:
    """The seeds that both sides have: another training gives another figure, so that others do not pair."""
    return sorted(answer.per_seed.keys() & first.per_seed.keys())


def _paired(answer: Answer, first: Answer) -> bool:
    return bool(_shared(answer, first)) and _same_rows(answer.rows, first.rows)


def _difference(answer: Answer, first: Answer) -> FloatArray:
    found: FloatArray = np.mean([answer.per_seed[s] - first.per_seed[s] for s in _shared(answer, first)], axis=0)
    return found


def _mean(answer: Answer, other: Answer) -> float:
    """The answer's figure over the seeds that both have, as the difference is."""
    seeds = _shared(answer, other)
    return answer.value if len(seeds) == answer.seeds else float(np.mean([answer.per_seed[s] for s in seeds]))


def _by_seed(answer: Answer, first: Answer) -> tuple[float, ...]:
    return tuple(float((answer.per_seed[s] - first.per_seed[s]).mean()) for s in _shared(answer, first))


def _part(answer: Answer, first: Answer) -> str:
    seeds = _shared(answer, first)
    if len(seeds) == max(answer.seeds, first.seeds):
        return ""
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"


def _intervals(columns: list[FloatArray]) -> list[tuple[float, float]]:
    """The interval of each column's mean; columns of as many rows are resampled together."""
    found: dict[int, tuple[float, float]] = {}
    for n in dict.fromkeys(map(len, columns)):
        at = [place for place, column in enumerate(columns) if len(column) == n]
        spans = mean_intervals(np.stack([columns[place] for place in at], axis=1), np.random.default_rng(_SEED))
        found.update(zip(at, map(tuple, spans.tolist()), strict=True))
    return [found[place] for place in range(len(columns))]


def _tested(differences: list[FloatArray]) -> list[float]:
    found: dict[int, float] = {}
    for n in dict.fromkeys(map(len, differences)):
        at = [place for place, column in enumerate(differences) if len(column) == n]
        values = np.stack([differences[place] for place in at], axis=1)
        found.update(zip(at, paired_test(values, "sign-flip", np.random.default_rng(_SEED)).tolist(), strict=True))
    return [found[place] for place in range(len(differences))]


def build_audit(spec: TableSpec, plan: Plan) -> tuple[list[Table], list[Answer]]:
    """The audit of a plan: a table a question that arises, and all answers."""
    answers = audited(spec.questions, plan)
    asked = [question for question in spec.questions if question.arises(plan.card)]
    return [_table(question, plan, answers) for question in asked], answers


def _table(question: Question, plan: Plan, answers: list[Answer]) -> Table:
    footnotes = Footnotes()
    rows = tuple(_row(answer, plan, footnotes) for answer in answers if answer.question == question)
    return Table(
        f"audit-{question.name}",
        f"{question.title}: {dataset_title(plan.card.name)}",
        plan.card.name,
        plan.preset,
        COLUMNS,
        (Panel("", rows),),
        has_paper=False,
        notes=_notes(question, plan, answers),
        footnotes=tuple(footnotes.texts),
        leads=("Practice", "Figure of"),
    )


def _row(answer: Answer, plan: Plan, footnotes: Footnotes) -> Row:
    digits, over = answer.digits, answer.against
    cells = [Cell()] * len(COLUMNS)
    if answer.scores is not None:
        figures = (answer.value, answer.low, answer.high)
        cells[:3] = [Cell(each, n_seeds=answer.seeds, n_users=len(answer.scores), digits=digits) for each in figures]
    if over is not None:
        cells[3:] = [Cell(each, digits=digits) for each in (over.difference, over.low, over.high)]
        cells.append(Cell(over.p_holm, digits=METRIC_DIGITS))
    notes = tuple(map(footnotes.add, behind(answer, plan)))
    return Row(answer.model, answer.title, tuple(cells), notes, "added", leads=(answer.practice.name, answer.figure))


def behind(answer: Answer, plan: Plan) -> list[str]:
    """What must be said of a figure: why it is missing, and on what backbone it was made."""
    entries = list(answer.entries)
    missing = explanation_reasons(entries, plan.card) if answer.task == "explanation" else reasons(entries)
    part = answer.against.part if answer.against else ""
    paired = [f"difference over {part} alone, which both practices have"] if part else []
    return [*scratch_mark(entries), *missing, *paired]


def _notes(question: Question, plan: Plan, answers: list[Answer]) -> tuple[str, ...]:
    seeds = ", ".join(map(str, plan.seeds))
    few = "one run each, so no spread over seeds is given" if len(plan.seeds) == 1 else "scores averaged over seeds"
    tests = sum(answer.against is not None for answer in answers)
    sound = question.practices[0].protocol
    mine = replace(plan, entries=[e for answer in answers if answer.question == question for e in answer.entries])
    return (
        *run_notes(mine),
        f"{'Seed' if len(plan.seeds) == 1 else 'Seeds'}: {seeds}; {few}.",
        f"Protocol {sound.name}, but for the matter asked: {protocol_in_words(sound, text_models=True)}.",
        f"Intervals: 95 %, bootstrap over users (ROUGE-L: over pairs; rouge-score's F1, %). Differences are paired, "
        f"from the first practice; p: {TEST_NAMES['sign-flip']}, Holm-corrected over the audit's {tests} differences.",
        *changed_settings(mine),
        *model_notes(mine.entries, None),
        *fitted_apart(mine.entries),
        *([question.remark] if question.remark else []),
        *findings(question, answers),
        *data_notes(plan.card),
    )


def questions_of(answers: Iterable[Answer]) -> list[Question]:
    """The questions that have answers, in order."""
    return list(dict.fromkeys(answer.question for answer in answers))


def findings(question: Question, answers: Iterable[Answer]) -> list[str]:
    """The answer to a question in sentences made of the figures."""
    mine = [answer for answer in answers if answer.question == question]
    metrics = {(answer.model, answer.task): answer.metric for answer in reversed(mine)}  # the first of each
    heads = [answer for answer in mine if answer.metric == metrics[answer.model, answer.task]]
    sentences = [_sentence(answer, mine) for answer in heads if answer.against is not None]
    # Models are put in order where what they are asked differs, not how they are made.
    order = _order(question, mine) if any(practice.task for practice in question.practices) else []
    return order or sentences or ["No two practices have runs yet."]


def _sentence(answer: Answer, answers: list[Answer]) -> str:
    over, digits = answer.against, answer.digits
    assert over is not None
    first = answers[_first_of(answers, answers.index(answer))]
    part = f" (over {over.part} alone)" if over.part else ""
    sure = TOLD_APART if over.p_holm < _ALPHA else f", not{TOLD_APART.removeprefix(',')}"
    if over.p_holm < _ALPHA and not of_one_sign(over.by_seed):
        sure = ", apart by the test but of either sign over seeds"
    return (
        f"{answer.title}, {answer.figure}: {fixed(_mean(answer, first), digits)} with {answer.practice.name}, "
        f"{fixed(_mean(first, answer), digits)} with {first.practice.name}{part}: {over.difference:+.{digits}f} "
        f"[{over.low:+.{digits}f}, {over.high:+.{digits}f}], p = {over.p_holm:.2g}{sure}"
        f"{seeds_in_words(over.by_seed, digits)}."
    )


def _order(question: Question, answers: list[Answer]) -> list[str]:
    """Whether two practices put the models in the same order."""
    from scipy.stats import kendalltau

    metric = question.figures[0][1]
    by = {
        practice.name: {a.model: a for a in answers if (a.practice, a.metric) == (practice, metric) and a.seeds}
        for practice in question.practices
    }
    (first, firsts), (second, seconds) = list(by.items())[:2]
    both = [model for model in firsts if model in seconds]
    if len(both) < _ORDERED:
        return []
    agreed: Any = kendalltau([firsts[m].value for m in both], [seconds[m].value for m in both])
    best = max(both, key=lambda model: seconds[model].value)
    place = 1 + sum(firsts[model].value > firsts[best].value for model in both)
    return [
        f"By {metric}, {first} and {second} put {len(both)} models in orders of Kendall's tau {agreed.statistic:.2f}; "
        f"{seconds[best].title}, best by {second} ({fixed(seconds[best].value)}), is number {place} by {first} "
        f"({fixed(firsts[best].value)})."
    ]
