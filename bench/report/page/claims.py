"""What became of the paper's figures, and POD against the best baselines: verdicts.csv and comparisons.csv to read."""

from __future__ import annotations

from bench.report.comparisons import Comparison, star_note
from bench.report.page.contents import Contents
from bench.report.page.markup import Child, Html, grid, tag
from bench.report.page.summary import digits_of
from bench.report.specs import TABLES
from bench.report.table import METRIC_DIGITS, fixed
from bench.report.verdicts import Verdict

_VERDICTS = ("table", "protocol", "model", "metric", "paper", "here", "expected from", "to", "seeds", "verdict")
_COMPARISONS = (
    "table",
    "protocol",
    "metric",
    "model",
    "best baseline",
    "of",
    "difference",
    "from",
    "to",
    "p (Holm)",
    "effect",
    "users better",
    "worse",
    "seeds",
    "by seed",
)


def verdicts_section(contents: Contents) -> Html:
    """Every printed figure of the paper with its verdict."""
    head = tag("h2", "The paper's figures, one by one")
    if not contents.verdicts:
        said = f"The paper prints no figure of {contents.plan.card.name} in the tables of this report."
        return tag("section", head, tag("p", said, cls="missing"), id="verdicts")
    rows = [_verdict(contents, each) for each in contents.verdicts]
    about = (
        "Expected: where the paper's figure would lie if it were another run of ours, 95 %, over users and, where "
        "there are several, seeds. Within its noise: it does, give or take half a unit of its last digit; above, "
        "below: where ours lies otherwise. Also in verdicts.csv."
    )
    table = grid(_VERDICTS, rows, f"{len(rows)} printed figures", numbers=(4, 5, 6, 7, 8))
    return tag("section", head, tag("p", about), table, id="verdicts")


def _verdict(contents: Contents, v: Verdict) -> list[Child]:
    model = contents.title(v.model) if v.model != "dataset" else "the data set"
    ours = [fixed(value, v.digits) for value in (v.measured, v.low, v.high)]
    told = [v.table, v.protocol or "–", model, v.metric, fixed(v.paper, v.digits), *ours, str(v.seeds or "–")]
    return [*told, tag("span", v.verdict, cls=_class(v.verdict))]


def _class(verdict: str) -> str:
    """A class for the eye; the word itself says it too."""
    return "verdict " + verdict.split(":")[0].split()[0]


def comparisons_section(contents: Contents) -> Html:
    """POD and its variants against the best baselines, with tests over users."""
    head = tag("h2", "POD against the best baselines")
    rows = [_comparison(contents, s.table, c) for s in contents.standings for c in s.comparisons]
    if not rows:
        said = "Nothing was compared: no run of POD stands beside one of a baseline here."
        return tag("section", head, tag("p", said, cls="missing"), id="comparisons")
    notes = [tag("li", f"Table {s.table}. {note}") for s in contents.standings for note in star_note(s)]
    about = (
        "Difference: ours minus the baseline's, with its 95 % interval; effect: Cohen's d of paired samples; better, "
        "worse: shares of users; by seed: the difference of each. "
        "The best baseline is the best on these very users, which favours it. "
        "Also in comparisons.csv."
    )
    table = grid(_COMPARISONS, rows, f"{len(rows)} comparisons", numbers=(6, 7, 8, 9, 10, 11, 12))
    return tag("section", head, tag("p", about), table, tag("ul", notes, cls="notes"), id="comparisons")


def _comparison(contents: Contents, number: str, c: Comparison) -> list[Child]:
    digits = digits_of(TABLES[number]) if number in TABLES else METRIC_DIGITS
    span = [f"{value:+.{digits}f}" for value in (c.difference, c.low, c.high)]
    size = ["–"] * 3
    if c.effect is not None:
        size = [f"{c.effect.size:+.2f}", f"{c.effect.better:.1%}", f"{c.effect.worse:.1%}"]
    among = "the paper's rows" if c.among == "paper" else "all rows"
    who = (contents.title(c.model), contents.title(c.baseline), among)
    seeds = f"{c.seeds} / {c.baseline_seeds}"
    each = ", ".join(f"{value:+.{digits}f}" for value in c.by_seed) if len(c.by_seed) > 1 else "–"
    return [number, c.protocol, c.metric, *who, *span, f"{c.p_holm:.2g}", *size, seeds, each]
