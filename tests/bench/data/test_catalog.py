"""The door: names, places, formats, the paper's statistics, and cheap imports."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import bench.data.catalog as catalog
from bench.data.catalog import DATASETS, dataset_name, detect_format, find_explanation_file, load_dataset, load_reviews
from bench.errors import UserError

ROOT = Path(__file__).resolve().parents[3]
REVIEW = json.dumps({"reviewerID": "u", "asin": "i", "overall": 5, "unixReviewTime": 1, "reviewText": "t"})
INTER = "user_id:token\titem_id:token\nu\ti\nu\tj\nv\ti\n"


@pytest.fixture(autouse=True)
def _own_surroundings(tmp_path, monkeypatch):
    monkeypatch.setenv("PODIUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PODIUM_DATA", raising=False)


def place(root, **files):
    """Files by path, '/' written as '__' and '.' as '_DOT_' where keywords force it."""
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def mistake(*args, **options) -> str:
    with pytest.raises(UserError) as caught:
        load_dataset(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def small(monkeypatch):
    """The catalogue's names, with statistics that three lines can have."""
    for name in ("beauty", "toys", "musical", "ml-100k"):
        monkeypatch.setitem(DATASETS, name, replace(DATASETS[name], statistics=(1, 1, 1)))


def test_the_papers_statistics_are_those_of_table_1(shared):
    with (shared / "paper" / "table1_datasets.csv").open() as stream:
        rows = {row["dataset"].split()[0].lower(): row for row in csv.DictReader(stream)}
    for name in ("sports", "beauty", "toys"):
        row = rows[name]
        assert DATASETS[name].paper_statistics == tuple(int(row[key]) for key in ("users", "items", "reviews"))
    assert [entry.name for entry in DATASETS.values() if entry.in_paper] == ["sports", "beauty", "toys"]
    assert DATASETS["musical"].paper_statistics is None


@pytest.mark.parametrize("name", ["beauty", "sports", "musical"])
def test_real_data_by_name(shared, name, monkeypatch):
    monkeypatch.setenv("PODIUM_DATA", str(shared / "data"))
    by_environment = load_dataset(name, offline=True)
    read = (by_environment.n_users, by_environment.n_items, by_environment.n_interactions)
    assert read == DATASETS[name].statistics and by_environment.name == name
    monkeypatch.setenv("PODIUM_DATA", "/nowhere")
    assert load_dataset(name, shared / "data" / name, offline=True).fingerprint == by_environment.fingerprint
    monkeypatch.delenv("PODIUM_DATA")
    assert load_dataset(str(shared / "data" / name)).fingerprint == by_environment.fingerprint


@pytest.mark.skipif(importlib.util.find_spec("recbole") is None, reason="RecBole is not installed")
def test_ml_100k_comes_with_recbole():
    assert load_dataset("ml-100k", offline=True).n_interactions == 100_000


def test_demo_needs_nothing(tmp_path):
    dataset = load_dataset("demo", tmp_path, offline=True)
    assert dataset.name == "demo" and len(list(load_reviews("demo"))) == dataset.n_interactions


def test_importing_the_catalogue_is_cheap():
    code = (
        "import sys, bench.data.catalog as c; str(c.DATASETS);"
        "heavy = ('pandas', 'pyarrow', 'pooch', 'orjson', 'torch', 'requests', 'recbole');"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_where_a_name_is_looked_for(tmp_path, small):
    entry = DATASETS["toys"]
    places = [tmp_path / "data" / "toys" / entry.review_file, tmp_path / "data" / entry.review_file]
    places.append(tmp_path / "cache" / "toys" / entry.review_file)
    for number, path in enumerate(places):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(REVIEW.replace('"u"', f'"u{number}"'))
    for number, path in enumerate(places):
        assert load_dataset("toys", tmp_path / "data", offline=True).user_ids == (f"u{number}",)
        assert next(load_reviews("toys", tmp_path / "data", offline=True)).user == f"u{number}"
        path.unlink()
    message = mistake("toys", tmp_path / "data", offline=True)
    assert f"DIR/toys/{entry.review_file}" in message
    with pytest.raises(UserError, match="DIR/toys"):
        load_reviews("toys", tmp_path / "data", offline=True)


def test_a_download_is_the_last_resort(tmp_path, small, monkeypatch):
    import bench.data.download as download

    def fake(url, output_file, pooch):
        Path(output_file).write_text(REVIEW)

    monkeypatch.setattr(download, "_fetch_whole", fake)
    assert load_dataset("beauty", tmp_path).n_interactions == 1
    assert (tmp_path / "cache" / "beauty" / "reviews_Beauty_5.json.gz").is_file()


def test_sequences_go_before_reviews(tmp_path, small):
    review_file = DATASETS["beauty"].review_file
    place(tmp_path, beauty__sequential_DOT_txt="4 9\n")
    (tmp_path / "beauty" / review_file).write_text(REVIEW)
    assert load_dataset("beauty", tmp_path, offline=True).user_ids == ("4",)
    assert [review.user for review in load_reviews("beauty", tmp_path, offline=True)] == ["u"]
    assert [review.user for review in load_reviews(str(tmp_path / "beauty"))] == ["u"]


def test_sequences_straight_in_data_dir_are_not_just_anyones(tmp_path, small):
    place(tmp_path, flat__sequential_DOT_txt="4 9\n", toys__sequential_DOT_txt="4 9\n")
    assert load_dataset("beauty", tmp_path / "flat", offline=True).user_ids == ("4",)
    for name, folder in (("musical", "flat"), ("beauty", "toys")):
        assert "the network is not to be used" in mistake(name, tmp_path / folder, offline=True)


def test_an_inter_file_straight_in_data_dir(tmp_path, small):
    (tmp_path / "other.inter").write_text(INTER)
    (tmp_path / "ml-100k.inter").write_text("user_id:token\titem_id:token\nu\ti\n")
    assert load_dataset("ml-100k", tmp_path).n_interactions == 1


def test_paths(tmp_path):
    place(tmp_path, My_Shop__reviews_DOT_jsonl=REVIEW, My_Shop__meta_x_DOT_json="{}", films__a_DOT_inter=INTER)
    by_folder = load_dataset(str(tmp_path / "My_Shop"))
    assert by_folder.name == "my_shop" and by_folder.source.startswith("Amazon")
    by_file = load_dataset(str(tmp_path / "My_Shop" / "reviews.jsonl"))
    assert (by_file.name, by_file.fingerprint) == (by_folder.name, by_folder.fingerprint)
    assert load_dataset("films", tmp_path).n_interactions == 3
    assert load_dataset(str(tmp_path / "films" / "a.inter")).name == "films"
    with pytest.raises(UserError, match="no review texts"):
        load_reviews("films", tmp_path)


@pytest.mark.parametrize(
    ("folder", "name"), [("Amazon Books (5)", "amazon-books-5"), ("ä", "data"), ("a.b_c-1", "a.b_c-1")]
)
def test_names_of_paths_are_tame(tmp_path, folder, name):
    (tmp_path / folder).mkdir()
    assert dataset_name(tmp_path / folder) == dataset_name(tmp_path / folder / "file.json") == name


def test_formats(tmp_path):
    assert detect_format(tmp_path) is None
    place(tmp_path, x_DOT_json="{}", datamaps_DOT_json="{}")
    assert detect_format(tmp_path) == ("amazon", tmp_path / "x.json")
    assert detect_format(tmp_path, "y.json") is None
    place(tmp_path, y_DOT_json="{}")
    assert detect_format(tmp_path, "y.json") == ("amazon", tmp_path / "y.json")
    with pytest.raises(UserError, match="several review files"):
        detect_format(tmp_path)
    place(tmp_path, z_DOT_inter="")
    assert detect_format(tmp_path) == ("atomic", tmp_path / "z.inter")
    place(tmp_path, sequential_DOT_txt="")
    assert detect_format(tmp_path) == ("authors", tmp_path)


def test_wrong_statistics_print_both(tmp_path):
    place(tmp_path, beauty__sequential_DOT_txt="4 9\n")
    for target in ("beauty", str(tmp_path / "beauty")):
        message = mistake(target, tmp_path, offline=True)
        assert "1 users, 1 items, 1 interactions" in message
        assert "Table 1 of the paper says 22,363 users, 12,101 items, 198,502 interactions" in message
    (tmp_path / "beauty").rename(tmp_path / "mine")
    assert load_dataset(str(tmp_path / "mine")).n_interactions == 1


def test_mistakes(tmp_path, monkeypatch):
    assert "did you mean 'beauty'?" in mistake("beuty")
    assert "known: sports, beauty" in mistake("qqqq")
    assert "no such file or folder" in mistake(str(tmp_path / "none"))
    assert "holds no data in a known format" in mistake(str(tmp_path))
    place(tmp_path, notes_DOT_txt="x", demo__sequential_DOT_txt="1 2\n")
    assert "is not a review file" in mistake(str(tmp_path / "notes.txt"))
    assert "rename the folder" in mistake(str(tmp_path / "demo"))
    assert "--data-dir: " in mistake("beauty", tmp_path / "none")
    monkeypatch.setenv("PODIUM_DATA", str(tmp_path / "none"))
    assert "PODIUM_DATA: " in mistake("beauty")


def test_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(catalog.Path, "iterdir", refuse)
    assert "cannot be read (Permission denied)" in mistake(str(tmp_path))


def test_real_folder_under_another_name_needs_no_statistics(shared, tmp_path):
    shutil.copytree(shared / "data" / "musical", tmp_path / "guitars")
    assert load_dataset(str(tmp_path / "guitars")).name == "guitars"


def test_the_authors_explanations_lie_beside_the_sequences_that_are_read(tmp_path, small):
    sequences, reviews = "1 1 2 3\n", '{"reviewerID": "u"}\n'
    place(
        tmp_path, **{"toys/sequential.txt": sequences, "toys/explanation.json": "{}", "plain/sequential.txt": sequences}
    )
    place(tmp_path, **{"amazon/explanation.json": "{}", "amazon/reviews.json": reviews})
    assert find_explanation_file("toys", tmp_path) == tmp_path / "toys" / "explanation.json"
    assert find_explanation_file(str(tmp_path / "toys" / "sequential.txt")) == tmp_path / "toys" / "explanation.json"
    assert find_explanation_file(str(tmp_path / "plain")) is None
    assert find_explanation_file(str(tmp_path / "amazon")) is None, "it belongs to sequences"
    assert find_explanation_file("demo") is None
