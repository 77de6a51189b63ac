"""Everything that a command writes of one dataset, in the order in which people read it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path

from bench.models import Registry
from bench.options import Options
from bench.protocols import PROTOCOLS
from bench.report.audit import build_audit, findings, questions_of
from bench.report.audit_files import write_audit
from bench.report.build import build_table
from bench.report.comparison_files import write_comparisons
from bench.report.comparisons import Standing, compare, star_note, stars
from bench.report.efficiency import build_efficiency
from bench.report.explained import SAMPLE, STATISTICS, build_variety, record_text, write_intervals
from bench.report.files import write_free_search, write_metrics, write_table
from bench.report.groups import FILE, Groups, read_groups, write_groups
from bench.report.leak import build_leak, write_leak
from bench.report.page import Contents, write_index, write_page
from bench.report.specs import TableSpec
from bench.report.table import Table, starred
from bench.report.text import text_table
from bench.report.verdicts import write_verdicts
from bench.work import Work


def report(work: Work, options: Options, registry: Registry) -> Iterator[str]:
    """Write metrics.csv, free_search.csv, the tables, what stands beside them, and the page; yields each table as text,
    then where the files are.
    """
    card, paths = work.plan.card, [work.folder / "metrics.csv"]
    write_metrics(work.records, registry, card, paths[0])
    paths += write_free_search(work.records, registry, card, work.folder / "free_search.csv")
    renumbered = any(protocol not in PROTOCOLS.values() for protocol in options.protocols)
    suffix = f"-{options.numbering}-ids" if renumbered else ""
    standings: list[Standing] = []
    tables: list[Table] = []
    found: list[tuple[str, list[str]]] = []
    for spec in options.tables:
        if spec.numberings:
            table = build_leak(spec, work.own[spec.number], _groups(work))
            paths += write_leak(table, work.folder)
        elif spec.questions:
            asked, answers = build_audit(spec, work.own[spec.number])
            paths += write_audit(asked, answers, work.own[spec.number], work.folder)
            tables += asked
            found += [(question.title, findings(question, answers)) for question in questions_of(answers)]
            yield from map(text_table, asked)
            continue
        elif spec.variants or spec.timed:
            table, files = build_efficiency(spec, work.own.get(spec.number, work.plan), work.folder, suffix)
            paths += files
        else:
            table = build_table(spec, work.plan)
            if spec.task is not None:
                standings.append(compare(spec, work.plan))
                table = starred(table, partial(stars, standings[-1]), star_note(standings[-1]))
            paths += write_table(table, work.folder, suffix)
        tables.append(table)
        yield text_table(table)
        if spec.task == "explanation":
            paths += yield from _beside(spec, work, suffix, tables)
    paths += write_comparisons(standings, work.plan, work.folder, suffix)
    paths += write_verdicts(options.tables, work.plan, standings, work.folder, suffix)
    contents = Contents(work.plan, options.tables, tables, standings, work.folder, work.own, work.split, found)
    paths += [write_page(contents, suffix), write_index(options.out)]
    yield "\n".join(["written:", *(f"  {path}" for path in paths)]) + "\n"


def _beside(spec: TableSpec, work: Work, suffix: str, tables: list[Table]) -> Generator[str, None, list[Path]]:
    """Write and yield what stands beside the table of explanations; adds its table to the others, returns the paths."""
    paths = write_intervals(spec, work.plan, work.folder / f"explanation_intervals{suffix}.csv")
    if paths:
        variety = build_variety(spec, work.plan)
        paths += write_table(variety, work.folder, suffix)
        tables.append(variety)
        yield text_table(variety)
    above = work.folder.parent
    if told := record_text(above, work.plan.card.name):
        yield told
        paths += [above / STATISTICS, above / SAMPLE]
    return paths


def _groups(work: Work) -> Groups | None:
    """Whose test item its number gives away: written where the data is there, so that later reports need none."""
    path = work.folder.parent / FILE
    if work.split is not None:
        write_groups(work.split, path)
    return read_groups(path, work.plan.card.split_fingerprint)
