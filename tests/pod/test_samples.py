"""What training steps consist of: every line of the protocol about samplers, on worlds small enough to be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from worlds import dataset_of  # noqa: E402

from bench.models import Pairs, Training  # noqa: E402
from bench.protocols import PROTOCOLS  # noqa: E402
from bench.ragged import Ragged  # noqa: E402
from bench.runs.execute import training_data  # noqa: E402
from bench.splits import make_split  # noqa: E402
from pod.batches import TASK_NUMBERS, Examples  # noqa: E402
from pod.render import Renderer, Tokens  # noqa: E402
from pod.samples import HISTORY, Drawing, Sampler, among_negatives, ragged_of  # noqa: E402
from pod.scratch_tokenizer import train_tokenizer  # noqa: E402
from pod.templates import Template, load_templates  # noqa: E402

TASKS: tuple[Any, ...] = ("explanation", "sequential", "topn")
NAMES = {number: task for task, number in TASK_NUMBERS.items()}
TEMPLATES = load_templates()
ALL = [template for task in TASKS for template in TEMPLATES.of(task)]
NUMBERS = {template: number for number, template in enumerate(ALL)}
TARGETS = 1000  # what texts are numbered from, so that none looks like an item


class Sample(NamedTuple):
    """An example as it was drawn."""

    task: str
    template: Template
    user: int
    items: tuple[int, ...]
    target: int


class Spelled:
    """Stands for a Renderer: an input is template, user and items themselves, a text its number."""

    def __init__(self, n_items: int) -> None:
        self.item_targets = ragged_of(np.arange(n_items)[:, None])

    def inputs(self, templates: Any, users: Any, items: Ragged, choice: Any) -> Tokens:
        known = [NUMBERS[template] for template in templates]
        rows = [[known[kind], user, *row] for kind, user, row in zip(choice, users, rows_of(items), strict=True)]
        return Tokens(Ragged.from_rows(rows), Ragged.from_rows(rows))

    def text_targets(self, texts: Sequence[str]) -> Ragged:
        return Ragged.from_rows([[TARGETS + int(text)] for text in texts])


def rows_of(ragged: Ragged) -> list[list[int]]:
    return [ragged[row].tolist() for row in range(len(ragged))]


def read(examples: Examples) -> list[Sample]:
    """Examples that Spelled wrote."""
    assert examples.targets is not None
    return [
        Sample(NAMES[task], ALL[template], user, tuple(items), target)
        for task, (template, user, *items), (target,) in zip(
            examples.tasks.tolist(), rows_of(examples.ids), rows_of(examples.targets), strict=True
        )
    ]


@cache
def world(
    protocol: str = "sound", users: int = 24, items: int = 160, longest: int = 34, texts: int = 50
) -> tuple[Training, Ragged]:
    """Training data of users whose items are all different, and their whole sequences; text n explains pair n.

    One user has no item, one a single one, one two: none of these has a held-out item.
    """
    rng = np.random.default_rng(3)
    rows = [[], [items - 1], [4, 5], *(rng.permutation(items)[: rng.integers(5, longest)] for _ in range(users - 3))]
    split = make_split(dataset_of(rows, items))
    training = training_data(split, ("sequential", "topn"), PROTOCOLS[protocol])
    if texts:
        chosen = np.sort(rng.choice(len(training.sequences.values), texts + 6, replace=False))
        whom, what = training.sequences.row_of[chosen], training.sequences.values[chosen]
        named = tuple(str(number) for number in range(texts + 6))
        parts = (slice(0, texts), slice(texts, texts + 6))
        training = replace(training, explanations=tuple(Pairs(whom[part], what[part], named[part]) for part in parts))
    return training, split.dataset.sequences


def sampler(
    training: Training, strategy: Any = "task-alternated", size: int = 8, seed: int = 0, **more: Any
) -> Sampler:
    """As the model makes them: three tasks, `size` samples a step; more: other fields of Drawing."""
    values = {"sizes": dict.fromkeys(TASKS, size), "unit": size, **more}
    drawing = Drawing(strategy, shuffle_first=training.protocol.shuffle_first_pass, **values)
    return Sampler(training, Spelled(training.n_items), TEMPLATES, drawing, seed)  # type: ignore[arg-type]


def steps_of(made: Sampler, epochs: int = 1) -> Iterator[list[Sample]]:
    for epoch in range(epochs):
        for number in range(made.steps):
            yield read(made.step(epoch, number))


def member(sample: Sample) -> tuple[str, int]:
    """What a pass visits: the pair of an explanation, by its text, or the user."""
    return sample.task, sample.target - TARGETS if sample.task == "explanation" else sample.user


def visits(made: Sampler, epochs: int) -> dict[str, list[int]]:
    """Members of each task in the order of their visits."""
    found: dict[str, list[int]] = {task: [] for task in made.tasks}
    for samples in steps_of(made, epochs):
        for sample in samples:
            task, who = member(sample)
            found[task].append(who)
    return found


MEMBERS = {"explanation": range(50), "sequential": range(2, 24), "topn": range(1, 24)}


@pytest.mark.parametrize("protocol", ["published", "sound"])
def test_tasks_take_turns_and_an_epoch_has_the_published_number_of_steps(protocol: str) -> None:
    training, _ = world(protocol)
    made = sampler(training, size=8)
    assert made.tasks == TASKS
    assert made.steps == 50 // 8 + 22 // 8 + 23 // 8
    for number, samples in enumerate(steps_of(made)):
        assert [sample.task for sample in samples] == [TASKS[number % 3]] * 8


def test_steps_are_those_of_the_formula_where_all_users_are_long_enough() -> None:
    training, _ = world()
    long = training.sequences.lengths > 2
    kept = replace(training, sequences=training.sequences.take(np.flatnonzero(long)))
    for size in (1, 3, 7, 21):
        assert sampler(kept, size=size).steps == 50 // size + 2 * (long.sum() // size)


def test_the_first_pass_is_in_order_under_published_and_shuffled_after() -> None:
    for protocol, ordered in (("published", True), ("sound", False)):
        for task, found in visits(sampler(world(protocol)[0]), 12).items():
            members, size = list(MEMBERS[task]), len(MEMBERS[task])
            assert (found[:size] == members) == ordered
            later = [found[start : start + size] for start in range(size, len(found) - size + 1, size)]
            assert len(later) > 1 and members not in later and later[0] != later[1]


@settings(max_examples=20, deadline=None)
@given(size=st.integers(1, 70), topn=st.integers(1, 20), unit=st.integers(9, 70), seed=st.integers(0, 9))
def test_every_pass_visits_every_member_once(size: int, topn: int, unit: int, seed: int) -> None:
    sizes = {"explanation": size, "sequential": size, "topn": topn}
    made = sampler(world()[0], sizes=sizes, unit=unit, seed=seed)
    for task, found in visits(made, 3).items():
        count = len(MEMBERS[task])
        for start in range(0, len(found), count):
            part = found[start : start + count]
            assert set(part) <= set(MEMBERS[task]) and len(set(part)) == len(part)


@pytest.mark.parametrize("protocol", ["published", "sound"])
def test_segments_are_of_the_training_part_and_their_target_follows(protocol: str) -> None:
    training, _ = world(protocol)
    lengths, targets = Counter(), Counter()
    for samples in steps_of(sampler(training, sizes={"sequential": 16}, unit=1), 5):
        for _, _, user, items, target in samples:
            row = training.sequences[user].tolist()
            end = row.index(target)
            assert 1 <= len(items) <= HISTORY == 20
            assert list(items) == row[end - len(items) : end]
            lengths[len(items)] += 1
            targets[end] += 1
    # Targets are everywhere but in the first place, and segments of all lengths are drawn.
    assert set(targets) >= set(range(1, 25)) and set(lengths) == set(range(1, 21))


def test_segments_end_and_begin_anywhere_alike() -> None:
    rows = [list(range(9))] * 4
    training = training_data(make_split(dataset_of(rows, 9)), ("sequential",), PROTOCOLS["sound"])
    assert training.sequences.lengths.tolist() == [7] * 4
    made = sampler(training, sizes={"sequential": 4000}, unit=1)
    found = Counter((sample.target, len(sample.items)) for sample in read(made.step(0, 0)))
    for target in range(1, 7):
        for length in range(1, target + 1):
            expected = 4000 / 6 / target
            assert abs(found[target, length] - expected) < 5 * expected**0.5


@pytest.mark.parametrize(("protocol", "held_out_too"), [("published", True), ("sound", False)])
def test_topn_hides_a_training_item_among_99_that_the_history_does_not_hold(protocol: str, held_out_too: bool) -> None:
    training, whole = world(protocol)
    held_out, places, positives = 0, [], Counter()
    for samples in steps_of(sampler(training, sizes={"topn": 16}, unit=1)):
        for _, _, user, items, target in samples:
            row, negatives = training.sequences[user], set(items) - {target}
            assert len(items) == len(set(items)) == 100 and target in items and target in row
            assert not negatives & set(row.tolist())
            held_out += len(negatives & set(whole[user].tolist()))
            places.append(items.index(target))
            positives[user, target] += 1
    assert (held_out == 0) == held_out_too
    # In random order: no place is preferred. The positive is any training item.
    counts = np.histogram(places, bins=10, range=(0, 100))[0]
    assert abs(counts - len(places) / 10).max() < 5 * (len(places) / 10) ** 0.5
    assert len(positives) > 0.5 * len(training.sequences.values)


def test_candidates_are_as_many_as_a_small_catalogue_has() -> None:
    rows = [list(range(start, start + 6)) for start in range(5)]
    training = training_data(make_split(dataset_of(rows, 12)), ("topn",), PROTOCOLS["published"])
    for _, _, user, items, target in read(sampler(training, sizes={"topn": 5}).step(0, 0)):
        assert sorted(items) == sorted({*range(12)} - {*rows[user]} | {target})
    with pytest.raises(ValueError, match="needs negatives"):
        among_negatives(replace(training, negatives=None), np.array([0]), np.array([0]), np.random.default_rng(0))


def test_templates_are_drawn_alike_with_the_bare_one_or_without() -> None:
    training, _ = world()
    for bare in (True, False):
        made = sampler(training, size=600, bare=bare)
        for number, task in enumerate(TASKS):
            found = Counter(sample.template for sample in read(made.step(0, number)))
            allowed = TEMPLATES.of(task) if bare else TEMPLATES.worded[task]
            assert set(found) == set(allowed) and len(allowed) > 1
            expected = 600 / len(allowed)
            assert all(abs(count - expected) < 5 * expected**0.5 for count in found.values())


@pytest.mark.parametrize("strategy", ["task-alternated", "packed"])
def test_a_step_is_a_function_of_seed_epoch_and_number(strategy: str) -> None:
    training, _ = world()
    once = sampler(training, strategy)
    places = [(epoch, number) for epoch in range(4) for number in range(once.steps)]
    expected = {place: read(once.step(*place)) for place in places}
    again, other = sampler(training, strategy), sampler(training, strategy, seed=1)
    for place in np.random.default_rng(0).permutation(places)[:30]:
        assert read(again.step(*place.tolist())) == expected[tuple(place.tolist())]
        assert read(other.step(*place.tolist())) != expected[tuple(place.tolist())]


def test_what_is_drawn_of_the_same_user_differs_from_epoch_to_epoch() -> None:
    one = training_data(make_split(dataset_of([range(9)], 130)), ("sequential",), PROTOCOLS["sound"])
    made = sampler(one, sizes={"sequential": 12})
    assert len({tuple(read(made.step(epoch, 0))) for epoch in range(5)}) == 5


@pytest.mark.parametrize("protocol", ["published", "sound"])
def test_mixed_steps_hold_the_samples_of_alternated_ones(protocol: str) -> None:
    training, _ = world(protocol)
    sizes = {"explanation": 8, "sequential": 8, "topn": 3}
    made = {name: sampler(training, name, sizes=sizes) for name in ("task-alternated", "sample-mixed", "packed")}
    assert len({one.steps for one in made.values()}) == 1
    for epoch in range(3):
        numbers = range(made["packed"].steps)
        steps = {name: [read(one.step(epoch, number)) for number in numbers] for name, one in made.items()}
        assert steps["packed"] == steps["sample-mixed"]
        alternated, packed = (
            Counter(member(sample) for step in steps[name] for sample in step) for name in ("task-alternated", "packed")
        )
        assert alternated == packed
        assert max(map(len, steps["packed"])) - min(map(len, steps["packed"])) <= 1
        assert any(len({sample.task for sample in step}) == 3 for step in steps["packed"])


def test_a_sample_weighs_the_same_in_every_turn() -> None:
    training, _ = world()
    sizes = {"explanation": 8, "sequential": 8, "topn": 2}
    alternated, packed = sampler(training, sizes=sizes), sampler(training, "packed", sizes=sizes)
    # A step's loss is the mean over its samples: times the scale over their number, each counts 1/8.
    weights = [alternated.scale(number) / len(alternated.step(0, number)) for number in range(alternated.steps)]
    assert weights == pytest.approx([1 / 8] * len(weights))
    assert {packed.scale(number) for number in range(packed.steps)} == {1.0}


def test_validation_asks_what_the_referee_asks() -> None:
    training, _ = world("sound")
    made, bare = sampler(training), TEMPLATES.bare
    queries, truth = training.validation["sequential"].queries, training.validation["sequential"].truth
    for (task, template, user, items, target), row in zip(
        read(made.validation("sequential", bare["sequential"], 0)), range(len(queries)), strict=True
    ):
        assert (task, template, user, target) == ("sequential", bare["sequential"], queries.users[row], truth[row])
        assert list(items) == queries.histories[row][-20:].tolist()
    candidates = training.validation["topn"].queries.candidates
    assert candidates is not None
    found = read(made.validation("topn", bare["topn"], 0))
    assert [list(sample.items) for sample in found] == candidates.tolist()
    assert [sample.target for sample in found] == truth.tolist()
    assert training.explanations is not None
    pairs = training.explanations[1]
    for sample, user, item, text in zip(
        read(made.validation("explanation", bare["explanation"], 0)), pairs.users, pairs.items, pairs.texts, strict=True
    ):
        assert sample == ("explanation", bare["explanation"], user, (item,), TARGETS + int(text))


def test_validation_negatives_are_fixed_under_sound_and_redrawn_under_published() -> None:
    for protocol, redrawn in (("sound", False), ("published", True)):
        training, whole = world(protocol)
        # It is a setting of its own, whatever the rest of the protocol.
        rest = replace(PROTOCOLS["sound"], redraw_validation=redrawn)
        apart = sampler(replace(training, protocol=rest))
        questions = [read(apart.validation("topn", TEMPLATES.bare["topn"], epoch)) for epoch in (0, 1)]
        assert (questions[0] != questions[1]) == redrawn
        made, template = sampler(training), TEMPLATES.bare["topn"]
        first, second = (read(made.validation("topn", template, epoch)) for epoch in (0, 1))
        assert (first != second) == redrawn
        assert read(sampler(training).validation("topn", template, 1)) == second
        for _, _, user, items, target in second:
            assert len(set(items)) == 100 and target == whole[user][-2]
            assert not set(items) - {target} & set(whole[user].tolist())


def test_a_limit_keeps_the_same_questions_in_every_epoch() -> None:
    for protocol in ("sound", "published"):
        made = sampler(world(protocol)[0])
        for task in TASKS:
            template = TEMPLATES.bare[task]
            whole = [member(sample) for sample in read(made.validation(task, template, 0))]
            some = [[member(x) for x in read(made.validation(task, template, epoch, 5))] for epoch in (0, 3)]
            assert some[0] == some[1] and len(some[0]) == 5
            assert some[0] == [who for who in whole if who in set(some[0])]
            assert [member(sample) for sample in read(made.validation(task, template, 0, 1000))] == whole


@pytest.mark.parametrize("strategy", ["task-alternated", "sample-mixed"])
def test_fewer_users_than_a_batch_and_no_texts_still_make_steps(strategy: str) -> None:
    training, _ = world(users=7, texts=0)
    made = sampler(training, strategy, size=64)
    assert made.tasks == ("sequential", "topn") and made.steps == 2
    steps = list(steps_of(made, 2))
    assert [len(step) for step in steps] == [64] * 4
    assert {sample.user for step in steps for sample in step if sample.task == "sequential"} == set(range(2, 7))
    assert {sample.user for step in steps for sample in step if sample.task == "topn"} == set(range(1, 7))


def test_tasks_that_nobody_can_be_trained_on_are_left_out() -> None:
    training, _ = world(texts=0)
    nobody = replace(training, sequences=Ragged.from_rows([[], [3], [5]]), n_users=3)
    assert sampler(nobody).tasks == ("topn",) and sampler(nobody, size=2).steps == 1
    assert {sample.target for sample in read(sampler(nobody, size=2).step(0, 0))} == {3, 5}
    nothing = replace(training, sequences=Ragged.from_rows([[], []]), n_users=2)
    assert sampler(nothing).tasks == () and sampler(nothing).steps == 0


def test_drawn_samples_read_as_texts_of_their_templates() -> None:
    training, _ = world()
    words = [template.fill("", []) for template in ALL]
    names = [f"user_{number} item_{number}" for number in range(1, 200)]
    tokenizer = train_tokenizer([*words, *names, *(str(number) for number in range(56))])
    renderer = Renderer(tokenizer, np.arange(1, training.n_users + 1), training.item_numbers)
    drawing = Drawing("packed", dict.fromkeys(TASKS, 8), 8)
    real = Sampler(training, renderer, TEMPLATES, drawing, 0).step(0, 1)
    assert real.targets is not None
    for row, drawn in enumerate(read(sampler(training, "packed").step(0, 1))):
        names = [f"item_{training.item_numbers[item]}" for item in drawn.items]
        text = drawn.template.fill(f"user_{drawn.user + 1}", names)
        assert tokenizer.decode([real.ids[row]]) == tokenizer.decode([tokenizer.encode([text])[0]])
        answer = drawn.target - TARGETS if drawn.task == "explanation" else training.item_numbers[drawn.target]
        assert tokenizer.decode([real.targets[row]]) == [str(answer)]
