"""What a training step consists of: the task samplers of POD, alternated or mixed (Algorithm 1; PUBLISHED.md 8 to 11).

Every step is a function of seed, epoch and step number alone, so a killed run goes on with the same samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from bench.models import Pairs, Training
from bench.ragged import IntArray, Ragged
from bench.tasks import TaskName
from pod.batches import TASK_NUMBERS, Examples
from pod.render import Renderer
from pod.templates import Template, Templates

HISTORY = 20
Computed = Literal["task-alternated", "sample-mixed", "packed"]
Draw = tuple[TaskName, IntArray]
_PASS, _STEP, _MIX, _VALIDATION = 31, 32, 33, 34


@dataclass(frozen=True)
class Drawing:
    """How samples are drawn.

    strategy:     "task-alternated": each step one task's samples, tasks in turn; otherwise tasks share every step.
    sizes:        samples a step of each task, in turn; mixed steps hold their mean number.
    unit:         samples by which an epoch's steps are counted: samples of a task // unit, added up.
    bare:         whether the bare template is drawn beside the worded ones.
    shuffle_first: whether the first pass over the samples is shuffled like the others.
    """

    strategy: Computed
    sizes: Mapping[TaskName, int]
    unit: int
    bare: bool = True
    shuffle_first: bool = True


class Sampler:
    """Draws training and validation examples of the tasks that the data allows.

    Explanation: a pass over all pairs. Sequential: a pass over users, of each a random segment of its training items,
    at most 20 as history and the next as target. Top-N: a pass over users, of each a random training item
    among 99 negatives.
    """

    def __init__(
        self, training: Training, renderer: Renderer, templates: Templates, drawing: Drawing, seed: int
    ) -> None:
        self._training, self._renderer, self._templates = training, renderer, templates
        self._drawing, self._seed = drawing, seed
        lengths = training.sequences.lengths
        self._members: dict[TaskName, IntArray] = {}
        for task in drawing.sizes:
            if task == "explanation":
                self._members[task] = np.arange(len(self._pairs()))
            else:
                self._members[task] = np.flatnonzero(lengths >= (2 if task == "sequential" else 1))
        self._members = {task: members for task, members in self._members.items() if len(members)}
        self.tasks: tuple[TaskName, ...] = tuple(self._members)
        self._plan = lru_cache(maxsize=2)(self._make_plan)
        self._order = lru_cache(maxsize=8)(self._make_order)

    def _pairs(self, part: int = 0) -> Pairs:
        found = self._training.explanations
        return Pairs(np.empty(0, np.int32), np.empty(0, np.int32)) if found is None else found[part]

    @property
    def steps(self) -> int:
        """Steps an epoch: len(explanations) // B + 2 * (users // B), at least one a task (PUBLISHED.md, 9)."""
        whole = sum(len(members) // self._drawing.unit for members in self._members.values())
        return max(whole, len(self.tasks))

    def step(self, epoch: int, number: int) -> Examples:
        """The examples of a step; epoch from 0, number below `steps`."""
        rng = np.random.default_rng([self._seed, _STEP, epoch, number])
        return Examples.join([self._examples(task, members, rng) for task, members in self._plan(epoch)[number]])

    def scale(self, number: int) -> float:
        """What a step's mean loss counts, so that a sample weighs the same whatever its task: 1 but for tasks that are
        given fewer samples a turn than others.
        """
        if self._drawing.strategy != "task-alternated":
            return 1.0
        sizes = self._drawing.sizes
        return sizes[self.tasks[number % len(self.tasks)]] / max(sizes[task] for task in self.tasks)

    def _make_plan(self, epoch: int) -> list[list[Draw]]:
        """For each step the members that it draws of each task."""
        drawn: list[Draw] = []
        for turn in range(self.steps):
            task = self.tasks[turn % len(self.tasks)]
            turns_before = epoch * self._turns(task) + turn // len(self.tasks)
            size = self._drawing.sizes[task]
            drawn.append((task, self._take(task, turns_before * size, size)))
        return [[draw] for draw in drawn] if self._drawing.strategy == "task-alternated" else self._mixed(drawn, epoch)

    def _turns(self, task: TaskName) -> int:
        """How many steps of an epoch are a task's, where tasks alternate."""
        return len(range(self.tasks.index(task), self.steps, len(self.tasks)))

    def _take(self, task: TaskName, start: int, size: int) -> IntArray:
        """`size` members from place `start` of the endless run of passes."""
        members = self._members[task]
        places = np.arange(start, start + size)
        rows = np.empty(size, np.int64)
        for number in np.unique(places // len(members)):
            here = places // len(members) == number
            rows[here] = self._order(task, int(number))[places[here] % len(members)]
        return members[rows]

    def _make_order(self, task: TaskName, number: int) -> IntArray:
        """The order of pass `number` over a task's members."""
        size = len(self._members[task])
        if number == 0 and not self._drawing.shuffle_first:
            return np.arange(size)
        return np.random.default_rng([self._seed, _PASS, TASK_NUMBERS[task], number]).permutation(size)

    def _mixed(self, drawn: Sequence[Draw], epoch: int) -> list[list[Draw]]:
        """The same samples in as many steps, tasks mixed freely."""
        tasks = np.concatenate([np.full(len(rows), self.tasks.index(task)) for task, rows in drawn])
        members = np.concatenate([rows for _, rows in drawn])
        order = np.random.default_rng([self._seed, _MIX, epoch]).permutation(len(members))
        steps = []
        for part in np.array_split(order, len(drawn)):
            shares = [(task, members[part[tasks[part] == place]]) for place, task in enumerate(self.tasks)]
            steps.append([(task, rows) for task, rows in shares if len(rows)])
        return steps

    def _examples(self, task: TaskName, members: IntArray, rng: np.random.Generator) -> Examples:
        if task == "explanation":
            pairs = self._pairs()
            texts = [pairs.texts[row] for row in members]
            items = rows_of_one(pairs.items[members])
            return self._rendered(task, pairs.users[members], items, self._renderer.text_targets(texts), rng)
        history, positives = self._segments(members, rng) if task == "sequential" else self._candidates(members, rng)
        return self._rendered(task, members, history, self._renderer.item_targets.take(positives), rng)

    def _segments(self, users: IntArray, rng: np.random.Generator) -> tuple[Ragged, IntArray]:
        """A random segment of each user's training items: at most 20 as history, the next one as target."""
        sequences = self._training.sequences
        starts, lengths = sequences.offsets[:-1][users], sequences.lengths[users]
        ends = starts + rng.integers(1, lengths)
        begins = np.maximum(starts + rng.integers(0, ends - starts), ends - HISTORY)
        return sequences.slice_rows(begins, ends), sequences.values[ends]

    def _candidates(self, users: IntArray, rng: np.random.Generator) -> tuple[Ragged, IntArray]:
        """A random training item of each user among 99 negatives, in random order."""
        sequences = self._training.sequences
        positives = sequences.values[sequences.offsets[:-1][users] + rng.integers(0, sequences.lengths[users])]
        return among_negatives(self._training, users, positives, rng), positives

    def _rendered(
        self, task: TaskName, users: IntArray, items: Ragged, targets: Ragged, rng: np.random.Generator
    ) -> Examples:
        worded = self._templates.worded[task]
        choices = self._templates.of(task) if self._drawing.bare or not worded else worded
        tokens = self._renderer.inputs(choices, users, items, rng.integers(0, len(choices), len(users)))
        return Examples(np.full(len(users), TASK_NUMBERS[task]), tokens.ids, tokens.words, targets)

    def validation(self, task: TaskName, template: Template, epoch: int, limit: int = 0) -> Examples:
        """The validation examples of a task.

        epoch: under `published` the top-N negatives are drawn anew by it (PUBLISHED.md, 11).
        limit: at most so many, always the same ones; 0: all.
        """
        rng = np.random.default_rng([self._seed, _VALIDATION])
        if task == "explanation":
            pairs = self._pairs(1)
            rows = _some(len(pairs), limit, rng)
            users, items = pairs.users[rows], rows_of_one(pairs.items[rows])
            targets = self._renderer.text_targets([pairs.texts[row] for row in rows])
        else:
            validation = self._training.validation[task]
            rows = _some(len(validation.queries), limit, rng)
            users, positives = validation.queries.users[rows], validation.truth[rows]
            items = question_items(validation.queries.histories.take(rows), None)
            if validation.queries.candidates is not None:
                items = question_items(validation.queries.histories, validation.queries.candidates[rows])
                if self._training.protocol.redraw_validation:
                    redrawn = np.random.default_rng([self._seed, _VALIDATION, epoch])
                    items = among_negatives(self._training, users, positives, redrawn)
            targets = self._renderer.item_targets.take(positives)
        tokens = self._renderer.inputs((template,), users, items, np.zeros(len(users), np.int64))
        return Examples(np.full(len(users), TASK_NUMBERS[task]), tokens.ids, tokens.words, targets)


def among_negatives(training: Training, users: IntArray, positives: IntArray, rng: np.random.Generator) -> Ragged:
    """Each row's positive and its negatives in random order, as many as there are."""
    if training.negatives is None:
        raise ValueError("top-N training needs negatives")
    rows = np.concatenate([positives[:, None], training.negatives(users, rng)], axis=1)
    return ragged_of(rng.permuted(rows, axis=1))


def question_items(histories: Ragged, candidates: IntArray | None) -> Ragged:
    """The items that a question shows: the last 20 of the history, or the candidates in their order."""
    return histories.tail(HISTORY) if candidates is None else ragged_of(candidates)


def ragged_of(table: IntArray) -> Ragged:
    """The rows of an (n, m) table without its -1 cells."""
    real = table >= 0
    offsets = np.concatenate([[0], np.cumsum(real.sum(axis=1))])
    return Ragged(table[real].astype(np.int32), offsets.astype(np.int64))


def rows_of_one(items: IntArray) -> Ragged:
    """(n,) items as n rows of one."""
    return Ragged(np.asarray(items, np.int32), np.arange(len(items) + 1, dtype=np.int64))


def _some(n: int, limit: int, rng: np.random.Generator) -> IntArray:
    return np.arange(n) if not limit or n <= limit else np.sort(rng.choice(n, limit, replace=False))
