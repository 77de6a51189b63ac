"""Runs that answer a question of the audit: the same models under practices that differ in one matter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from bench.models import Registry
from bench.protocols import Protocol
from bench.runs.plan import DatasetCard, Plan, make_plan
from bench.tasks import TaskName


@dataclass(frozen=True)
class Practice:
    """One way of doing it.

    name:     how the audit calls it.
    protocol: of its runs. settings: (setting, value as --set takes it) of its runs, beside what the user sets.
    task:     where the practice is which of a run's tasks is looked at; None: the task of the question's figures.
    """

    name: str
    protocol: Protocol
    settings: tuple[tuple[str, str], ...] = ()
    task: TaskName | None = None


@dataclass(frozen=True)
class Question:
    """What the audit asks.

    name:      in files. title: as a heading.
    models:    whose figures are shown. figures: (task, metric) of each; sentences tell of the first of a task.
    practices: the first is the one that the others are set against.
    remark:    what must be known to read the answer.
    needs_explanations: it does not arise where a dataset has none.
    """

    name: str
    title: str
    models: tuple[str, ...]
    figures: tuple[tuple[TaskName, str], ...]
    practices: tuple[Practice, ...]
    remark: str = ""
    needs_explanations: bool = False

    def arises(self, card: DatasetCard) -> bool:
        """Whether there is something to ask of a dataset."""
        return bool(card.explanations_fingerprint) or not self.needs_explanations

    def key(self, practice: Practice) -> str:
        """What entries of a practice have as their variant."""
        return f"{self.name}: {practice.name}"


def audit_plan(
    card: DatasetCard,
    preset: str,
    questions: Iterable[Question],
    registry: Registry,
    seeds: list[int],
    overrides: Mapping[str, Mapping[str, str]] | None = None,
    asked: Iterable[str] | None = None,
) -> Plan:
    """`make_plan` for every question, practice and model; a practice's settings go to the models that know them.

    Runs are shared with other tables, and between questions, where identities agree.
    """
    questions = [question for question in questions if question.arises(card)]
    protocols = list(dict.fromkeys(practice.protocol for question in questions for practice in question.practices))
    plan = make_plan(card, preset, [], registry, protocols, seeds, overrides, asked)
    for question in questions:
        for practice in question.practices:
            changed = dict(plan.overrides)
            for model in question.models if practice.settings else ():
                changed[model] = {**changed.get(model, {}), **dict(practice.settings)}
            made = make_plan(card, preset, question.models, registry, [practice.protocol], seeds, changed, asked)
            plan.entries += [replace(entry, variant=question.key(practice)) for entry in made.entries]
    return plan
