"""Comparisons of POD with baselines: cells against pandas and scipy, who is compared with whom, and the files."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_up import BOTH, LlmSettings, card, flat, info, record
from scipy import stats

from bench.errors import UserError
from bench.metrics.text import METRICS, bleu, bleu_counts, bleu_interval
from bench.models import Registry
from bench.report.comparison_files import COMPARISON_COLUMNS, INTERVAL_COLUMNS, comparison_rows, write_comparisons
from bench.report.comparisons import Standing, compare, is_ours, star_note, stars
from bench.report.specs import TABLES
from bench.runs.plan import attach, make_plan

SPEC = TABLES["2"]
N = 300
SHARES = {"caser": 0.08, "sasrec": 0.20, "popularity": 0.34, "id-order": 0.60, "pod": 0.14, "pod-independent": 0.9}
TOUCHED = ("constrained",)


def models(names):
    kinds = {"popularity": ("rule", True), "id-order": ("probe", True)}
    made = []
    for name in names:
        family, deterministic = kinds.get(name, ("sequential", False))
        touched = TOUCHED if name.startswith("pod") else ()
        made.append(info(name, name.title(), family, deterministic=deterministic, protocol_settings=touched))
    return made


def noise(model, protocol, seed):
    """(N, 4) scores: hits about as rare as SHARES has them, less in two of the columns."""
    key = [sorted(SHARES).index(model), seed, ("published", "sound").index(protocol) if is_ours(model) else 0]
    rng = np.random.default_rng(key)
    hit = rng.random((N, 1)) < SHARES[model]
    return (hit * [1.0, 0.6, 1.0, 0.5] * (rng.random((N, 4)) < 0.9)).astype(np.float32)


class World:
    """A plan with a record and per-user scores for each run that `scores` gives (N, 4) numbers for."""

    def __init__(self, folder, names=tuple(SHARES), scores=noise, seeds=(0,), spec=SPEC):
        self.spec = spec
        registry = Registry({model.name: model for model in models(names)}, {})
        dataset = replace(card(), evaluated=N)
        self.plan = make_plan(dataset, "laptop", spec.models, registry, list(BOTH), list(seeds))
        records = {}
        for entry in self.plan.entries:
            values = scores(entry.info.name, entry.protocol.name, entry.seed)
            if values is not None and entry.job.key not in records:
                found = replace(record(entry.job, flat(0.1)), path=folder / entry.job.folder)
                write_scores(found.path, dict(zip(spec.metrics, np.asarray(values).T, strict=True)))
                records[entry.job.key] = found
        attach(self.plan, records.values())

    def compare(self, **more):
        return compare(self.spec, self.plan, **more)


def write_scores(folder, columns, users=None):
    folder.mkdir(exist_ok=True)
    users = np.arange(N, dtype=np.int32) + 7 if users is None else users
    values = {name: pa.array(column.astype(np.float32)) for name, column in columns.items()}
    table = pa.table({"task": ["sequential"] * len(users), "user": users, **values})
    pq.write_table(table, folder / "per_user.parquet")


def column(model, metric, protocol="sound", seeds=(0,)):
    at = SPEC.metrics.index(metric)
    return np.mean([noise(model, protocol, seed)[:, at].astype(float) for seed in seeds], axis=0)


def found(standing, metric="HR@5", protocol="sound", model="pod", among="paper"):
    wanted = (protocol, metric, model, among)
    (only,) = [c for c in standing.comparisons if (c.protocol, c.metric, c.model, c.among) == wanted]
    return only


def figure(standing, model, metric="HR@5", protocol="sound"):
    (only,) = [f for f in standing.figures if (f.protocol, f.model, f.metric) == (protocol, model, metric)]
    return only


def test_figures_against_pandas_and_scipy(tmp_path):
    standing = World(tmp_path, seeds=(0, 1)).compare()
    assert len(standing.figures) == 2 * len(SHARES) * 4
    for model in SHARES:
        seeds = (0,) if model in ("popularity", "id-order") else (0, 1)
        for metric in SPEC.metrics:
            here, values = figure(standing, model, metric), pd.Series(column(model, metric, seeds=seeds))
            assert here.value == pytest.approx(values.mean()) and here.n == N
            assert here.per_seed == pytest.approx([column(model, metric, seeds=(seed,)).mean() for seed in seeds])
            # A mean of 300 is near normal: the interval is the textbook's up to a fifth of its half.
            assert (here.low, here.high) == pytest.approx(
                (values.mean() - 1.96 * values.sem(), values.mean() + 1.96 * values.sem()), abs=0.4 * values.sem()
            )
    theirs = stats.bootstrap((column("caser", "HR@10", seeds=(0, 1)),), np.mean, rng=np.random.default_rng(1))
    here = figure(standing, "caser", "HR@10").low
    assert here == pytest.approx(theirs.confidence_interval.low, rel=0.06)


def test_runs_that_serve_both_protocols_have_one_interval(tmp_path):
    standing = World(tmp_path).compare()
    one, other = (figure(standing, "caser", protocol=name) for name in ("published", "sound"))
    assert replace(one, protocol="sound") == other
    assert figure(standing, "pod").value != figure(standing, "pod", protocol="published").value


def test_intervals_do_not_depend_on_who_else_is_there(tmp_path):
    (tmp_path / "all").mkdir(), (tmp_path / "few").mkdir()
    every = World(tmp_path / "all").compare()
    few = World(tmp_path / "few", ("sasrec", "pod")).compare()
    here, there = figure(every, "sasrec"), figure(few, "sasrec")
    assert (here.value, here.low, here.high) == pytest.approx((there.value, there.low, there.high))
    assert found(every).p == pytest.approx(found(few).p) and found(every).low == pytest.approx(found(few).low)


def test_the_best_of_the_papers_rows_and_of_all(tmp_path):
    standing = World(tmp_path).compare()
    assert found(standing).baseline == "sasrec" and found(standing, among="all").baseline == "popularity"
    compared = {c.baseline for c in standing.comparisons} | {c.model for c in standing.comparisons}
    assert "id-order" not in compared, "a probe competes with nobody"
    assert {c.model for c in standing.comparisons} == {"pod", "pod-independent"}
    assert not {c.baseline for c in standing.comparisons} & {"pod", "pod-independent"}, "variants are no baselines"
    assert len(standing.comparisons) == 2 * 4 * 2 * 2
    assert [is_ours(name) for name in ("pod", "pod-discrete", "podium", "p5")] == [True, True, False, False]


def test_a_comparison_against_scipy(tmp_path):
    standing = World(tmp_path, seeds=(0, 1, 2)).compare()
    here, seeds = found(standing, "HR@10"), (0, 1, 2)
    differences = column("pod", "HR@10", seeds=seeds) - column("sasrec", "HR@10", seeds=seeds)
    assert here.difference == pytest.approx(differences.mean())
    theirs = stats.bootstrap((differences,), np.mean, rng=np.random.default_rng(1)).confidence_interval
    assert (here.low, here.high) == pytest.approx((theirs.low, theirs.high), abs=0.1 * (theirs.high - theirs.low))
    tested = stats.permutation_test((differences,), np.mean, permutation_type="samples", rng=np.random.default_rng(1))
    assert here.p == pytest.approx(tested.pvalue, abs=0.02)
    assert here.effect.size == pytest.approx(differences.mean() / differences.std(ddof=1))
    assert here.effect.better == pytest.approx((differences > 1e-6).mean())
    assert here.effect.worse == pytest.approx((differences < -1e-6).mean())
    assert (here.n, here.seeds, here.baseline_seeds) == (N, 3, 3)
    assert found(standing, among="all").baseline_seeds == 1, "a model without randomness ran once"
    assert here.test == "sign-flip permutation test"


def test_every_seed_has_its_difference(tmp_path):
    world = World(tmp_path, seeds=(0, 1))
    standing = world.compare()
    for c in standing.comparisons:
        seeds = [(0,), (0,)] if c.baseline == "popularity" else [(0,), (1,)]
        theirs = [column(c.baseline, c.metric, c.protocol, seed).mean() for seed in seeds]
        ours = [column(c.model, c.metric, c.protocol, (seed,)).mean() for seed in (0, 1)]
        assert c.by_seed == pytest.approx(np.subtract(ours, theirs))
        assert np.mean(c.by_seed) == pytest.approx(c.difference)
    rows = list(comparison_rows([standing], world.plan))
    assert float(rows[0]["difference_least_seed"]) == pytest.approx(min(standing.comparisons[0].by_seed), rel=1e-5)


def test_wilcoxon_on_request(tmp_path):
    standing = World(tmp_path).compare(test="wilcoxon")
    here = found(standing, "NDCG@5")
    tested = stats.wilcoxon(column("pod", "NDCG@5") - column("sasrec", "NDCG@5"))
    assert here.p == pytest.approx(tested.pvalue) and here.test == "Wilcoxon signed-rank test"


def test_holm_runs_over_the_table_and_counts_a_test_once(tmp_path):
    standing = World(tmp_path, ("caser", "sasrec", "pod")).compare()
    assert len(standing.comparisons) == 16 and all(c.baseline == "sasrec" for c in standing.comparisons)
    # Best of the paper's and best of all are one test here, so eight in all.
    p = sorted(c.p for c in standing.comparisons if c.among == "paper")
    expected, largest = [], 0.0
    for at, value in enumerate(p):
        largest = max(largest, value * (8 - at))
        expected.append(min(1.0, largest))
    assert sorted(c.p_holm for c in standing.comparisons if c.among == "all") == pytest.approx(expected)


def test_scores_that_seeds_have_in_another_order_are_equal(tmp_path):
    values = np.random.default_rng(0).random((3, N, 4)).astype(np.float32)

    def scores(model, protocol, seed):
        del protocol
        return values[seed if model == "pod" else (seed + 1) % 3]

    here = found(World(tmp_path, ("sasrec", "pod"), scores, seeds=(0, 1, 2)).compare())
    assert (here.effect.better, here.effect.worse, here.p) == (0.0, 0.0, 1.0)


def test_stars_and_what_they_mean(tmp_path):
    standing = World(tmp_path).compare()
    cell = found(standing, model="pod-independent", among="all")
    assert cell.p_holm < 0.005 and stars(standing, "sound", "pod-independent", "HR@5") == "**"
    assert stars(standing, "sound", "pod", "HR@5") == "", "it lies below"
    assert stars(standing, "sound", "caser", "HR@5") == "", "baselines get none"
    sure = replace(standing, comparisons=(replace(cell, p_holm=0.0004), replace(cell, metric="HR@10", p_holm=0.05)))
    assert stars(sure, "sound", "pod-independent", "HR@5") == "***"
    assert stars(sure, "sound", "pod-independent", "HR@10") == "", "below .05, not at it"
    turned = replace(standing, comparisons=(replace(cell, by_seed=(cell.difference + 0.1, -0.1)),))
    assert stars(turned, "sound", "pod-independent", "HR@5") == "", "a seed says the opposite"
    assert star_note(turned)[0].endswith("; none where seeds disagree on the sign.")
    (note,) = star_note(standing)
    for words in (
        "best baseline of all rows, sign-flip permutation test on",
        "Holm-corrected over 32",
        "* p < 0.05, **",
    ):
        assert words in note
    assert "of the paper's rows" in star_note(standing, "paper")[0] and star_note(Standing("2")) == []


def test_without_pod_or_without_baselines_nothing_is_compared(tmp_path):
    for number, names in enumerate((("caser", "sasrec"), ("pod",), ("pod", "id-order"))):
        folder = tmp_path / str(number)
        folder.mkdir()
        standing = World(folder, names).compare()
        assert standing.comparisons == () and {f.model for f in standing.figures} == set(names)
    nothing = World(tmp_path, scores=lambda *run: None).compare()
    assert nothing == Standing("2")


def test_scores_of_other_users_are_refused(tmp_path):
    world = World(tmp_path)
    folder = next(tmp_path.glob("sasrec-*"))
    values = dict(zip(SPEC.metrics, noise("sasrec", "sound", 0).T, strict=True))
    write_scores(folder, values, np.arange(N, dtype=np.int32) + 8)
    with pytest.raises(UserError, match="other users"):
        world.compare()
    write_scores(folder, {name: v[:9] for name, v in values.items()}, np.arange(9, dtype=np.int32) + 7)
    with pytest.raises(UserError, match="other users"):
        world.compare()
    (folder / "per_user.parquet").unlink()
    with pytest.raises(UserError, match="per-user scores are missing"):
        world.compare()


def read(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_the_files(tmp_path):
    world, out = World(tmp_path), tmp_path / "out"
    standing = world.compare()
    paths = write_comparisons([standing, Standing("3")], world.plan, out, "-random-ids")
    assert [path.name for path in paths] == ["intervals-random-ids.csv", "comparisons-random-ids.csv"]
    intervals, rows = map(read, paths)
    assert tuple(intervals[0]) == INTERVAL_COLUMNS and len(intervals) == len(standing.figures)
    assert tuple(rows[0]) == COMPARISON_COLUMNS and len(rows) == len(standing.comparisons)
    first, here = rows[0], standing.comparisons[0]
    assert (first["dataset"], first["preset"], first["protocol"], first["table"]) == (
        "beauty", "laptop", "published", "2",
    )  # fmt: skip
    for name in ("difference", "low", "high", "p", "p_holm"):
        assert float(first[name]) == pytest.approx(getattr(here, name), rel=1e-5)
    assert float(first["effect"]) == pytest.approx(here.effect.size, rel=1e-5)
    assert (first["model"], first["baseline"], first["among"], first["n_users"]) == ("pod", "sasrec", "paper", "300")
    assert float(intervals[0]["value"]) == pytest.approx(standing.figures[0].value, rel=1e-5)


def test_files_are_there_only_where_there_is_something(tmp_path):
    world, out = World(tmp_path, ("caser",)), tmp_path / "out"
    assert [path.name for path in write_comparisons([world.compare()], world.plan, out)] == ["intervals.csv"]
    assert write_comparisons([], world.plan, tmp_path / "none") == [] and not (tmp_path / "none").exists()
    (out / "comparisons.csv").write_text("of runs that are gone")
    write_comparisons([world.compare()], world.plan, out)
    assert (out / "comparisons.csv").read_text() == ",".join(COMPARISON_COLUMNS) + "\n"


def test_effects_without_a_size_are_left_empty(tmp_path):
    world = World(tmp_path, ("caser", "pod"), lambda model, *run: np.full((N, 4), float(model == "pod")))
    standing = world.compare()
    row = next(comparison_rows([standing], world.plan))
    assert (row["effect"], row["share_better"], row["difference"], row["low"]) == ("", "1", "1", "1")
    assert stars(standing, "sound", "pod", "HR@5") == "***", "no spread, yet a clear difference"


# Explanations: sentences whose words are drawn, so that BLEU and ROUGE vary.

WORDS = ["the", "tone", "is", "warm", "and", "full", "of", "very", "good", "hard", "case"]
SAYING = TABLES["4"]


@dataclass
class Said:
    """What comparisons take of a verdict on sentences."""

    per_pair: dict
    counts: object
    cut: str = "20 words"


def said(name, seed, n=60, cut="20 words", first=0):
    rng, truth = np.random.default_rng([len(name), seed]), np.random.default_rng(0)
    wanted = [" ".join(truth.choice(WORDS, 8)) for _ in range(n)]
    keep = {"pod": 0.9, "peter": 0.8, "nrt": 0.6}[name]
    given = [" ".join(w if rng.random() < keep else "new" for w in text.split()) for text in wanted]
    pairs = {"user": np.arange(n) + first, "item": np.arange(n)}
    for family, scale in (("published", 90.0), ("standard", 100.0)):
        pairs |= {f"{metric} {family}": scale * rng.random(n) * keep for metric in METRICS[1:]}
    return Said(pairs, bleu_counts(wanted, given), cut)


def explained(tables, seeds=(0,)):
    names = ("nrt", "peter", "pod")
    infos = [replace(info(name, settings=LlmSettings), tasks=("explanation",)) for name in names]
    dataset = replace(card(), explanations_fingerprint="f")
    registry = Registry({each.name: each for each in infos}, {})
    plan = make_plan(dataset, "laptop", SAYING.models, registry, list(BOTH), list(seeds))
    for entry in plan.entries:
        key = (entry.info.name, entry.seed)
        stub = SimpleNamespace(key=f"{key}", path="nowhere", judged=tables[key], model=key[0], seed=key[1])
        entry.record = stub if key in tables else None
    return plan


@pytest.fixture(scope="module")
def tables():
    return {(name, seed): said(name, seed) for name in ("nrt", "peter", "pod") for seed in (0, 1)}


def test_explanations_are_compared_in_the_family_of_the_protocol(tables):
    standing = compare(SAYING, explained(tables, (0, 1)))
    for protocol, family in (("published", "published"), ("sound", "standard")):
        for name in ("nrt", "peter", "pod"):
            here = figure(standing, name, "BLEU-4", protocol)
            assert here.per_seed == pytest.approx([bleu(tables[name, seed].counts, family) for seed in (0, 1)])
            assert here.value == pytest.approx(np.mean(here.per_seed)) and here.low < here.value < here.high
            column = np.mean([tables[name, seed].per_pair[f"ROUGE-L {family}"] for seed in (0, 1)], axis=0)
            assert figure(standing, name, "ROUGE-L", protocol).value == pytest.approx(column.mean())
    assert (
        found(standing, "BLEU-4").effect is None
        and found(standing, "BLEU-4").test == "paired bootstrap"
        and found(standing, "ROUGE-1").effect is not None
    )
    (note,) = star_note(standing)
    assert "sign-flip permutation test (BLEU: paired bootstrap) on scores of pairs" in note


def test_intervals_of_one_run_are_those_beside_table_4(tables):
    standing = compare(SAYING, explained(tables))
    for name in ("nrt", "pod"):
        here = figure(standing, name, "BLEU-4")
        theirs = bleu_interval(tables[name, 0].counts, "standard", np.random.default_rng(1))
        assert (here.low, here.high) == pytest.approx(theirs, abs=0.08 * (here.high - here.low))


def test_bleu_is_resampled_in_pairs_seeds_together(tables):
    standing = compare(SAYING, explained(tables, (0, 1)))
    here, rng = found(standing, "BLEU-4"), np.random.default_rng(1)
    assert here.baseline == "peter"

    def drawn(rows):
        means = []
        for name in ("pod", "peter"):
            counts = (tables[name, seed].counts for seed in (0, 1))
            parts = ([getattr(c, part)[rows] for part in vars(c)] for c in counts)
            means.append(np.mean([bleu(type(tables[name, 0].counts)(*part), "standard") for part in parts]))
        return means[0] - means[1]

    assert here.difference == pytest.approx(drawn(np.arange(60)))
    differences = np.array([drawn(rng.integers(0, 60, 60)) for _ in range(600)])
    assert (here.low, here.high) == pytest.approx(
        tuple(np.quantile(differences, [0.025, 0.975])), abs=0.3 * differences.std(ddof=1)
    )
    assert here.p == pytest.approx(2 * min((differences <= 0).mean(), (differences >= 0).mean()), abs=0.02)


def test_sentences_cut_otherwise_are_no_baseline(tables):
    other = {**tables, ("peter", 0): said("peter", 0, cut="20 pieces")}
    standing = compare(SAYING, explained(other))
    assert {c.baseline for c in standing.comparisons} == {"nrt"} and figure(standing, "peter", "BLEU-4")
    mixed = compare(SAYING, explained({**tables, ("pod", 1): said("pod", 1, cut="20 pieces")}, (0, 1)))
    assert len(figure(mixed, "pod", "ROUGE-1").per_seed) == 1, "seeds cut in two ways have no mean"


def test_sentences_of_other_pairs_are_refused_and_unjudged_ones_left_out(tables):
    with pytest.raises(UserError, match="other users"):
        compare(SAYING, explained({**tables, ("peter", 0): said("peter", 0, first=1)}))
    standing = compare(SAYING, explained({**tables, ("pod", 0): None}))
    assert standing.comparisons == () and {f.model for f in standing.figures} == {"nrt", "peter"}
