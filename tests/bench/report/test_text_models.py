"""What tables say of language models: notes, marks and the shares of the free search."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest
from made_up import Bench, LlmSettings, card, info, tied

from bench.protocols import PROTOCOLS
from bench.report.build import build_table
from bench.report.files import table_rows, write_free_search, write_metrics
from bench.report.latex import latex_table
from bench.report.notes import protocol_in_words
from bench.report.shown import brief
from bench.report.specs import TABLES
from bench.report.text import text_table
from bench.report.text_models import FREE_SEARCH_COLUMNS
from bench.runs.plan import make_plan

TOUCHED = ("item_numbering", "keep_history", "constrained")
PUBLISHED = (PROTOCOLS["published"],)
SCRATCH = tied("scratch:mini", item_tokens="sentencepiece", tasks=("explanation", "sequential", "topn"))


def text_model(name, title, settings):
    return info(name, title, "llm", settings, protocol_settings=TOUCHED)


def facts(vectors=3, strategy="packed", **more):
    noted = {
        "backbone": "scratch:mini",
        "backbone_note": "T5 from scratch, 2+2 layers, width 64, 4 heads of 16, 99 pieces",
        "parameters": 1234567,
        "tokenizer": "T5's",
        "strategy": strategy,
        "prompt_vectors": vectors,
    }
    return {**noted, **more}


def free(users=1000.0, **shares):
    return {"sequential": {"users": users, **shares}}


@pytest.fixture
def bench():
    models = [text_model("pod", "POD", SCRATCH), info("sasrec", "SASRec")]
    noted = {
        ("pod", "published"): facts(
            10, "task-alternated", free_search=free(22360.0, invalid=0.031, duplicate=0.002, history=0.12)
        ),
        ("pod", "sound"): facts(free_search=free(invalid=0.5, duplicate=0.0, history=0.25)),
    }
    return Bench(models, {"pod": 0.02, "sasrec": 0.05}, facts=noted)


def note(built, start):
    found = [text for text in built.notes if text.startswith(start)]
    assert len(found) == 1, built.notes
    return found[0]


def footnotes(built, title, panel=0):
    row = next(row for row in built.panels[panel].rows if row.title == title)
    return [built.footnotes[number - 1] for number in row.notes]


def test_what_a_model_is_and_how_each_protocol_trained_it(bench):
    built = build_table(TABLES["2"], bench.plan)
    assert note(built, "POD:") == (
        "POD: T5 from scratch, 2+2 layers, width 64, 4 heads of 16, 99 pieces (scratch:mini), "
        "not the paper's pretrained T5-small; items written in pieces, as in the paper; "
        "no explanations, as this data set has no sentences; trained on sequential and top-N alone; "
        "1,234,567 parameters; published: K = 10, training task-alternated; sound: K = 3, training packed."
    )


def test_shares_of_the_free_search(bench):
    built = build_table(TABLES["2"], bench.plan)
    assert note(built, "Of the first ten") == (
        "Of the first ten items that the free search of POD wrote: 3.1 % name no item, 0.2 % stand further up already, "
        "12.0 % are of the history (published, over 22,360 users); "
        "50.0 % name no item, 0.0 % stand further up already, 25.0 % are of the history (sound, over 1,000 users). "
        "Under sound it was asked for this alone: the lists judged come from a search held to real items."
    )
    other = build_table(TABLES["3"], bench.plan)
    assert not any(text.startswith("Of the first") for text in other.notes), "nothing was noted of top-N"


def test_a_scratch_backbone_is_marked_on_its_row_and_on_the_improvement(bench):
    built = build_table(TABLES["2"], bench.plan)
    mark = "on scratch:mini, T5 trained from random weights, not the paper's pretrained T5-small"
    assert footnotes(built, "POD") == footnotes(built, "POD", 1) == [mark]
    assert footnotes(built, "Improvement (%)")[0] == mark and footnotes(built, "SASRec") == []
    notes = {row["model"]: row["note"] for row in table_rows(built)}
    assert notes["pod"] == mark and mark in notes[""] and notes["sasrec"] == ""
    assert f" {mark}" in text_table(built).replace("\n", " ") and "POD (" in text_table(built)
    assert "POD\\textsuperscript{" in latex_table(built)


def test_a_pretrained_backbone_and_other_tokens_and_tokenizers():
    models = [
        text_model("pod", "POD", tied("t5-small", item_tokens="independent")),
        text_model("p5", "P5", tied("scratch:mini")),
    ]
    noted = {
        ("pod", "published"): facts(
            backbone_note="t5-small (abc), pretrained", tokenizer="only the 99 pieces that occur"
        ),
        ("p5", "published"): facts(0, tokenizer="a tokenizer of 9 pieces, not T5's own; only the 4 pieces that occur"),
    }
    built = build_table(TABLES["2"], Bench(models, {"pod": 0.1, "p5": 0.1}, protocols=PUBLISHED, facts=noted).plan)
    assert footnotes(built, "POD") == [] and footnotes(built, "P5") != []
    assert note(built, "POD:").startswith(
        "POD: t5-small (abc), pretrained; one added token an item; T5's tokenizer, only the 99 pieces that occur; K = 3"
    )
    assert "; with a tokenizer of 9 pieces, not T5's own, only the 4 pieces that occur; K = 0;" in note(built, "P5:")


@pytest.mark.parametrize(
    "noted", [None, {}, {"free_search": 3}, {"free_search": {"sequential": [1]}}, {"strategy": None}]
)
def test_records_that_say_little_stay_readable(noted, tmp_path):
    models = [text_model("pod", "POD", LlmSettings), text_model("p5", "P5", tied("scratch:mini"))]
    said = {(name, "published"): noted for name in ("pod", "p5")}
    bench = Bench(models, {"pod": 0.1, "p5": 0.2}, facts=said)
    built = build_table(TABLES["2"], bench.plan)
    text = " ".join(built.notes)
    if noted:
        assert "POD: t5-small" in text and "P5: scratch:mini (scratch:mini), not the paper's" in text
    else:
        assert "Backbone: POD on t5-small, P5 on scratch:mini." in text
    assert footnotes(built, "P5")[0].startswith("on scratch:mini")
    written = write_free_search(bench.records, bench.registry, bench.card, tmp_path / "free_search.csv")
    assert all("0." not in path.read_text() for path in written)


def test_several_seeds_are_averaged():
    models = [info("pod", "POD", "llm", SCRATCH)]
    bench = Bench(models, {"pod": {0: 0.1, 1: 0.2}}, seeds=(0, 1), protocols=(PROTOCOLS["sound"],))
    for share, entry in zip((0.2, 0.4), bench.plan.entries, strict=True):
        entry.record.content["facts"] = facts(free_search=free(invalid=share))
    text = note(build_table(TABLES["2"], bench.plan), "Of the first ten")
    assert "30.0 % name no item (sound, over 1,000 users)." in text


def test_what_seeds_count_differently_is_told_as_a_range():
    bench = Bench([text_model("pod", "POD", SCRATCH)], {"pod": {0: 0.1, 1: 0.2, 2: 0.3}}, seeds=(0, 1, 2))
    counted = {0: (1_355, 1_287_808), 1: (339, 286_784), 2: (366, 288_512)}
    for entry in bench.plan.entries:
        pieces, parameters = counted[entry.seed] if entry.protocol.name == "sound" else (7.5, 99)
        vectors = 3 if entry.protocol.name == "sound" else 10
        entry.record.content["facts"] = facts(vectors, backbone_note=f"T5, {pieces:,} pieces", parameters=parameters)
    text = note(build_table(TABLES["2"], bench.plan), "POD:")
    assert text.endswith(
        "published: T5, 7.5 pieces (scratch:mini), not the paper's pretrained T5-small, K = 10, 99 parameters; "
        "sound: T5, 339 to 1,355 pieces (scratch:mini), not the paper's pretrained T5-small, K = 3, "
        "286,784 to 1,287,808 parameters."
    )


def test_runs_of_other_settings_are_not_told_as_a_range():
    bench = Bench([text_model("pod", "POD", SCRATCH)], {"pod": {0: 0.1, 1: 0.2}}, seeds=(0, 1))
    for entry in bench.plan.entries:
        entry.record.content["facts"] = facts(3 + entry.seed)
        entry.record.content["identity"]["settings"] = {"backbone": "scratch:mini", "beams": entry.seed}
    text = note(build_table(TABLES["2"], bench.plan), "POD:")
    assert "published, sound: K = 3; published, sound: K = 4." in text


def test_the_csv(bench, tmp_path):
    path = tmp_path / "free_search.csv"
    assert write_free_search(bench.records, bench.registry, bench.card, path) == [path]
    rows = list(csv.DictReader(path.open(newline="")))
    assert tuple(rows[0]) == FREE_SEARCH_COLUMNS
    found = {row["protocol"]: row for row in rows}
    expected = {"dataset": "beauty", "preset": "laptop", "model": "pod", "seed": "0", "task": "sequential"}
    expected |= {"users": "22360", "invalid": "0.031", "duplicate": "0.002", "history": "0.12", "no_candidate": ""}
    assert expected.items() <= found["published"].items() and found["sound"]["invalid"] == "0.5" and len(rows) == 2
    outdated = replace(card(), fingerprint="other")
    write_free_search(bench.records, bench.registry, outdated, path)
    assert path.read_text().count("\n") == 1, "records of other data are left out"
    assert write_free_search([], bench.registry, bench.card, tmp_path / "none.csv") == []
    assert not (tmp_path / "none.csv").exists()


def test_hostile_notes_are_inert(tmp_path):
    hostile = "=1+1 \\input{x} \u202e\x00"
    models = [text_model("pod", "POD", tied("scratch:" + hostile))]
    shares = {hostile: {"users": 1.0, "invalid": 0.5}, "sequential": {"invalid": "no number", "users": 1}}
    noted = facts(backbone_note=hostile, tokenizer=hostile, strategy=hostile, free_search=shares)
    bench = Bench(models, {"pod": 0.1}, facts={("pod", "published"): noted})
    built = build_table(TABLES["2"], bench.plan)
    assert r"\input" not in latex_table(built) and latex_table(built).isascii()
    assert not {"\u202e", "\x00"} & set(text_table(built))
    write_free_search(bench.records, bench.registry, bench.card, tmp_path / "f.csv")
    text = (tmp_path / "f.csv").read_text()
    assert ",'=1+1" in text and not {"\u202e", "\x00"} & set(text)


def test_protocols_differ_in_words_in_every_setting_that_differs():
    """Changing any one setting changes the phrase: none is left untold."""
    published, sound = PROTOCOLS["published"], PROTOCOLS["sound"]
    phrase = protocol_in_words(sound, text_models=True)
    for name in sound.subset(tuple(vars(sound))):
        changed = replace(sound, **{name: getattr(published, name)})
        assert (protocol_in_words(changed, text_models=True) == phrase) is (name == "name"), name
    assert "K = 10" in protocol_in_words(published, text_models=True)
    assert protocol_in_words(
        sound
    ) == "items numbered by first appearance in training; no list holds history items; " + ("an item counts once")


def test_text_models_are_told_of_only_where_there_are_some(bench):
    with_text = note(build_table(TABLES["2"], bench.plan), "Protocol sound")
    assert "text models: K = 3, held-out pairs kept out" in with_text
    without = Bench([info("sasrec", "SASRec")], {"sasrec": 0.1})
    assert "text models" not in " ".join(build_table(TABLES["2"], without.plan).notes)


def test_long_settings_are_told_briefly(tmp_path):
    """A templates file is a setting by its content: tables name its digest."""
    content = "[sequential]\n" * 50
    assert brief("short") == "short" and brief(content.strip()).startswith("(649 characters, SHA-256 ")
    models = [info("pod", "POD", "llm", tied("t5-small", templates="")), info("p5", "P5", "llm", LlmSettings)]
    digest = brief(content.strip())
    overrides = {"pod": {"templates": content}, "elsewhere": {"templates": content}}
    bench = Bench(models, {"pod": 0.1}, overrides=overrides)
    text = note(build_table(TABLES["2"], bench.plan), "Settings changed")
    assert text == f"Settings changed from the preset's: pod.templates={digest}.", "not of models elsewhere"
    write_metrics(bench.records, bench.registry, bench.card, tmp_path / "metrics.csv")
    assert f'"templates={digest}"' in (tmp_path / "metrics.csv").read_text()


def test_rows_of_independent_tokens_are_added_ones():
    for number in ("2", "3"):
        assert set(TABLES[number].added) >= {"pod-independent", "p5-independent"}
        assert not set(TABLES[number].paper) & {"pod-independent", "p5-independent"}
    plan = make_plan(card(), "laptop", [], Bench([], {}).registry, [PROTOCOLS["sound"]], [0])
    kinds = {row.model: row.kind for row in build_table(TABLES["2"], plan).panels[0].rows}
    assert kinds["pod"] == "paper" and kinds["pod-independent"] == kinds["p5-independent"] == "added"
