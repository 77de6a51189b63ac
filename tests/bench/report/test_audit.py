"""The audit: its figures against numpy and scipy, its sentences by hand, and what it does with holes."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_up import card, flat, info, record, tied
from scipy import stats

from bench.errors import UserError
from bench.metrics.significance import holm, mean_intervals, sign_flip
from bench.models import Registry
from bench.protocols import PROTOCOLS, sound_but
from bench.report.audit import build_audit
from bench.report.audit_files import AUDIT_COLUMNS, audit_rows, write_audit
from bench.report.specs import EXTRA_TABLES, TABLES, TableSpec, table
from bench.report.text import text_table
from bench.runs.audited import Practice, Question, audit_plan
from bench.runs.plan import NOT_RUN, attach

N = 300
SOUND = PROTOCOLS["sound"]
BOTH_RANKINGS = (("sequential", "HR@10"), ("topn", "NDCG@10"))
KNOWN = (
    info("pod", "POD", "llm", tied("scratch:mini", prompts=3), protocol_settings=("count_padding", "item_numbering")),
    *(info(name, name.title(), "rule", deterministic=True) for name in ("a", "b", "c", "d")),
)
PADDING = Question(
    "padding",
    "Padding",
    ("pod",),
    BOTH_RANKINGS,
    (Practice("ignored", SOUND), Practice("counted", sound_but("counted-padding"))),
    "Told beforehand.",
)
SAMPLED = Question(
    "sampled",
    "Sampled",
    ("a", "b", "c", "d"),
    (("sequential", "HR@10"),),
    (Practice("all", SOUND, task="sequential"), Practice("few", SOUND, task="topn")),
)


class Audit:
    """A plan with a record for each run that `scores` gives (sequential, top-N) per-user scores for."""

    def __init__(self, folder, questions, scores, seeds=(0,), has_explanations=False):
        self.spec = TableSpec("audit", "Audit", questions=questions)
        self.card = replace(card(), evaluated=N, explanations_fingerprint="records" if has_explanations else "")
        registry = Registry({model.name: model for model in KNOWN}, {})
        self.plan = audit_plan(self.card, "laptop", questions, registry, list(seeds))
        records = []
        for entry in self.plan.entries:
            values = scores(entry.info.name, entry.protocol.name, entry.seed)
            if values is not None:
                found = replace(record(entry.job, flat(0.1)), path=folder / entry.job.folder)
                write_scores(found.path, values)
                records.append(found)
        attach(self.plan, records)

    def build(self):
        return build_audit(self.spec, self.plan)


def write_scores(folder, values):
    folder.mkdir(exist_ok=True)
    parts = []
    for task, column in zip(("sequential", "topn"), values, strict=True):
        scores = {name: pa.array(column, pa.float64()) for name in ("HR@10", "NDCG@10")}
        parts.append(pa.table({"task": [task] * N, "user": pa.array(np.arange(N, dtype=np.int32)), **scores}))
    pq.write_table(pa.concat_tables(parts), folder / "per_user.parquet")


def coin(model, protocol, seed, chance=0.2):
    rng = np.random.default_rng([sum(map(ord, model + protocol)), seed])
    return tuple((rng.random(N) < chance).astype(np.float64) for _ in range(2))


def test_figures_and_differences_are_those_of_numpy_and_scipy(tmp_path):
    audit = Audit(tmp_path, (PADDING,), coin, seeds=(0, 1))
    _, answers = audit.build()
    runs = {
        name: np.mean([coin("pod", name, seed) for seed in (0, 1)], axis=0)
        for name in ("sound", "sound+counted-padding")
    }
    differences = np.stack([runs["sound+counted-padding"][at] - runs["sound"][at] for at in (0, 1)], axis=1)
    p = sign_flip(differences, np.random.default_rng(6))
    compared = [answer for answer in answers if answer.against]
    assert [answer.task for answer in compared] == ["sequential", "topn"]
    assert [answer.against.p for answer in compared] == pytest.approx(p.tolist())
    assert [answer.against.p_holm for answer in compared] == pytest.approx(holm(p).tolist())
    for at, answer in enumerate(compared):
        over = answer.against
        assert over.difference == pytest.approx(differences[:, at].mean())
        assert answer.value == pytest.approx(runs["sound+counted-padding"][at].mean())
        assert answer.seeds == 2
        drawn = stats.bootstrap((differences[:, at],), np.mean, n_resamples=5000, rng=np.random.default_rng(1))
        expected = drawn.confidence_interval
        assert (over.low, over.high) == pytest.approx((expected.low, expected.high), abs=0.006)


def test_a_difference_is_over_the_seeds_that_both_sides_have(tmp_path):
    """Seed 1 of one side, which hits every user, must not pass for a difference of practices."""

    def scores(model, protocol, seed):
        if seed == 0:
            return coin(model, protocol, 0)
        return (np.ones(N), np.ones(N)) if protocol == "sound" else None

    audit = Audit(tmp_path, (PADDING,), scores, seeds=(0, 1))
    (shown,), answers = audit.build()
    ignored, counted = (answer for answer in answers if answer.task == "sequential")
    mine, theirs = coin("pod", "sound+counted-padding", 0)[0], coin("pod", "sound", 0)[0]
    assert (ignored.seeds, counted.seeds) == (2, 1)
    assert ignored.value == pytest.approx((theirs.mean() + 1) / 2)
    assert counted.against.difference == pytest.approx(mine.mean() - theirs.mean())
    assert "difference over seed 0 alone, which both practices have" in shown.footnotes
    said = f"{mine.mean():.4f} with counted, {theirs.mean():.4f} with ignored (over seed 0 alone): "
    assert any(f"{said}{mine.mean() - theirs.mean():+.4f} " in note for note in shown.notes)
    assert "over seed 0 alone" in list(audit_rows(answers, audit.plan))[1]["note"]


def test_sides_without_a_seed_in_common_have_no_difference(tmp_path):
    def scores(model, protocol, seed):
        return coin(model, protocol, seed) if (protocol == "sound") == (seed == 0) else None

    (shown,), answers = Audit(tmp_path, (PADDING,), scores, seeds=(0, 1)).build()
    assert all(answer.seeds == 1 and answer.against is None for answer in answers)
    assert "No two practices have runs yet." in shown.notes


def test_says_in_a_sentence_what_was_found(tmp_path):
    first, second = np.zeros(N), np.ones(N)
    second[: N // 2] = 0.0

    def scores(model, protocol, seed):
        return (first, first) if protocol == "sound" else (second, first)

    (shown,), answers = Audit(tmp_path, (PADDING,), scores).build()
    low, high = mean_intervals(second[:, None], np.random.default_rng(6))[0]
    p = next(a.against.p_holm for a in answers if a.against)
    sentence = (
        f"POD, sequential HR@10: 0.5000 with counted, 0.0000 with ignored: +0.5000 [{low:+.4f}, {high:+.4f}], "
        f"p = {p:.2g}, told apart from chance."
    )
    assert sentence in shown.notes
    ranked = next(note for note in shown.notes if note.startswith("POD, top-N NDCG@10: "))
    assert ranked.startswith("POD, top-N NDCG@10: 0.0000 with counted, 0.0000 with ignored: +0.0000"), "every task"
    assert "Told beforehand." in shown.notes
    assert shown.panels[0].rows[0].leads == ("ignored", "sequential HR@10")


def share(hits):
    """Scores of which so many users have 1."""
    return (np.arange(N) < hits).astype(np.float64)


@pytest.mark.parametrize(
    ("hits", "told"),
    [
        ((150, 90), ", told apart from chance (by seed +0.5000, +0.3000)."),
        ((150, 0), ", told apart from chance (by seed +0.5000, +0.0000)."),
        ((240, -30), ", apart by the test but of either sign over seeds (by seed +0.8000, -0.1000)."),
        ((15, -15), ", not told apart from chance (by seed +0.0500, -0.0500)."),
    ],
)
def test_a_difference_over_several_seeds_is_told_of_each(tmp_path, hits, told):
    """Chance of training is not chance of users: a seed more may turn a difference round."""

    def scores(model, protocol, seed):
        more = max(hits[seed], 0) if protocol != "sound" else max(-hits[seed], 0)
        return share(more), share(more)

    audit = Audit(tmp_path, (PADDING,), scores, seeds=(0, 1))
    (shown,), answers = audit.build()
    (sentence,) = (note for note in shown.notes if note.startswith("POD, sequential HR@10: "))
    assert sentence.endswith(told)
    row = list(audit_rows(answers, audit.plan))[1]
    least, most = (float(row[f"difference_{side}_seed"]) for side in ("least", "most"))
    assert (least, most) == pytest.approx((min(hits) / N, max(hits) / N))


def test_equal_runs_are_not_told_apart(tmp_path):
    same = coin("pod", "sound", 0)
    (shown,), answers = Audit(tmp_path, (PADDING,), lambda *_: same).build()
    assert all(answer.against.p_holm == 1.0 for answer in answers if answer.against)
    assert any(note.endswith("not told apart from chance.") for note in shown.notes)


def test_missing_runs_say_why_and_have_no_difference(tmp_path):
    audit = Audit(
        tmp_path, (PADDING,), lambda model, protocol, seed: coin(model, protocol, seed) if protocol == "sound" else None
    )
    (shown,), answers = audit.build()
    ignored, counted = (answer for answer in answers if answer.task == "topn")
    assert ignored.seeds == 1
    assert counted.scores is None
    assert counted.against is None
    assert NOT_RUN in shown.footnotes
    assert "No two practices have runs yet." in shown.notes
    rows = list(audit_rows(answers, audit.plan))
    assert (rows[1].get("value", ""), rows[1]["against"], NOT_RUN in rows[1]["note"]) == ("", "", True)
    assert "nan" not in text_table(shown)


def test_tells_whether_models_keep_their_order(tmp_path):
    shares = {"a": (0.4, 0.5), "b": (0.3, 0.9), "c": (0.2, 0.4), "d": (0.1, 0.2)}

    def scores(model, *_):
        return tuple((np.arange(N) < share * N).astype(np.float64) for share in shares[model])

    (shown,), _ = Audit(tmp_path, (SAMPLED,), scores).build()
    tau = stats.kendalltau(*zip(*shares.values(), strict=True)).statistic
    sentence = (
        f"By HR@10, all and few put 4 models in orders of Kendall's tau {tau:.2f}; "
        "B, best by few (0.9000), is number 2 by all (0.3000)."
    )
    assert sentence in shown.notes


def test_ways_of_making_models_are_told_model_by_model_however_many(tmp_path):
    many = replace(PADDING, models=("a", "b", "c", "d"), figures=BOTH_RANKINGS[:1])
    (shown,), _ = Audit(tmp_path, (many,), coin).build()
    told = [note.split(",")[0] for note in shown.notes if ", sequential HR@10: " in note]
    assert told == ["A", "B", "C", "D"] and not any("Kendall" in note for note in shown.notes)


def test_files_hold_every_answer(tmp_path):
    audit = Audit(tmp_path, (PADDING, SAMPLED), coin)
    tables, answers = audit.build()
    paths = write_audit(tables, answers, audit.plan, tmp_path / "out")
    assert [path.name for path in paths] == ["audit.csv", "audit-padding.tex", "audit-sampled.tex"]
    rows = list(csv.DictReader(io.StringIO(paths[0].read_text())))
    assert tuple(rows[0]) == AUDIT_COLUMNS
    assert len(rows) == len(answers) == 4 + 8
    assert [row["task"] for row in rows[4:6]] == ["sequential", "topn"]
    assert float(rows[1]["difference"]) == pytest.approx(answers[1].against.difference, rel=1e-5)
    assert rows[1]["difference_least_seed"] == "", "one seed has no spread"


def test_scores_of_other_users_are_refused(tmp_path):
    audit = Audit(tmp_path, (PADDING,), coin)
    audit.plan.card = replace(audit.card, evaluated=N + 1)
    with pytest.raises(UserError, match=r"per_user\.parquet: these scores are of other users"):
        audit.build()


def test_is_a_table_only_if_named():
    assert table("audit") is EXTRA_TABLES["audit"]
    assert "audit" not in TABLES
    assert table("audit").own
