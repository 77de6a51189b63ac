"""Preparing explanation records: made once, made anew when their source or rule changes, or the reason why not."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import numpy as np
import pytest

import bench.runs.workspace as workspace
from bench.errors import UserError
from bench.explanations import MADE, RULE, Explanations, authors_origin, load_explanations, save_explanations
from bench.progress import Progress
from bench.runs.plan import DatasetCard, read_card, write_card
from bench.runs.workspace import card_path, prepare

LINES = ["1 1 2 3", "2 2 3 4", "3 1 3 4"]
OLD = "sentences of reviews, rule 0"


class Told(Progress):
    """Keeps the lines it was told."""

    def __init__(self):
        self.lines = []

    def line(self, text):
        self.lines.append(text)


def record(user, item, text):
    return {"user": user, "item": item, "explanation": text, "feature": "tone"}


GIVEN = {
    "train": [record("1", "1", "the tone is warm"), record("2", "3", "a tone")],
    "val": [record("1", "2", "warm tone")],
    "test": [record("3", "4", "no tone")],
}


@pytest.fixture
def shop(tmp_path):
    """An authors' folder without explanations."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "sequential.txt").write_text("".join(f"{line}\n" for line in LINES))
    return folder


def give(shop, content):
    (shop / "explanation.json").write_text(json.dumps(content))


def prepared(shop, told=None, **more):
    return prepare(str(shop), shop.parent / "out", explanations=True, progress=told or Told(), **more)


def test_without_texts_the_split_and_the_card_say_why(shop):
    told = Told()
    split = prepared(shop, told)
    assert split.explanations is None and split.no_explanations == "shop: has no review texts"
    assert told.lines == ["no explanations: shop: has no review texts"]
    assert str(shop.parent) not in split.no_explanations, "it goes into files that are shared"
    card = read_card(card_path(shop.parent / "out", "shop"))
    assert card.no_explanations == split.no_explanations and card.explanations_fingerprint == ""
    assert prepare(str(shop), shop.parent / "out").no_explanations == "", "nobody looked"
    assert read_card(card_path(shop.parent / "out", "shop")) == card


def test_the_authors_file_beside_the_sequences_is_used(shop):
    give(shop, GIVEN)
    split = prepared(shop)
    assert split.explanations.texts == ("the tone is warm", "warm tone", "a tone", "no tone")
    assert split.explanations.part.tolist() == [0, 1, 0, 2] and split.no_explanations == ""
    assert split.explanations.origin == authors_origin(shop / "explanation.json")
    card = read_card(card_path(shop.parent / "out", "shop"))
    assert card.explanations_fingerprint == split.explanations.fingerprint
    assert prepared(shop, keep=False).explanations.fingerprint == split.explanations.fingerprint


def test_another_file_makes_other_records_and_a_lost_one_keeps_them(shop):
    give(shop, GIVEN)
    first, told = prepared(shop), Told()
    assert prepared(shop, told).explanations.fingerprint == first.explanations.fingerprint and told.lines == []
    give(shop, {**GIVEN, "test": [record("3", "4", "another")]})
    second = prepared(shop, told)
    assert second.explanations.texts[-1] == "another" and told.lines == ["reading explanation.json of shop"]
    card = read_card(card_path(shop.parent / "out", "shop"))
    assert card.explanations_fingerprint == second.explanations.fingerprint != first.explanations.fingerprint
    (shop / "explanation.json").unlink()
    assert prepared(shop).explanations.fingerprint == second.explanations.fingerprint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({**GIVEN, "val": [record("9", "2", "x")]}, r"val\[0\] field user: user '9' is unknown to dataset shop"),
        ({**GIVEN, "test": []}, "has no test records"),
        ({"train": []}, "has no list 'val'"),
        ({**GIVEN, "val": [{"user": "1", "item": "2"}]}, "field explanation: the field is missing"),
    ],
)
def test_a_file_that_does_not_fit_is_no_reason_to_go_on_without(shop, content, message):
    give(shop, content)
    with pytest.raises(UserError, match=message):
        prepared(shop)
    assert not (shop.parent / "out" / "shop" / "explanations.npz").exists()


@pytest.fixture
def told_of_reviews(monkeypatch):
    """Reviews that give these records, and how often they were read."""
    made = []

    def make(reviews, dataset):
        made.append(list(reviews))
        numbers = np.arange(3, dtype=np.int32)
        part = np.arange(3, dtype=np.int8)
        return Explanations(numbers, numbers, ("a", "b", "c"), ("",) * 3, part, (), MADE)

    monkeypatch.setattr(workspace, "load_reviews", lambda *words: iter(["a review"]))
    monkeypatch.setattr(workspace, "make_explanations", make)
    return made


def test_records_of_another_rule_are_made_anew(shop, told_of_reviews):
    first = prepared(shop)
    path = shop.parent / "out" / "shop" / "explanations.npz"
    assert first.explanations.origin == f"sentences of reviews, rule {RULE}" and len(told_of_reviews) == 1
    prepared(shop)
    assert len(told_of_reviews) == 1, "made once"
    save_explanations(replace(first.explanations, texts=("x", "y", "z"), origin=OLD), path)
    assert prepared(shop).explanations.texts == ("a", "b", "c") and len(told_of_reviews) == 2
    assert load_explanations(path).origin == MADE


def test_files_from_before_rules_had_numbers_are_of_the_first(shop, told_of_reviews):
    first = prepared(shop)
    path = shop.parent / "out" / "shop" / "explanations.npz"
    with np.load(path) as stored:
        parts = dict(stored)
    content = json.loads(parts["content"].tobytes())
    del content["origin"]
    parts["content"] = np.frombuffer(json.dumps(content).encode(), dtype=np.uint8)
    np.savez(path, **parts)
    assert load_explanations(path).fingerprint == first.explanations.fingerprint
    assert prepared(shop).explanations.origin == MADE and len(told_of_reviews) == 1


def test_what_cannot_be_made_anew_is_not_used(shop, told_of_reviews, monkeypatch):
    first = prepared(shop)
    out = shop.parent / "out"
    save_explanations(replace(first.explanations, origin=OLD), out / "shop" / "explanations.npz")
    monkeypatch.undo()
    split = prepared(shop)
    assert split.explanations is None and split.no_explanations
    card = read_card(card_path(out, "shop"))
    assert card.explanations_fingerprint == first.explanations.fingerprint, "results here are of runs that had them"
    assert card.no_explanations == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "has no review texts"),
        ("ok", "no review has a sentence that judges a feature"),
        ("Nada que decir de esto, muy bien hecho.", "no review has a sentence that judges a feature"),
    ],
)
def test_reviews_without_fitting_sentences_leave_the_task_out(tmp_path, text, reason):
    folder = tmp_path / "amazon"
    folder.mkdir()
    reviews = [
        {"reviewerID": f"u{u}", "asin": f"i{i}", "overall": 5.0, "unixReviewTime": i, "reviewText": text, "summary": ""}
        for u in range(4)
        for i in range(4)
    ]
    with gzip.open(folder / "reviews.json.gz", "wt") as stream:
        stream.writelines(f"{json.dumps(review)}\n" for review in reviews)
    split = prepared(folder)
    assert split.explanations is None and reason in split.no_explanations


def test_a_card_learns_but_does_not_forget(tmp_path, shop):
    bare = DatasetCard.of(prepare(str(shop), tmp_path / "other"))
    path = tmp_path / "card.json"
    write_card(bare, path)
    for card, kept in (
        (replace(bare, no_explanations="why"), ("", "why")),
        (replace(bare, no_explanations="other"), ("", "other")),
        (bare, ("", "other")),
        (replace(bare, explanations_fingerprint="f"), ("f", "")),
        (replace(bare, no_explanations="gone"), ("f", "")),
        (replace(bare, explanations_fingerprint="g"), ("g", "")),
    ):
        write_card(card, path)
        read = read_card(path)
        assert (read.explanations_fingerprint, read.no_explanations) == kept
