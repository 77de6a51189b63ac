"""Leave-one-out, fixed candidates, numberings, and split files."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.data.catalog import load_dataset
from bench.data.dataset import Dataset
from bench.data.demo import make_demo
from bench.errors import UserError
from bench.ragged import Ragged
from bench.splits import (
    N_NEGATIVES,
    draw_negatives,
    item_numbers,
    load_split,
    make_split,
    save_split,
)


def dataset_of(rows, n_items=None, **more) -> Dataset:
    sequences = Ragged.from_rows(rows)
    n_items = n_items or int(sequences.values.max(initial=-1)) + 1
    users, items = tuple(f"u{n}" for n in range(len(rows))), tuple(f"i{n}" for n in range(n_items))
    return Dataset("small", "test", users, items, sequences, **more)


@pytest.fixture(scope="module")
def demo():
    return make_split(make_demo())


def test_last_is_test_the_one_before_validation_the_rest_training():
    split = make_split(dataset_of([[0, 1, 2, 3], [4, 5], [2, 4, 0], [1], []], 6))
    assert split.users.tolist() == [0, 2]
    assert split.truth("test").tolist() == [3, 0] and split.truth("valid").tolist() == [2, 4]
    assert [row.tolist() for row in split.train] == [[0, 1], [4, 5], [2], [1], []]
    assert [row.tolist() for row in split.histories("valid")] == [[0, 1], [2]]
    assert [row.tolist() for row in split.histories("test")] == [[0, 1, 2], [2, 4]]


def test_short_histories_are_counted_never_silent():
    notes = {note.rule: note.count for note in make_split(dataset_of([[0, 1, 2, 3], [4, 5], [2, 4, 0], [1]], 6)).notes}
    assert notes == {
        "users with fewer than 3 interactions, trained on but not evaluated": 2,
        "users with fewer than 4 interactions, too short for a training segment": 3,
        "users with fewer than 99 unseen items, ranked among fewer candidates": 2,
    }


def test_nobody_to_evaluate_is_one_clear_line():
    with pytest.raises(UserError, match="no user has 3 interactions") as caught:
        make_split(dataset_of([[0, 1], [1]]))
    assert "dataset small" in str(caught.value)


def test_each_candidate_list_is_the_positive_and_99_unseen(demo):
    for stage in ("valid", "test"):
        lists = demo.candidates[stage]
        assert lists.shape == (len(demo.users), 100) and lists.dtype == np.int32
        for row, user in enumerate(demo.users):
            listed, truth = lists[row].tolist(), int(demo.truth(stage)[row])
            assert len(set(listed)) == 100 and min(listed) >= 0 and max(listed) < demo.dataset.n_items
            assert set(listed) & set(demo.dataset.sequences[int(user)].tolist()) == {truth}
    assert not np.array_equal(np.sort(demo.candidates["valid"]), np.sort(demo.candidates["test"]))


def test_the_positive_stands_anywhere(demo):
    places = [np.argmax(demo.candidates[s] == demo.truth(s)[:, None], axis=1) for s in ("valid", "test")]
    counts = np.bincount(np.concatenate(places) // 10, minlength=10)
    assert stats.chisquare(counts).pvalue > 1e-4


def test_same_seed_same_bytes_on_every_machine(demo):
    assert demo.fingerprint == make_split(make_demo()).fingerprint
    other = make_split(make_demo(), seed=7)
    assert other.fingerprint != demo.fingerprint and other.seed == 7
    # Pinned: 500 users of 600 items drawn by rejection, 2 of them by choice. Results of old splits hang on it.
    rows = [[(7 * user + step * step) % 600 for step in range(8)] for user in range(500)]
    rows = [sorted(set(row)) for row in rows] + [list(range(n)) for n in (400, 580)]
    assert make_split(dataset_of(rows, 600)).fingerprint == "f4782d3c2e2cb782"


def test_drawing_touches_no_global_generator(demo):
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    make_split(demo.dataset)
    item_numbers(demo, "random")
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize(("n_items", "length"), [(130, 4), (400, 4), (400, 320), (100, 1)])
def test_negatives_are_uniform_over_the_unseen(n_items, length):
    # 130 and 100 items, and long histories, are drawn by choice; the rest by rejection.
    rng = np.random.default_rng(8)
    history = rng.permutation(n_items)[:length]
    dataset = dataset_of([history.tolist()], n_items)
    drawn = draw_negatives(dataset.sequences, dataset.n_items, np.zeros(4000, np.int64), rng)
    unseen = n_items - length
    per_list = min(N_NEGATIVES, unseen)
    assert (np.count_nonzero(drawn >= 0, axis=1) == per_list).all()
    counts = np.bincount(drawn[drawn >= 0], minlength=n_items)
    assert not counts[history].any()
    share = per_list / unseen
    counts = np.delete(counts, history)
    if share == 1:
        assert (counts == 4000).all()
        return
    spread = (counts - 4000 * share) / np.sqrt(4000 * share * (1 - share))
    assert np.abs(spread).max() < 5
    # Drawing without replacement: the variance is that of the hypergeometric, on n_items - 1 degrees of freedom.
    assert stats.chi2(unseen - 1).sf((spread**2).sum() * (unseen - 1) / unseen) > 1e-4


def test_pairs_of_negatives_are_uniform_too():
    dataset = dataset_of([[0]], 301)
    drawn = draw_negatives(dataset.sequences, dataset.n_items, np.zeros(6000, np.int64), np.random.default_rng(9))
    with_one = drawn[(drawn == 1).any(axis=1)]
    counts = np.bincount(with_one.ravel(), minlength=301)[2:]
    share = (N_NEGATIVES - 1) / 299
    assert np.abs(counts - len(with_one) * share).max() < 5 * np.sqrt(len(with_one) * share * (1 - share))


@given(st.integers(1, 450), st.data())
def test_negatives_are_distinct_unseen_and_as_many_as_there_can_be(n_items, data):
    size = st.integers(0, min(n_items, 12))
    rows = [np.random.default_rng(data.draw(st.integers(0, 99))).permutation(n_items)[: data.draw(size)] for _ in "ab"]
    dataset = dataset_of(rows, n_items)
    drawn = draw_negatives(dataset.sequences, dataset.n_items, np.array([0, 1]), np.random.default_rng(0))
    for row, history in zip(drawn, rows, strict=True):
        real = row[row >= 0]
        assert len(real) == min(N_NEGATIVES, n_items - len(history)) == len(set(real.tolist()))
        assert not set(real.tolist()) & set(history.tolist()) and real.max(initial=0) < n_items
        assert (row[len(real) :] == -1).all()


def test_a_catalogue_too_small_leaves_places_empty_at_the_end():
    split = make_split(dataset_of([[0, 1, 2], [3, 4, 5]], 8))
    for stage in ("valid", "test"):
        lists = split.candidates[stage]
        assert (np.sort(lists[:, :6]) >= 0).all() and (lists[:, 6:] == -1).all()
        assert set(lists[0, :6].tolist()) == {3, 4, 5, 6, 7, int(split.truth(stage)[0])}


def given_lists(change=lambda lists: None):
    lists = np.array([range(3, 102), range(103, 202)], np.int32)
    change(lists)
    return dataset_of([[0, 1, 2], [102, 101, 100]], 202, negatives=Ragged.from_rows(lists))


def test_the_sources_own_test_negatives_are_used():
    split = make_split(given_lists())
    assert sorted(split.candidates["test"][0].tolist()) == [*range(2, 102)]
    assert sorted(split.candidates["test"][1].tolist()) == [100, *range(103, 202)]
    assert sorted(split.candidates["valid"][0].tolist()) != [1, *range(3, 102)]


@pytest.mark.parametrize(
    ("place", "item", "words"),
    [
        ((0, 5), 2, "user u0 hold an item of the user's history"),
        ((1, 0), 100, "user u1 hold an item of the user's history"),
        ((1, 7), 103, "user u1 hold an item twice"),
        ((0, 98), 202, "user u0 hold an unknown item"),
    ],
)
def test_bad_negatives_of_a_source_are_refused(place, item, words):
    with pytest.raises(UserError) as caught:
        make_split(given_lists(lambda lists: lists.__setitem__(place, item)))
    assert words in str(caught.value)


def test_numberings():
    #                       train     valid test
    dataset = dataset_of([[0, 1, 2, 3], [4, 0, 5], [5, 1, 6, 2]])
    split = make_split(dataset)
    appearance = item_numbers(split, "appearance")
    assert appearance.tolist() == [1, 2, 3, 4, 5, 6, 7]
    train = item_numbers(split, "train")  # trained on, in order: 0 1 4 5
    assert train[[0, 1, 4, 5]].tolist() == [1, 2, 3, 4] and sorted(train[[2, 3, 6]]) == [5, 6, 7]
    for scheme in ("appearance", "train", "random"):
        numbers = item_numbers(split, scheme)
        assert sorted(numbers.tolist()) == list(range(1, 8)) and numbers.dtype == np.int32
        assert np.array_equal(numbers, item_numbers(split, scheme))
    with pytest.raises(ValueError, match="unknown numbering 'alphabetic'"):
        item_numbers(split, "alphabetic")


def test_numbers_say_nothing_of_held_out_items_except_by_appearance():
    # Each user ends in an item of its own; only its place in the history could tell which.
    rows = [[n % 50, 50 + n, 1050 + n] for n in range(1000)]
    numbers = {
        scheme: item_numbers(make_split(dataset_of(rows)), scheme) for scheme in ("appearance", "train", "random")
    }
    held_out = np.arange(1050, 2050)
    follows = {scheme: stats.spearmanr(column[held_out], np.arange(1000))[0] for scheme, column in numbers.items()}
    assert follows["appearance"] > 0.99
    assert abs(follows["train"]) < 0.16 and abs(follows["random"]) < 0.16


def test_random_numbers_depend_on_their_seed(demo):
    assert not np.array_equal(item_numbers(demo, "random"), item_numbers(demo, "random", seed=1))


def test_a_file_gives_the_split_back(demo, tmp_path):
    path = tmp_path / "deep" / "split.npz"
    save_split(demo, path)
    again = load_split(demo.dataset, path)
    assert again.fingerprint == demo.fingerprint and again.seed == demo.seed
    assert np.array_equal(again.candidates["test"], demo.candidates["test"])
    assert [file.name for file in path.parent.iterdir()] == ["split.npz"]


def test_other_data_another_seed_or_a_changed_list_are_told(demo, tmp_path):
    path = tmp_path / "split.npz"
    save_split(demo, path)
    with pytest.raises(UserError, match="made for other data or altered"):
        load_split(make_demo(seed=1), path)
    stored = dict(np.load(path))
    stored["test"][0, :2] = stored["test"][0, 1::-1]
    np.savez(path, **stored)
    with pytest.raises(UserError, match="made for other data or altered"):
        load_split(demo.dataset, path)


@pytest.mark.parametrize("damage", ["cut", "text", "none", "field", "pickle"])
def test_a_damaged_file_is_one_clear_line(demo, tmp_path, damage):
    path = tmp_path / "split.npz"
    save_split(demo, path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    elif damage == "text":
        path.write_text("no split")
    elif damage == "none":
        path.unlink()
    else:
        stored = dict(np.load(path))
        del stored["seed"]
        if damage == "pickle":
            stored["seed"] = np.array([{}], dtype=object)
        np.savez(path, **stored)
    with pytest.raises(UserError, match="not a readable split") as caught:
        load_split(demo.dataset, path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_full_disk_leaves_nothing_behind(demo, tmp_path, monkeypatch):
    path = tmp_path / "split.npz"
    path.write_text("the old one")

    def full(self, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UserError, match="No space left on device"):
        save_split(demo, path)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["the old one"]


def test_a_place_that_cannot_be_written(demo, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        save_split(demo, tmp_path / "file" / "split.npz")


def test_rated_data_of_the_installed_recbole():
    pytest.importorskip("recbole", exc_type=ImportError)
    dataset = load_dataset("ml-100k")
    split = make_split(dataset)
    assert len(split.users) == 943 and split.train.offsets[-1] == 100_000 - 2 * 943
    for row, user in enumerate(split.users):
        seen = set(dataset.sequences[int(user)].tolist())
        assert set(split.candidates["test"][row].tolist()) & seen == {int(split.truth("test")[row])}
    assert replace(dataset, ratings=None).fingerprint != dataset.fingerprint
