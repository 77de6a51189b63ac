"""The steps of the command: what to run, running it, and what to show of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.data.catalog import DATASETS, dataset_name
from bench.errors import UserError
from bench.models import Registry
from bench.options import Options
from bench.progress import Progress
from bench.report.build import build_table
from bench.report.files import write_metrics, write_table
from bench.report.specs import models_of
from bench.report.text import text_table
from bench.runs.failure import read_failures
from bench.runs.perform import Means, Outcome, perform
from bench.runs.plan import Plan, attach, make_plan, read_card
from bench.runs.record import read_records
from bench.runs.workspace import card_path, prepare, preset_folder
from bench.settings import resolve
from bench.splits import Split

Say = Callable[[str], None]


@dataclass
class Work:
    """A dataset's plan and where it lies. split: None where only a report is wanted."""

    plan: Plan
    folder: Path
    split: Split | None

    @property
    def runs(self) -> Path:
        return self.folder / "runs"


def check_names(options: Options, registry: Registry) -> None:
    """Raise UserError, before any data is read, where a model or a setting is unknown."""
    for name in (*(options.models or ()), *options.overrides):
        registry.get(name)
    for name, settings in options.overrides.items():
        resolve(registry.models[name], options.preset, "", settings)


def lay_out(options: Options, registry: Registry) -> list[Work]:
    """The plan of every dataset, with the records that are there; reads data unless only a report is wanted."""
    works = []
    for text in options.datasets:
        if options.report_only:
            name = text if text in DATASETS else dataset_name(Path(text))
            card, split = read_card(card_path(options.out, name)), None
        else:
            split = prepare(text, options.out, options.data_dir, offline=options.offline)
            card = read_card(card_path(options.out, split.dataset.name))
        shown = shown_models(options)
        plan = make_plan(
            card,
            options.preset,
            shown,
            registry,
            list(options.protocols),
            list(options.seeds),
            options.overrides,
            asked=options.models or models_of(options.tables),
        )
        works.append(Work(plan, preset_folder(options.out, card.name, options.preset), split))
        look_up(works[-1], options)
    return works


def shown_models(options: Options) -> list[str]:
    """Every model with a row in the tables, and those asked for beside them."""
    return list(dict.fromkeys([*models_of(options.tables), *(options.models or ())]))


def look_up(work: Work, options: Options, *, replacing: bool = True) -> None:
    """Attach what records and failures there are. replacing: leave out records that --force is to replace."""
    skip = {job.folder for job in work.plan.jobs(force=True)} if options.force and replacing else set()
    attach(work.plan, read_records(work.runs, skip), read_failures(work.runs), shown_models(options))


def run_plan(work: Work, options: Options, progress: Progress) -> list[Outcome]:
    """Run what is missing, then look up what is there."""
    if work.split is None:
        raise ValueError("a plan without data cannot be run")
    means = Means(options.device, options.threads, options.jobs, options.force, progress)
    outcomes = perform(work.plan.jobs(force=options.force), work.split, work.runs, means)
    look_up(work, options, replacing=False)
    for outcome in outcomes:
        for entry in work.plan.entries:
            if outcome.state == "busy" and entry.job and entry.job.key == outcome.job.key and not entry.record:
                entry.reason = outcome.reason
    return outcomes


def report(work: Work, options: Options, registry: Registry) -> Iterator[str]:
    """Write metrics.csv and the tables; yields each table as text, then where the files are."""
    records = read_records(work.runs)
    write_metrics(records, registry, work.folder / "metrics.csv")
    paths = [work.folder / "metrics.csv"]
    suffix = f"-{options.numbering}-ids" if options.numbering else ""
    for spec in options.tables:
        table = build_table(spec, work.plan)
        paths += write_table(table, work.folder, suffix)
        yield text_table(table)
    yield "\n".join(["written:", *(f"  {path}" for path in paths)]) + "\n"


def exit_code(works: list[Work], outcomes: list[Outcome], options: Options) -> int:
    """0 where everything asked for is there, 1 where something is not.

    A model that this dataset has no data for counts only if it was asked for by name.
    """
    if any(outcome.state == "failed" for outcome in outcomes):
        return 1
    for work in works:
        for entry in work.plan.entries:
            excused = options.models is None and entry.obstacle and not entry.info.missing_packages()
            if entry.asked and entry.record is None and not excused:
                return 1
    return 0


def need_cards(options: Options) -> None:
    """Raise UserError where a report is asked for without results."""
    if options.report_only and not options.out.is_dir():
        raise UserError("no results are here", str(options.out), "run without --report-only first, or give --out")
