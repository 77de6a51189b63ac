"""POD against the best baselines with tests over users, and every model's figure with its interval.

Scores are a user's means over the seeds that are there (explanations: a pair's), so that tests are of the models as
trained here. The best baseline is the one with the highest figure on these very users: of many, the best is a little
lucky, so that a POD found above it is above, while one found a little below may not be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bench.errors import UserError
from bench.metrics.significance import (
    TEST_NAMES,
    Effect,
    Test,
    bca_interval,
    bootstrap_p,
    effect,
    holm,
    paired_test,
    percentile_interval,
    resampled_sums,
)
from bench.metrics.text import MAX_ORDER, bleu_of_sums
from bench.protocols import Protocol
from bench.ragged import FloatArray
from bench.report.build import rows_of
from bench.report.published import OURS
from bench.report.seeds import differences_by_seed, of_one_sign
from bench.report.specs import TableSpec
from bench.runs.plan import Plan
from bench.runs.record import Record

Among = Literal["paper", "all"]
LEVELS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
_BOOTSTRAP = "paired bootstrap"
_BLEU = "BLEU-4"
_SEED = 4
_SAME = 1e-9


@dataclass(frozen=True)
class Measured:
    """A figure of a model in a table: mean over seeds, its 95 % interval over n users (explanations: pairs), and the
    figure of each seed.
    """

    protocol: str
    model: str
    metric: str
    value: float
    low: float
    high: float
    n: int
    per_seed: tuple[float, ...]


@dataclass(frozen=True)
class Comparison:
    """A model of ours against a baseline on the same users.

    among:      of whose rows the baseline is the best: the paper's, or all of the table but probes and our own.
    difference: ours minus the baseline's figure, with its 95 % interval low to high.
    p, p_holm:  two-sided, as tested and corrected over the table. test: in words.
    effect:     None for BLEU, which no user has by himself.
    seeds, baseline_seeds: runs behind either side.
    by_seed:    the difference of each seed, see `differences_by_seed`.
    """

    protocol: str
    metric: str
    model: str
    among: Among
    baseline: str
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    effect: Effect | None
    n: int
    seeds: int
    baseline_seeds: int
    test: str
    by_seed: tuple[float, ...] = ()

    @property
    def seeds_agree(self) -> bool:
        """Whether no seed says the opposite of another."""
        return of_one_sign(self.by_seed)


@dataclass(frozen=True)
class Standing:
    """What stands of a table: every figure that has runs, in row order, and the comparisons of ours."""

    table: str
    figures: tuple[Measured, ...] = ()
    comparisons: tuple[Comparison, ...] = ()


@dataclass(frozen=True, eq=False)
class _Scores:
    """The runs of a model.

    rows: whom scores are of, and last how sentences were cut. keys: of the records.
    seeds: of them. runs: one a seed, metric -> (n, 1) scores of users, or (n, 10) counts of which BLEU is a function.
    """

    rows: tuple[Any, ...]
    keys: tuple[str, ...]
    seeds: tuple[int, ...]
    runs: list[dict[str, FloatArray]]

    def columns(self, metric: str) -> FloatArray:
        """(n, c) what is summed up over users: the mean score of seeds, or every seed's counts."""
        parts = [run[metric] for run in self.runs]
        return np.concatenate(parts, axis=1) if metric == _BLEU else np.mean(parts, axis=0)

    def by_seed(self, metric: str) -> dict[int, float]:
        """seed -> its figure."""
        sums = [float(_of_sums(metric, run[metric].sum(axis=0), len(run[metric]))) for run in self.runs]
        return dict(zip(self.seeds, sums, strict=True))


@dataclass(frozen=True, eq=False)
class _Figure:
    """A figure and that of each resample. users: (n,) the scores that it is the mean of; None: BLEU, no mean."""

    value: float
    found: FloatArray
    users: FloatArray | None

    def minus(self, other: _Figure) -> _Figure:
        users = None
        if self.users is not None and other.users is not None:
            users = self.users - other.users
            # Means of the same scores over seeds in another order: no difference.
            users[np.abs(users) < _SAME] = 0.0
        return _Figure(self.value - other.value, self.found - other.found, users)

    @property
    def interval(self) -> tuple[float, float]:
        """Corrected for bias and skew but for BLEU, which a pair with its only match of four words would govern."""
        if self.users is None:
            return percentile_interval(self.found)
        without = (self.users.sum() - self.users) / max(1, len(self.users) - 1)
        return bca_interval(self.found, self.value, without)


_Key = tuple[tuple[str, ...], str]
_Figures = Mapping[tuple[str, str], _Figure]


def compare(spec: TableSpec, plan: Plan, test: Test = "sign-flip") -> Standing:
    """The intervals of a table's figures under every protocol of the plan, and how POD and its variants stand.

    test: of means over users; BLEU, a figure of the corpus, is tested by a paired bootstrap.
    Holm's correction runs over all comparisons of the table, an equal baseline counting once. A baseline whose
    sentences were cut otherwise than a model's is none of its baselines.
    Raises UserError where per-user scores are missing or of other users than the split's.
    """
    figures: list[Measured] = []
    comparisons: list[Comparison] = []
    scores = _gather(spec, plan)
    found = _figures(scores, spec)
    for protocol, models in scores.items():
        here = {
            (name, metric): found[each.keys, spec.figure(metric, protocol)]
            for name, each in models.items()
            for metric in spec.metrics
        }
        figures += [_measured(protocol, *key, figure, models) for key, figure in here.items()]
        comparisons += _compared(spec, plan, protocol, models, here, test)
    return Standing(spec.number, tuple(figures), _corrected(comparisons))


def is_ours(model: str) -> bool:
    """Whether a model is POD or a variant of it, and so no baseline."""
    return model == OURS or model.startswith(f"{OURS}-")


def _gather(spec: TableSpec, plan: Plan) -> dict[Protocol, dict[str, _Scores]]:
    """protocol -> model -> its runs, in row order; models without any are left out. All are of the same users."""
    found: dict[Protocol, dict[str, _Scores]] = {}
    known: tuple[Any, ...] | None = None
    for protocol in plan.protocols:
        found[protocol] = {}
        for name, _ in rows_of(spec, plan):
            records = [entry.record for entry in plan.of(name, protocol) if entry.record]
            runs = [(record, *run) for record in records if (run := _run(record, spec, plan, protocol))]
            # Seeds whose sentences were cut in another way have no mean with the first.
            runs = [each for each in runs if each[1][-1] == runs[0][1][-1]]
            for record, rows, _ in runs:
                known = known or rows
                if not all(map(np.array_equal, rows[:-1], known[:-1])):
                    raise _other_users(record.path)
            if runs:
                keys = tuple(record.key for record, *_ in runs)
                seeds = tuple(record.seed for record, *_ in runs)
                found[protocol][name] = _Scores(runs[0][1], keys, seeds, [columns for *_, columns in runs])
    return found


def _run(
    record: Record, spec: TableSpec, plan: Plan, protocol: Protocol
) -> tuple[tuple[Any, ...], dict[str, FloatArray]] | None:
    """The rows and columns of a run as in `_Scores`; None of sentences without a verdict."""
    if spec.task != "explanation":
        scores = record.per_user(str(spec.task))
        if len(scores["user"]) != plan.card.evaluated:
            raise _other_users(record.path)
        return (scores["user"], ""), {metric: scores[metric].astype(np.float64)[:, None] for metric in spec.metrics}
    if record.judged is None:
        return None
    pairs, counts = record.judged.per_pair, record.judged.counts.columns(protocol.text_metrics)
    columns = {m: counts if m == _BLEU else pairs[spec.figure(m, protocol)][:, None] for m in spec.metrics}
    return (pairs["user"], pairs["item"], record.judged.cut), columns


def _other_users(path: Path) -> UserError:
    return UserError("these scores are of other users than the split's", str(path), "rerun with --force")


def _figures(scores: Mapping[Protocol, Mapping[str, _Scores]], spec: TableSpec) -> dict[_Key, _Figure]:
    """(keys of records, metric of a family) -> its figure: runs that serve several protocols are gone through once.

    All share the resamples of users, so that differences are paired.
    """
    columns: dict[_Key, FloatArray] = {}
    metric_of: dict[str, str] = {}
    for protocol, models in scores.items():
        for metric in spec.metrics:
            name = spec.figure(metric, protocol)
            metric_of[name] = metric
            for each in models.values():
                if (each.keys, name) not in columns:
                    columns[each.keys, name] = each.columns(metric)
    if not columns:
        return {}
    together = resampled_sums(np.concatenate(list(columns.values()), axis=1), np.random.default_rng(_SEED))
    found, at = {}, 0
    for key, each in columns.items():
        n, width = each.shape
        sums, drawn, at = each.sum(axis=0), together[:, at : at + width], at + width
        metric = metric_of[key[1]]
        users = None if metric == _BLEU else each[:, 0]
        found[key] = _Figure(float(_of_sums(metric, sums, n)), _of_sums(metric, drawn, n), users)
    return found


def _of_sums(metric: str, sums: FloatArray, n: int) -> FloatArray:
    """(…,) a figure from (…, c) sums over n users: their mean, or the mean of the seeds' BLEU."""
    if metric != _BLEU:
        return sums[..., 0] / n
    width = 2 * MAX_ORDER + 2
    return bleu_of_sums(sums.reshape(*sums.shape[:-1], sums.shape[-1] // width, width)).mean(axis=-1)


def _measured(protocol: Protocol, model: str, metric: str, figure: _Figure, scores: Mapping[str, _Scores]) -> Measured:
    each = tuple(scores[model].by_seed(metric).values())
    n = len(scores[model].runs[0][metric])
    return Measured(protocol.name, model, metric, figure.value, *figure.interval, n, each)


def _compared(
    spec: TableSpec, plan: Plan, protocol: Protocol, scores: Mapping[str, _Scores], found: _Figures, test: Test
) -> Iterator[Comparison]:
    """Every comparison under a protocol, not corrected yet."""
    probes = {entry.info.name for entry in plan.entries if entry.info.family == "probe"}
    baselines = [name for name in scores if not is_ours(name) and name not in probes]
    wanted = []
    for metric in spec.metrics:
        for model in filter(is_ours, scores):
            alike = [name for name in baselines if scores[name].rows[-1] == scores[model].rows[-1]]
            groups: dict[Among, list[str]] = {"paper": [n for n in alike if n in spec.paper], "all": alike}
            for among, names in groups.items():
                if names:
                    best = max(names, key=lambda name: found[name, metric].value)
                    wanted.append((metric, model, among, best, found[model, metric].minus(found[best, metric])))
    for (metric, model, among, best, over), p in zip(wanted, _tested([each[-1] for each in wanted], test), strict=True):
        yield Comparison(
            protocol.name,
            metric,
            model,
            among,
            best,
            over.value,
            *over.interval,
            p=p,
            p_holm=p,
            effect=None if over.users is None else effect(over.users),
            n=len(scores[model].rows[0]),
            seeds=len(scores[model].runs),
            baseline_seeds=len(scores[best].runs),
            test=_BOOTSTRAP if over.users is None else TEST_NAMES[test],
            by_seed=differences_by_seed(scores[model].by_seed(metric), scores[best].by_seed(metric)),
        )


def _tested(differences: list[_Figure], test: Test) -> list[float]:
    """The p value of each difference; those of users are tested together."""
    of_users = [each.users for each in differences if each.users is not None]
    together = paired_test(np.stack(of_users, axis=1), test, np.random.default_rng(_SEED)) if of_users else np.empty(0)
    p = iter(together.tolist())
    return [bootstrap_p(each.found) if each.users is None else next(p) for each in differences]


def _corrected(comparisons: list[Comparison]) -> tuple[Comparison, ...]:
    """The comparisons with Holm's p values; one that stands there twice, as best of the paper's and of all, is one."""
    p = {(c.protocol, c.metric, c.model, c.baseline): c.p for c in comparisons}
    corrected = dict(zip(p, holm(np.array(list(p.values()), dtype=np.float64)).tolist(), strict=True))
    return tuple(replace(c, p_holm=corrected[c.protocol, c.metric, c.model, c.baseline]) for c in comparisons)


def stars(standing: Standing, protocol: str, model: str, metric: str, among: Among = "all") -> str:
    """The stars of a cell: how surely a model of ours is above the best baseline; "" where it is not, or not with
    every seed.
    """
    for c in standing.comparisons:
        if (
            (c.protocol, c.model, c.metric, c.among) == (protocol, model, metric, among)
            and c.difference > 0
            and c.seeds_agree
        ):
            return next((mark for level, mark in LEVELS if c.p_holm < level), "")
    return ""


def star_note(standing: Standing, among: Among = "all") -> list[str]:
    """The sentence that must stand under a table with `stars`; none where nothing was compared."""
    told = dict.fromkeys(c.test for c in standing.comparisons)
    if not told:
        return []
    tests = len({(c.protocol, c.metric, c.model, c.baseline) for c in standing.comparisons})
    levels = ", ".join(f"{mark} p < {level:g}" for level, mark in reversed(LEVELS))
    rows = "all rows" if among == "all" else "the paper's rows"
    whom = "pairs" if any(c.effect is None for c in standing.comparisons) else "users"
    tested = " (BLEU: ".join(sorted(told, key=lambda name: name == _BOOTSTRAP)) + (")" if len(told) > 1 else "")
    return [
        f"Stars: POD, or a variant of it, above the best baseline of {rows}, {tested} on scores of {whom} averaged "
        f"over seeds, two-sided, Holm-corrected over {tests} comparisons of this table: {levels}"
        f"{'; none where seeds disagree on the sign' if any(len(c.by_seed) > 1 for c in standing.comparisons) else ''}."
    ]
