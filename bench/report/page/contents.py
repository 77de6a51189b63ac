"""What a page is made of, and what several of its parts ask of it."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from bench.data.catalog import DATASETS
from bench.report.comparisons import Standing
from bench.report.page.kept import Shown
from bench.report.shown import brief
from bench.report.specs import TableSpec
from bench.report.table import Table
from bench.report.verdicts import Verdict, has_authors_records, verdicts
from bench.runs.plan import Entry, Plan
from bench.runs.record import Record
from bench.splits import Split

SOUND = "sound"


@dataclass(frozen=True, eq=False)
class Contents:
    """What a page shows of one dataset and preset.

    plan:      of all tables but those with their own runs.
    specs:     the tables that were asked for.
    tables:    as written beside the page, in the order to show them.
    standings: of the tables that judge a task (`bench.report.comparisons.compare`).
    folder:    results/<dataset>/<preset>.
    own:       table -> the plan of a table that has its own runs.
    split:     the data; None where only records are at hand.
    found:     a question of the audit and what was found, in sentences.
    """

    plan: Plan
    specs: Sequence[TableSpec]
    tables: Sequence[Table]
    standings: Sequence[Standing]
    folder: Path
    own: Mapping[str, Plan] = field(default_factory=dict)
    split: Split | None = None
    found: Sequence[tuple[str, Sequence[str]]] = ()

    @property
    def entries(self) -> list[Entry]:
        """The entries of every plan, those of a table's own runs after the others."""
        return [entry for plan in (self.plan, *self.own.values()) for entry in plan.entries]

    @cached_property
    def records(self) -> list[Record]:
        """Every run that the tables rest on, once."""
        return list({entry.record.key: entry.record for entry in self.entries if entry.record}.values())

    @cached_property
    def shown(self) -> Shown:
        """What runs answered about the drawn users and pairs, as far as it was kept."""
        return Shown.read(self.folder, self.plan.card.split_fingerprint)

    @cached_property
    def protocols_of(self) -> dict[str, list[str]]:
        """Key of a run -> the protocols that it serves here."""
        found: dict[str, list[str]] = {}
        for entry in self.entries:
            if entry.record and entry.protocol.name not in found.setdefault(entry.record.key, []):
                found[entry.record.key].append(entry.protocol.name)
        return found

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """What became of the paper's figures, as verdicts.csv has it."""
        authors = has_authors_records(self.folder.parent)
        return list(verdicts(self.specs, self.plan, self.standings, authors_records=authors))

    @property
    def protocol(self) -> str:
        """The protocol that conclusions are drawn under: `sound`, or the first there is."""
        names = [each.name for each in self.plan.protocols]
        return SOUND if SOUND in names or not names else names[0]

    def title(self, model: str) -> str:
        """How people call a model."""
        return next((entry.info.title for entry in self.entries if entry.info.name == model), model)

    def label(self, record: Record) -> str:
        """How a run is called among the others: title, what its table's runs differ in, protocols, seed."""
        variants = [entry.variant for entry in self.entries if entry.record and entry.record.key == record.key]
        variant = "" if "" in variants or not variants else variants[0]
        served = ", ".join(self.protocols_of.get(record.key, []))
        name = str(record.content.get("title", record.model))
        changed = "".join(f", {words}" for words in self._changed.get(record.key, ()))
        return f"{name}{variant_in_words(variant)}{changed}, {served}, seed {record.seed}"

    @cached_property
    def _changed(self) -> dict[str, list[str]]:
        """Key of a run of a table's own settings -> what is changed for it alone, "setting=value"."""
        shared = {entry.record.key for entry in self.plan.entries if entry.record}
        found: dict[str, list[str]] = {}
        for plan in self.own.values():
            for entry in plan.entries:
                if entry.record and entry.record.key not in shared:
                    mine = [name for name in (entry.info.fits, entry.info.name) if name]
                    words = [word for name in mine for word in _changed_for(plan, self.plan, name)]
                    found.setdefault(entry.record.key, words)
        return found

    @property
    def command(self) -> str:
        """The command line that makes this page again."""
        card = self.plan.card
        words = ["python", "run_all.py", "--dataset", card.name if card.name in DATASETS else f"FOLDER/{card.name}"]
        words += ["--preset", self.plan.preset, "--seeds", ",".join(map(str, self.plan.seeds))]
        if self.specs:
            words += ["--tables", ",".join(spec.number for spec in self.specs)]
        names = [each.name.split("+")[0] for each in self.plan.protocols]
        if len(names) == 1:
            words += ["--protocol", names[0]]
        if any("+" in each.name for each in self.plan.protocols):
            words += ["--item-numbering", self.plan.protocols[0].item_numbering]
        if self.plan.named:
            words += ["--models", ",".join(sorted(self.plan.named))]
        words += self._values()
        words += _changes(self.plan.overrides, {}, "")
        for number, plan in self.own.items():
            words += _changes(plan.overrides, self.plan.overrides, f"{number}:")
        return shlex.join(words)

    def _values(self) -> list[str]:
        """`--prompt-vectors` where others than the preset's are shown."""
        for spec in self.specs:
            if spec.variants is not None and spec.variants.setting == "prompts" and spec.number in self.own:
                values = tuple(dict.fromkeys(entry.variant for entry in self.own[spec.number].entries))
                if values not in ((), spec.variants.usual(self.plan.preset)):
                    return ["--prompt-vectors", ",".join(values)]
        return []


def _changed_for(plan: Plan, shared: Plan, model: str) -> list[str]:
    """What a table's own plan changes of a model's settings, beside what is changed for all."""
    known = shared.overrides.get(model, {})
    return [f"{name}={brief(text)}" for name, text in plan.overrides.get(model, {}).items() if known.get(name) != text]


def _changes(
    overrides: Mapping[str, Mapping[str, str]], known: Mapping[str, Mapping[str, str]], before: str
) -> list[str]:
    """`--set` for every setting that is changed and not known to be, the table's name before it."""
    return [
        word
        for model, settings in overrides.items()
        for name, text in settings.items()
        if known.get(model, {}).get(name) != text
        for word in ("--set", f"{before}{model}.{name}={brief(text)}")
    ]


def variant_in_words(variant: str) -> str:
    """What stands behind a model's title for the runs of a table that differ in a setting; "" for those of others."""
    return f" (K = {variant})" if variant.isdigit() else f" ({variant})" if variant else ""


def seconds_of(record: Record) -> tuple[float, float]:
    """(fit, ask): wall seconds of fitting a run and of all its asking."""
    timings: Mapping[str, Mapping[str, float]] = record.content.get("timings", {})
    fit = sum(each["wall_s"] for name, each in timings.items() if name == "fit")
    return fit, sum(each["wall_s"] for name, each in timings.items() if name != "fit")


def curve_of(record: Record) -> list[dict[str, float]]:
    """A run's learning curve, one row an epoch; empty where it has none."""
    path = record.path / "curve.csv"
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(stream)]


def duration(seconds: float) -> str:
    """A time for people: 4.2 s, 31 s, 12 min 4 s, 3 h 20 min."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
