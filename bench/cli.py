"""The steps of the command: what to run and running it; `bench.reporting` shows what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.cutting import Cutter, find_cutter
from bench.data.catalog import DATASETS, dataset_name
from bench.errors import UserError
from bench.export import export_split
from bench.forecast import forecast
from bench.models import Registry
from bench.options import Options
from bench.progress import Progress
from bench.report.explained import write_record_files
from bench.report.files import write_text
from bench.report.published import paper_title
from bench.report.specs import TableSpec, models_of
from bench.runs.audited import audit_plan
from bench.runs.failure import read_failures
from bench.runs.identity import Job
from bench.runs.judged import judge_runs, judged_runs, lacks_verdict
from bench.runs.outside import judge_file
from bench.runs.outside_sentences import judge_sentence_file
from bench.runs.perform import Means, Outcome, perform
from bench.runs.plan import (
    DatasetCard,
    Plan,
    Variants,
    attach,
    estimate_seconds,
    make_plan,
    read_card,
    variant_plan,
)
from bench.runs.record import Record, read_records
from bench.runs.timed import OURS_WAY, Wanted, lacking, measure_inference, to_time
from bench.runs.workspace import card_path, prepare, preset_folder
from bench.scoring import sentence_text, verdict_json, verdict_text
from bench.settings import resolve
from bench.shorthands import spread
from bench.splits import Split
from bench.work import Work


def check_names(options: Options, registry: Registry) -> Options:
    """The options with flags for all text models spread to each; UserError, before any data is read, where a model or
    a setting is unknown.
    """
    options = replace(options, overrides=spread(options.shorthands, options.overrides, registry))
    changed = {"": options.overrides, **{f"{number}:": each for number, each in options.table_overrides.items()}}
    typed = {f"--set {of}…" if of else "--set": each for of, each in changed.items()}
    for where, names in (("--models", options.models or ()), *typed.items()):
        for name in names:
            if name not in registry.models and paper_title(name):
                fix = "leave it out; tables show the paper's figures of it"
                raise UserError(f"this version has no model '{name}'", where, fix)
            registry.get(name)
    _check_own_settings(options)
    for of, each in changed.items():
        for name, settings in each.items():
            resolve(registry.models[name], options.preset, "", settings, of)
    for spec in options.tables:
        if spec.variants is not None and spec.variants.setting == "prompts" and options.vectors:
            _check_vectors(spec, spec.variants, options, registry)
    return options


def _check_own_settings(options: Options) -> None:
    """UserError where settings are changed for a table that is not asked for, or of a model that it has no runs of."""
    asked = {spec.number: spec for spec in options.tables}
    for number, models in options.table_overrides.items():
        if number not in asked:
            raise UserError(f"table {number} is not asked for", f"--set {number}:…", f"add {number} to --tables")
        for model in models:
            if model not in asked[number].models:
                where, has = f"--set {number}:{model}.…", ", ".join(asked[number].models)
                raise UserError(f"table {number} has no runs of '{model}'", where, f"it has those of {has}")


def _check_vectors(spec: TableSpec, variants: Variants, options: Options, registry: Registry) -> None:
    """UserError where a number of prompt vectors is more than the model takes."""
    for value in options.vectors if variants.model in registry.models else ():
        changed = {**options.overrides_of(spec).get(variants.model, {}), variants.setting: value}
        try:
            resolve(registry.models[variants.model], options.preset, "", changed)
        except UserError as error:
            raise UserError(error.what, "--prompt-vectors", "give smaller numbers") from error


def lay_out(options: Options, registry: Registry, progress: Progress) -> list[Work]:
    """The plan of every dataset, with the records that are there; reads data only where it is needed."""
    works = []
    asked = options.models or models_of(options.tables)
    explains = any("explanation" in registry.models[name].tasks for name in asked if name in registry.models)
    for text in options.datasets:
        card, split = _card(text, options, progress, explains)
        works.append(Work(_plan(card, options, registry), preset_folder(options.out, card.name, options.preset), split))
        own = filter(options.owns, options.tables)
        works[-1].own.update({spec.number: _plan(card, options, registry, spec) for spec in own})
        if options.report_only:
            _need_runs(works[-1])
        look_up(works[-1], options, replacing=options.force and not options.report_only and not options.dry_run)
    return works


def _plan(card: DatasetCard, options: Options, registry: Registry, spec: TableSpec | None = None) -> Plan:
    """The plan of a table that has its own runs, or of all that have not."""
    protocols = spec.protocols(options.protocols) if spec else list(options.protocols)
    overrides = options.overrides_of(spec)
    shared = (registry, protocols, list(options.seeds), overrides, options.models)
    if spec is not None and spec.questions:
        about = (list(options.seeds), overrides, options.models)
        return audit_plan(card, options.preset, spec.questions, registry, *about)
    if spec is not None and spec.variants is not None:
        plan = variant_plan(card, options.preset, _variants(spec.variants, options), *shared)
        for entry in plan.entries:
            entry.asked = entry.asked and entry.protocol in spec.runs_under(options.protocols)
        return plan
    return make_plan(card, options.preset, shown_models(options, spec), *shared)


def _variants(variants: Variants, options: Options) -> Variants:
    """The runs of a table with the values asked for, or those of the preset."""
    asked = options.vectors if variants.setting == "prompts" else ()
    return replace(variants, values=asked or variants.usual(options.preset))


def _card(text: str, options: Options, progress: Progress, explains: bool) -> tuple[DatasetCard, Split | None]:
    """The card of a dataset, and its split, with explanations if wanted, where runs may need it."""
    card = card_path(options.out, _folder_name(text))
    if options.report_only and not card.exists():
        found = sorted(path.parent.name for path in options.out.glob("*/dataset.json"))
        fix = f"there are: {', '.join(found)}" if found else "run without --report-only first, or give --out"
        raise UserError(f"no results of '{_folder_name(text)}'", str(options.out), fix)
    if options.report_only or (options.dry_run and card.exists()):
        read = read_card(card)
        if read.name != card.parent.name:
            raise UserError(f"this is the card of '{read.name}'", str(card), "give the folder its name back")
        return read, None
    progress.line(f"reading {text}")
    split = prepare(
        text,
        options.out,
        options.data_dir,
        offline=options.offline,
        keep=not options.dry_run,
        explanations=explains,
        progress=progress,
    )
    if split.explanations is not None and not options.dry_run:
        write_record_files(split, card.parent)
    return _with_known(DatasetCard.of(split), card), split


def _with_known(card: DatasetCard, path: Path) -> DatasetCard:
    """The card with what is on disk of explanations, where this command did not look for them or found none."""
    if card.explanations_fingerprint or not path.exists():
        return card
    known = read_card(path)
    return replace(
        card,
        explanations_fingerprint=known.explanations_fingerprint,
        no_explanations=card.no_explanations or known.no_explanations,
    )


def _folder_name(text: str) -> str:
    """The name under which results of a dataset lie, whether its data is still there or not."""
    path = Path(text)
    if text in DATASETS:
        return text
    return dataset_name(path if path.exists() or len(path.parts) > 1 else path / "a file in it")


def _need_runs(work: Work) -> None:
    """UserError where a report is wanted of a preset that never ran here."""
    if not work.runs.is_dir():
        presets = sorted(path.parent.name for path in work.folder.parent.glob("*/runs"))
        fix = f"there are runs of: {', '.join(presets)}" if presets else "run without --report-only first"
        raise UserError(f"no runs under preset '{work.plan.preset}'", str(work.folder), fix)


def shown_models(options: Options, spec: TableSpec | None = None) -> list[str]:
    """Every model with a row in the tables, and those asked for that have a row in none.

    spec: a table that has its own runs: its models; None: those of the other tables.
    """
    if spec is not None:
        return list(spec.models)
    known = models_of(options.tables)
    beside = (name for name in options.models or () if name not in known)
    return [*models_of(spec for spec in options.tables if not options.owns(spec)), *beside]


def look_up(work: Work, options: Options, *, replacing: bool = False) -> None:
    """Attach what records and failures there are. replacing: pass over records that are to be replaced."""
    skip = {job.folder for job in work.whole.jobs(force=True)} if replacing else set()
    work.records, failures = judged_runs(_of_one_data(work, skip)), read_failures(work.runs)
    attach(work.plan, work.records, failures, shown_models(options))
    for spec in options.tables:
        if options.owns(spec):
            attach(work.own[spec.number], work.records, failures, shown_models(options, spec))


def _of_one_data(work: Work, skip: set[str]) -> list[Record]:
    """The records that are there; UserError where one is of other data or another split than the folder's card."""
    card, records = work.plan.card, read_records(work.runs, skip)
    for record in records:
        identity = record.content["identity"]
        for what, own in (("dataset", card.fingerprint), ("split", card.split_fingerprint)):
            if identity[what] != own:
                told = (
                    f"a run of other data than the folder's ({what} fingerprint {identity[what]}, the folder's {own})"
                )
                raise UserError(told, str(record.path / "record.json"), "move its folder away")
    return records


def dry_run(work: Work, options: Options) -> str:
    """What the command would do."""
    return forecast(work.whole, work.runs, work.records, force=options.force, jobs=options.jobs)


def run_plan(work: Work, options: Options, progress: Progress) -> list[Outcome]:
    """Run what is missing, judge the sentences of what is there, then look up all of it."""
    if work.split is None:
        raise ValueError("a plan without data cannot be run")

    def guess(job: Job) -> float | None:
        return estimate_seconds(job, work.plan.card, work.records)

    means = Means(
        options.device,
        options.threads,
        options.jobs,
        options.force,
        progress,
        offline=options.offline,
        data_dir=options.data_dir,
        memory_mib=1024 * options.memory,
    )
    outcomes = perform(work.whole.jobs(force=options.force), work.split, work.runs, means, guess)
    look_up(work, options)
    if judge_runs(work.records, work.split, partial(_cutter, options), progress):
        look_up(work, options)
    measure_inference(wanted_times(work, options), work.split, means)
    busy = {outcome.job.key: outcome.reason for outcome in outcomes if outcome.state == "busy"}
    for entry in (entry for plan in work.plans for entry in plan.entries):
        if entry.record is None and entry.job is not None:
            entry.reason = busy.get(entry.job.key, entry.reason)
            entry.failed = entry.failed and entry.job.key not in busy
    return outcomes


def wanted_times(work: Work, options: Options) -> list[Wanted]:
    """The finished runs whose inference the tables show times of: all ways for Table 6, ours for Figure 4.

    Of several seeds one is shown, and so one is timed: one that has times, else the first that has weights.
    """
    wanted: dict[str, Wanted] = {}
    for spec in options.tables:
        plan = work.own.get(spec.number, work.plan)
        shown = spec.timed or (spec.variants and spec.variants.setting == "prompts" and (spec.variants.model,)) or ()
        rows: dict[tuple[str, str, str], list[Wanted]] = {}
        for entry in plan.entries:
            asked = tuple(way for way in entry.info.ways if spec.timed or way == OURS_WAY)
            if entry.asked and entry.record and entry.job and entry.info.name in shown and asked:
                row = rows.setdefault((entry.info.name, entry.protocol.name, entry.variant), [])
                row.append(Wanted(entry.job, entry.record, asked))
        for each in map(to_time, rows.values()):
            known = wanted.get(each.job.key)
            # Ways of Figure 4 are among those of Table 6.
            if known is None or len(each.ways) > len(known.ways):
                wanted[each.job.key] = each
    return list(wanted.values())


def _cutter(options: Options, download: bool = True) -> Cutter:
    return find_cutter(options.data_dir, offline=options.offline or not download)


def exit_code(works: Iterable[Work], outcomes: Iterable[Outcome], options: Options) -> int:
    """0 where everything asked for is there, 1 where something is not.

    A model that this dataset has no data for counts only if it was asked for by name; sentences without a verdict count
    where the table of explanations was asked for.
    """
    explained = any(spec.task == "explanation" for spec in options.tables)
    if any(lacking(each) for work in works for each in wanted_times(work, options)):
        return 1
    if any(outcome.state == "failed" for outcome in outcomes):
        return 1
    for work in works:
        for entry in work.whole.entries:
            excused = options.models is None and entry.obstacle and not entry.info.missing_packages()
            if entry.asked and entry.record is None and not excused:
                return 1
            if entry.asked and explained and entry.record is not None and lacks_verdict(entry.record):
                return 1
    return 0


def score(options: Options, progress: Progress) -> str:
    """Judge a predictions file; returns the verdict as text."""
    if options.score is None or len(options.datasets) != 1:
        raise UserError("needs exactly one data set", "--score", "give --dataset NAME")
    if not options.score.is_file():
        raise UserError("no such file", str(options.score), "check --score")
    progress.line(f"reading {options.datasets[0]}")
    explains, path = options.task == "explanation", options.score
    split = prepare(
        options.datasets[0],
        options.out,
        options.data_dir,
        offline=options.offline,
        explanations=explains,
        progress=progress,
    )
    if explains:
        cutter = _cutter(options)
        told = [judge_sentence_file(path, split, protocol, cutter) for protocol in options.protocols]
        text = "\n".join(map(sentence_text, told))
    else:
        told = [judge_file(path, split, options.task, protocol) for protocol in options.protocols]
        text = "\n".join(map(verdict_text, told))
    if options.json is not None:
        write_text(options.json, verdict_json(told))
    return text


def export(options: Options, progress: Progress) -> str:
    """Write each data set's split for models outside the suite; returns where."""
    lines = ["written:"]
    for text in options.datasets:
        progress.line(f"reading {text}")
        split = prepare(
            text, options.out, options.data_dir, offline=options.offline, explanations=True, progress=progress
        )
        lines += [f"  {path}" for path in export_split(split, (options.export or Path()) / split.dataset.name)]
    return "\n".join(lines) + "\n"


def compare_results(options: Options) -> str:
    """What moved between two results folders."""
    from bench.report.moved import compare_folders, comparison_text

    first, second = options.compare
    return comparison_text(compare_folders(first, second))
