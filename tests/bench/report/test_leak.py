"""The leak table: its cells against pandas, its sentences by hand, and what it does with holes."""

from __future__ import annotations

import csv
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_up import card, flat, info, record, tied

from bench.errors import UserError
from bench.models import Registry
from bench.report.groups import Groups
from bench.report.latex import latex_table
from bench.report.leak import GROUPS, LEAK_COLUMNS, build_leak, write_leak
from bench.report.specs import EXTRA_TABLES, TABLES, table
from bench.report.text import text_table
from bench.runs.plan import NOT_RUN, attach, make_plan

SPEC = EXTRA_TABLES["leak"]
N = 200
TOUCHED = ("item_numbering", "constrained")
MODELS = [
    info("id-order", "Id order", "probe", protocol_settings=("item_numbering",), deterministic=True),
    info("pod-sequential", "POD alone", "llm", tied("scratch:mini"), protocol_settings=TOUCHED),
]


def groups(shares=(0.3, 0.05, 0.0)):
    """The first users of each numbering are those with the next number."""
    users = np.arange(N, dtype=np.int32) + 7
    chosen = zip(SPEC.numberings, shares, strict=True)
    return Groups(users, {numbering: np.arange(N) < share * N for numbering, share in chosen})


class Leak:
    """A plan with a record for each run that `scores` gives (N, 4) numbers for.

    scores: (model, numbering, seed) -> (N, 4) values of the metrics, or None.
    """

    def __init__(self, folder, scores, seeds=(0,)):
        registry = Registry({model.name: model for model in MODELS}, {})
        self.card = replace(card(), evaluated=N)
        self.plan = make_plan(self.card, "laptop", SPEC.models, registry, SPEC.protocols(()), list(seeds))
        self.records = []
        for entry in self.plan.entries:
            values = scores(entry.info.name, entry.protocol.item_numbering, entry.seed)
            if values is not None:
                found = replace(record(entry.job, flat(0.1)), path=folder / entry.job.folder)
                write_scores(found.path, dict(zip(SPEC.metrics, np.asarray(values).T, strict=True)))
                self.records.append(found)
        attach(self.plan, self.records)

    def build(self, known=None):
        return build_leak(SPEC, self.plan, known)


def write_scores(folder, columns):
    folder.mkdir(exist_ok=True)
    users = pa.array(np.arange(N, dtype=np.int32) + 7)
    values = {name: pa.array(column.astype(np.float32)) for name, column in columns.items()}
    part = pa.table({"task": ["sequential"] * N, "user": users, **values})
    other = pa.table(
        {"task": ["topn"] * N, "user": users, **{name: pa.array([9.0] * N, pa.float32()) for name in values}}
    )
    pq.write_table(pa.concat_tables([part, other]), folder / "per_user.parquet")


def noise(model, numbering, seed):
    numbers = [SPEC.models.index(model), SPEC.numberings.index(numbering), seed]
    return np.random.default_rng(numbers).random((N, 4)).astype(np.float32)


def read(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_cells_against_pandas(tmp_path):
    known = groups()
    built = Leak(tmp_path, noise, seeds=(0, 1)).build(known)
    assert [panel.heading for panel in built.panels] == list(GROUPS.values())
    assert [(row.model, row.leads[0]) for row in built.panels[0].rows] == [
        (model, numbering) for model in SPEC.models for numbering in ("appearance", "train", "random")
    ]
    for panel, group in zip(built.panels, GROUPS, strict=True):
        for row in panel.rows:
            seeds = (0,) if row.model == "id-order" else (0, 1)
            frames = [pd.DataFrame(noise(row.model, row.leads[0], seed).astype(float)) for seed in seeds]
            frame = sum(frames) / len(frames)
            member = known.next[row.leads[0]]
            frame = frame[{"all": member | True, "next": member, "other": ~member}[group]]
            assert row.leads[1] == str(len(frame))
            for cell, column in zip(row.cells, frame, strict=True):
                if len(frame):
                    assert cell.value == pytest.approx(frame[column].mean())
                    assert cell.std == pytest.approx(frame[column].sem())
                    assert (cell.n_users, cell.n_seeds) == (len(frame), len(seeds))
                else:
                    assert cell.value is None and cell.std is None


def test_the_csv(tmp_path):
    folder = tmp_path / "out"
    built = Leak(tmp_path, noise).build(groups())
    assert [path.name for path in write_leak(built, folder)] == ["leak.csv", "leak.tex"]
    rows = read(folder / "leak.csv")
    assert tuple(rows[0]) == LEAK_COLUMNS and len(rows) == 3 * 3 * 2 * 4
    cell = next(
        row
        for row in rows
        if (row["model"], row["numbering"], row["group"], row["metric"]) == ("id-order", "train", "next", "HR@10")
    )
    values = pd.Series(noise("id-order", "train", 0)[:10, 2].astype(float))
    assert (cell["value"], cell["std_error"]) == (f"{values.mean():.4f}", f"{values.sem():.4f}")
    assert (cell["n_users"], cell["n_seeds"], cell["note"]) == ("10", "1", "")
    empty = [row for row in rows if row["numbering"] == "random" and row["group"] == "next"]
    assert {(row["value"], row["std_error"], row["n_users"]) for row in empty} == {("", "", "0")}
    assert {row["note"] for row in rows if row["model"] == "pod-sequential"} == {
        "on scratch:mini, T5 trained from random weights, not the paper's pretrained T5-small"
    }


def hits(counts):
    """(N, 4): HR@10 is 1 for the first `next` users of each group's share and for `other` of the last users."""

    def scores(model, numbering, seed):
        del seed
        values = np.zeros((N, 4))
        first, last = counts.get((model, numbering), (0, 0))
        values[:first, 2] = 1.0
        values[N - last :, 2] = 1.0
        return values

    return scores


def sentence(built, start):
    found = [note for note in built.notes if note.startswith(start)]
    assert len(found) == 1, built.notes
    return found[0]


def test_sentences_by_hand(tmp_path):
    counts = {
        ("id-order", "appearance"): (60, 20),
        ("id-order", "train"): (0, 10),
        ("pod-sequential", "appearance"): (2, 4),
        ("pod-sequential", "train"): (0, 5),
        ("pod-sequential", "random"): (60, 20),
    }
    built = Leak(tmp_path, hits(counts)).build(groups())
    assert sentence(built, "Users whose test item").endswith(
        "history: of 200, 60 (30.00 %) under appearance, 10 (5.00 %) under train, 0 (0.00 %) under random."
    )
    # 70 of 200 users differ by one: mean .35, standard error sqrt(.35 * .65 / 199).
    error = (0.35 * 0.65 / 199) ** 0.5
    low, high = 0.35 - 1.96 * error, 0.35 + 1.96 * error
    told = sentence(built, "Id order, HR@10")
    assert told.startswith("Id order, HR@10: 0.4000 under appearance, 0.0500 under train, 0.0000 under random.")
    assert f"Appearance is above train by 0.3500 (95 % interval {low:.4f} to {high:.4f}) and above random by" in told
    assert told.endswith("75.00 % of its hits are of the 30.00 % of users whose test item has the next number.")
    told = sentence(built, "POD alone, HR@10")
    # Of 200 users two gain one and one loses it: mean .005, variance (3 - 200 * .005^2) / 199.
    error = ((3 - 200 * 0.005**2) / 199 / 200) ** 0.5
    interval = f"95 % interval {0.005 - 1.96 * error:.4f} to {0.005 + 1.96 * error:.4f}"
    assert f"Appearance is not told apart from train (difference 0.0050, {interval})" in told
    assert " and below random by 0.3700 (95 % interval 0.30" in told
    assert "33.33 % of its hits are" in told


def test_a_model_without_hits_has_no_share_of_them(tmp_path):
    built = Leak(tmp_path, hits({})).build(groups())
    told = sentence(built, "POD alone, HR@10")
    assert (
        "not told apart from train (difference 0.0000, 95 % interval 0.0000 to 0.0000)" in told and "hits" not in told
    )


def test_conditions_stand_in_the_notes(tmp_path):
    built = Leak(tmp_path, noise).build(groups())
    text = " ".join(built.notes)
    for words in (
        "beauty (authors' folder); 200 users are evaluated.",
        "Preset: laptop (",
        "Seed: 0; ± is the standard error over users",
        "Protocol: sound but for the item numbers (appearance: items numbered by first appearance in whole histories; ",
        "no list holds history items",
        "Backbone: POD alone on scratch:mini.",
        "Id order learns nothing and lists the item with the next number first.",
        "Data: 12 repeated user-item pairs dropped.",
    ):
        assert words in text
    assert "Seeds: 0, 1; ± is the standard error of a user's mean over seeds over users" in " ".join(
        Leak(tmp_path, noise, seeds=(0, 1)).build(groups()).notes
    )


def test_without_groups_the_figures_of_all_users_are_there(tmp_path):
    built = Leak(tmp_path, noise).build(None)
    assert [panel.heading for panel in built.panels] == ["All users"]
    assert built.panels[0].rows[0].cells[0].value == pytest.approx(
        float(noise("id-order", "appearance", 0)[:, 0].mean())
    )
    assert sentence(built, "Who has a test item").endswith("run once with the data, without --report-only.")


def test_missing_runs_are_footnotes(tmp_path):
    def scores(model, numbering, seed):
        return (
            None
            if model == "pod-sequential" and (numbering == "random" or seed == 1)
            else noise(model, numbering, seed)
        )

    built = Leak(tmp_path, scores, seeds=(0, 1)).build(groups())
    rows = {(row.model, row.leads[0]): row for row in built.panels[0].rows}
    missing = rows["pod-sequential", "random"]
    assert missing.cells[0].value is None and [built.footnotes[n - 1] for n in missing.notes] == [NOT_RUN]
    half = rows["pod-sequential", "train"]
    # Run before, under the same numbers and another seed: no record of seed 1, no claim that there was one.
    assert half.cells[0].n_seeds == 1 and built.footnotes[half.notes[-1] - 1] == f"without seed 1: {NOT_RUN}"
    assert "under random" not in sentence(built, "POD alone, HR@10")
    nothing = Leak(tmp_path, lambda *_: None).build(groups())
    assert not any(note.startswith("POD alone, HR@10") for note in nothing.notes)


def test_models_known_from_their_records_alone(tmp_path):
    made = Leak(tmp_path, noise)
    bare = make_plan(made.card, "laptop", SPEC.models, Registry({}, {}), SPEC.protocols(()), [0])
    attach(bare, made.records, (), SPEC.models)
    found = build_leak(SPEC, bare, groups())
    assert [row.cells for row in found.panels[1].rows] == [row.cells for row in made.build(groups()).panels[1].rows]
    assert found.panels[0].rows[3].title == "POD alone"


def test_scores_of_other_users_are_refused(tmp_path):
    made, known = Leak(tmp_path, noise), groups()
    with pytest.raises(UserError, match=r"per_user\.parquet: these scores are of other users"):
        made.build(Groups(known.users + 1, known.next))
    made.plan.card = replace(made.card, evaluated=N + 1)
    with pytest.raises(UserError, match="of other users"):
        made.build(None)


def test_text_and_latex(tmp_path):
    built = Leak(tmp_path, noise).build(groups())
    text = text_table(built)
    lines = text.splitlines()
    assert lines[0] == "Leak table. What item numbers give away, sequential recommendation: Beauty"
    assert lines[1] == "[All users]" and lines[2].split() == ["Item", "numbers", "Users", *SPEC.metrics]
    assert lines[4].split()[:4] == ["Id", "order", "appearance", "200"] and "*" not in text
    latex = latex_table(built)
    rows = [line for line in latex.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {line.count("&") for line in rows} == {6} and len(rows) == 1 + 3 * 6 and latex.isascii()
    assert r"\multicolumn{7}{l}{\textit{All users}}" in latex and "Protocol: }" not in latex


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles_and_fits(tmp_path):
    write_leak(Leak(tmp_path, noise).build(groups()), tmp_path)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "leak.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout


def test_it_is_no_table_of_the_paper():
    assert table("leak") is SPEC and "leak" not in TABLES
    assert [protocol.name for protocol in SPEC.protocols(())] == ["sound+appearance-ids", "sound", "sound+random-ids"]
    with pytest.raises(UserError, match="did you mean 'leak'"):
        table("leaks")
