"""What a researcher reads first: what was measured, which model is best, what the paper said, how to have it again.

Every sentence is made of the numbers below it; where there are none it says why.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from bench.metrics.significance import TEST_NAMES, paired_test
from bench.ragged import FloatArray
from bench.report.audit import TOLD_APART
from bench.report.comparisons import Comparison, Measured, Standing, is_ours
from bench.report.inference import NOT_TIMED, is_untimed
from bench.report.page.contents import SOUND, Contents, variant_in_words
from bench.report.page.figures import devices, total_time
from bench.report.page.markup import Child, Html, facts, listing, tag
from bench.report.published import OURS, paper_has, paper_value
from bench.report.seeds import differences_by_seed, of_one_sign, seeds_in_words
from bench.report.specs import TABLES, TableSpec
from bench.report.table import METRIC_DIGITS, PERCENT_DIGITS, fixed
from bench.runs.plan import Entry
from bench.settings import PRESETS

ALPHA = 0.05
_SEED = 5
_SAID = ("Best", "Its figure [95 %]", "Next", "Tests", "The paper")
_HEADLINES = ("NDCG@10", "BLEU-4")
_TASKS = {"sequential": "Sequential recommendation", "topn": "Top-N recommendation", "explanation": "Explanation"}


def summary(contents: Contents) -> Html:
    """The first section of the page."""
    best = [_standing(contents, standing) for standing in contents.standings]
    return tag(
        "section",
        tag("h2", "Summary"),
        facts(_what(contents)),
        tag("h3", f"Which model is best (protocol {contents.protocol})"),
        None if contents.protocol == SOUND else tag("p", "Protocol sound is not part of this report.", cls="missing"),
        [tag("div", tag("h4", task), facts(zip(_SAID, said, strict=True)), cls="task") for task, *said in best]
        or tag("p", "No table of a task is part of this report.", cls="missing"),
        tag("h3", "Against the paper"),
        _against(contents),
        _audit(contents),
        tag("h3", "What is missing"),
        _missing(contents),
        tag("h3", "Again"),
        tag("p", "The command that makes this page; runs that are there are used, the rest is run:"),
        tag("pre", tag("code", contents.command)),
        id="summary",
    )


def _audit(contents: Contents) -> list[Child]:
    """What the audit found; nothing where it is not part of the report."""
    if not contents.found:
        return []
    rows: list[tuple[str, Child]] = [
        (title, listing([tag("strong", each) if TOLD_APART in each else each for each in sentences]))
        for title, sentences in contents.found
    ]
    return [tag("h3", "What figures hang on"), facts(rows)]


def _what(contents: Contents) -> Iterator[tuple[str, Child]]:
    card, plan, records = contents.plan.card, contents.plan, contents.records
    sizes = f"{card.users:,} users, {card.items:,} items, {card.interactions:,} interactions"
    yield "Data set", f"{card.name} ({card.source}): {sizes}; {card.evaluated:,} users are evaluated"
    yield "Preset", f"{plan.preset}: {PRESETS.get(plan.preset, 'unknown to this version')}"
    yield "Protocols", ", ".join(protocol.name for protocol in plan.protocols)
    seeds = len(plan.seeds)
    few = "; one seed, so no spread over seeds" if seeds == 1 else ""
    yield "Seeds", f"{', '.join(map(str, plan.seeds))}{few}"
    models = len({record.model for record in records})
    yield "What ran", f"{len(records)} runs of {models} models" if records else "nothing yet"
    if records:
        yield "On", "; ".join(devices(records))
        yield "How long", f"{total_time(records)}, one run after another"


def _standing(contents: Contents, standing: Standing) -> list[Child]:
    """A task, then `_SAID` of it: the best model of its table under the page's protocol, and how sure that is."""
    spec = next(spec for spec in contents.specs if spec.number == standing.table)
    metric = next((name for name in _HEADLINES if name in spec.metrics), spec.metrics[-1])
    task = f"{_TASKS.get(str(spec.task), str(spec.task))}, {metric} (Table {spec.number})"
    ranked = ranking(contents, standing, metric)
    paper = _paper(contents, spec, metric)
    if not ranked:
        return [task, "nothing measured", "–", "–", "–", paper]
    first, others = ranked[0], ranked[1:]
    digits = digits_of(spec)
    span = f"{fixed(first.value, digits)} [{fixed(first.low, digits)}, {fixed(first.high, digits)}]"
    runner = f"{contents.title(others[0].model)} {fixed(others[0].value, digits)}" if others else "no other"
    columns = f"best in {{}} of {len(spec.metrics)} columns" if others else "no other model is here"
    leaders = [ranking(contents, standing, name)[:1] for name in spec.metrics]
    wins = sum(leader[0].model == first.model for leader in leaders if leader)
    ahead = f"{contents.title(first.model)} ({columns.format(wins)})"
    return [task, tag("strong", ahead), span, runner, tested(contents, spec, standing, metric, ranked), paper]


def digits_of(spec: TableSpec) -> int:
    """Decimals of a table's figures."""
    return PERCENT_DIGITS if spec.task == "explanation" else METRIC_DIGITS


def ranking(contents: Contents, standing: Standing, metric: str) -> list[Measured]:
    """The figures of a column under the page's protocol, best first; probes, which learn nothing, take no part."""
    probes = {entry.info.name for entry in contents.entries if entry.info.family == "probe"}
    here = [f for f in standing.figures if (f.protocol, f.metric) == (contents.protocol, metric)]
    return sorted((f for f in here if f.model not in probes), key=lambda figure: -figure.value)


def tested(contents: Contents, spec: TableSpec, standing: Standing, metric: str, ranked: list[Measured]) -> str:
    """What tests over users say of the best model against the next, and of POD; or why they say nothing."""
    best = ranked[0].model
    found = [c for c in standing.comparisons if (c.protocol, c.metric, c.among) == (contents.protocol, metric, "all")]
    wanted = best if is_ours(best) else OURS
    comparison = next((c for c in found if c.model == wanted), None)
    told = []
    if len(ranked) > 1 and (comparison is None or {comparison.model, comparison.baseline} != {best, ranked[1].model}):
        told.append(best_and_next(contents, spec, metric, best, ranked[1].model))
    if comparison is None:
        told.append(f"No test of {contents.title(wanted)}: it has no run beside one of a baseline here.")
    else:
        told.append(in_words(contents, comparison, digits_of(spec)))
    return " ".join(told)


def best_and_next(contents: Contents, spec: TableSpec, metric: str, best: str, after: str) -> str:
    """A sign-flip test of the best model against the next, on scores of users (pairs) averaged over seeds.

    It is one test, chosen after seeing who is best, so it is called uncorrected. BLEU, which no user has, has none.
    """
    names = f"{contents.title(best)} against {contents.title(after)}, the next"
    sides = [_scores(contents, spec, metric, model) for model in (best, after)]
    if not all(sides) or len({scores.shape for side in sides for scores in side.values()}) > 1:
        return f"{names}: not tested, as {metric} is no mean over users or their scores do not pair."
    means = [np.mean(list(side.values()), axis=0) for side in sides]
    p = float(paired_test((means[0] - means[1])[:, None], "sign-flip", np.random.default_rng(_SEED))[0])
    ours, theirs = ({seed: float(scores.mean()) for seed, scores in side.items()} for side in sides)
    told = _verdict(p, differences_by_seed(ours, theirs), digits_of(spec))
    return f"{names}: {TEST_NAMES['sign-flip']}, p = {p:.2g}, uncorrected: {told}."


def _verdict(p: float, by_seed: Sequence[float], digits: int) -> str:
    """What a p value comes to, and whether every seed says so."""
    sure = f"{'significant' if p < ALPHA else 'not significant'} at {ALPHA:g}"
    if p < ALPHA and not of_one_sign(by_seed):
        sure += ", but of either sign over seeds"
    return sure + seeds_in_words(by_seed, digits)


def _scores(contents: Contents, spec: TableSpec, metric: str, model: str) -> dict[int, FloatArray]:
    """seed -> (n,) scores of users; {} where there are none of users."""
    entries = [e for e in contents.plan.entries if (e.info.name, e.protocol.name) == (model, contents.protocol)]
    if spec.task == "explanation":
        return {}
    runs = {entry.seed: entry.record for entry in entries if entry.record is not None}
    return {seed: run.per_user(str(spec.task))[metric].astype(np.float64) for seed, run in runs.items()}


def in_words(contents: Contents, c: Comparison, digits: int) -> str:
    """A comparison as a sentence."""
    ours, theirs = contents.title(c.model), contents.title(c.baseline)
    way = "above" if c.difference > 0 else "below" if c.difference < 0 else "equal to"
    span = f"{c.difference:+.{digits}f} [{c.low:+.{digits}f}, {c.high:+.{digits}f}]"
    whom = "pairs" if c.effect is None else "users"
    return (
        f"{ours} is {way} {theirs}, the best baseline: {span}, {c.test} over {c.n:,} {whom}, "
        f"p = {c.p_holm:.2g} after Holm: {_verdict(c.p_holm, c.by_seed, digits)}."
    )


def _paper(contents: Contents, spec: TableSpec, metric: str) -> str:
    """What the paper prints in that column, and whether ours compares."""
    name = contents.plan.card.name
    if not paper_has(spec.number, name):
        return "does not have this data set"
    printed = {model: paper_value(spec.number, name, model, metric) for model in spec.paper}
    ours = printed.pop(OURS, None)
    others = {model: value for model, value in printed.items() if value is not None}
    digits = digits_of(spec)
    told = [f"POD {fixed(ours, digits)}"] if ours is not None else []
    if others:
        best = max(others, key=others.__getitem__)
        told.append(f"best baseline {contents.title(best)} {fixed(others[best], digits)}")
    for v in contents.verdicts:
        if (v.table, v.protocol, v.model, v.metric) == (spec.number, contents.protocol, OURS, metric):
            measured = f"here POD {fixed(v.measured, digits)}: " if v.measured is not None else "here POD "
            told.append(f"{measured}{v.verdict}")
    return "; ".join(told) or "prints no figure of this column"


def _against(contents: Contents) -> Html:
    """How many of the printed figures stand, by protocol."""
    counts: dict[str, Counter[str]] = {}
    for verdict in contents.verdicts:
        kind = verdict.verdict.split(":")[0] if verdict.verdict.startswith("not run") else verdict.verdict
        counts.setdefault(verdict.protocol, Counter())[kind] += 1
    if not counts:
        return tag("p", f"The paper prints no figure of {contents.plan.card.name} in these tables.", cls="missing")
    lines = []
    for protocol, found in counts.items():
        told = ", ".join(f"{number} {kind}" for kind, number in found.most_common())
        over = f"Protocol {protocol}" if protocol else "Sizes of the data (Table 1)"
        lines.append(f"{over}, of {sum(found.values())} printed figures: {told}.")
    return tag("div", listing(lines), tag("p", tag("a", "Every verdict", href="#verdicts")))


def _missing(contents: Contents) -> Html:
    """Reasons, each with the models it keeps away; tables that nobody asked for."""
    reasons: dict[str, dict[str, list[Entry]]] = {}
    for entry in contents.entries:
        if entry.record is None and (entry.asked or not entry.variant):
            titles = reasons.setdefault(entry.obstacle or entry.reason, {})
            titles.setdefault(f"{entry.info.title}{variant_in_words(entry.variant)}", []).append(entry)
    lines: list[Child] = []
    for reason, titles in reasons.items():
        names = "; ".join(f"{title} ({_whereof(absent, contents)})" for title, absent in titles.items())
        lines.append(f"{names}: {reason}.")
    lines += [f"{names}: {NOT_TIMED}." for names in _untimed(contents)]
    if contents.plan.card.no_explanations and not contents.plan.card.explanations_fingerprint:
        lines.append(f"Explanations: {contents.plan.card.no_explanations}.")
    absent = [number for number in TABLES if number not in {spec.number for spec in contents.specs}]
    if absent:
        lines.append(f"Not asked for in this report: {', '.join(map(_called, absent))}.")
    return listing(lines) or tag("p", "Nothing: every run that these tables need is here.")


def _whereof(absent: list[Entry], contents: Contents) -> str:
    """The protocols of a model's missing runs, with their seeds where other seeds of it are there."""
    what = absent[0].info.name, absent[0].variant
    there = {e.protocol.name for e in contents.entries if e.record and (e.info.name, e.variant) == what}
    seeds: dict[str, dict[int, None]] = {}
    for entry in absent:
        seeds.setdefault(entry.protocol.name, {})[entry.seed] = None  # a table of its own may ask again
    lacking: dict[str, list[str]] = {}
    for protocol, found in seeds.items():
        one = "seed" if len(found) == 1 else "seeds"
        told = f" without {one} {', '.join(map(str, found))}" if protocol in there else ""
        lacking.setdefault(told, []).append(protocol)
    return "; ".join(f"{', '.join(protocols)}{told}" for told, protocols in lacking.items())


def _untimed(contents: Contents) -> Iterator[str]:
    """What lacks times of asking, a text for each table that shows some."""
    for spec in contents.specs:
        plan = contents.own.get(spec.number, contents.plan)
        lacking: dict[str, list[str]] = {}
        for name, protocol in itertools.product(spec.timed, plan.protocols):
            entries = plan.of(name, protocol)
            for way, called in (entries[0].info.ways if entries else {}).items():
                if is_untimed(entries, way, plan):
                    lacking.setdefault(protocol.name, []).append(f"{entries[0].info.title} {called}")
        if lacking:
            told = "; ".join(f"{', '.join(names)} ({protocol})" for protocol, names in lacking.items())
            yield f"Times of {_called(spec.number)}, {told}"


def _called(number: str) -> str:
    return f"Table {number}" if number.isdigit() else "Figure 4"
