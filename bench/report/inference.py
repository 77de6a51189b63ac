"""Table 6: what asking costs, with and without words, as the released code decodes and as this suite does.

Figures of quality are those of the runs, over all users; times are of some users, always the same ones, see
`bench.runs.timed`. The paper compares the first column of words alone: what dropping them saves, decoded its way.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.explanation_judge import figure
from bench.protocols import Protocol
from bench.report.build import cell_of, dataset_title, explanation_reasons, reasons, row_title
from bench.report.files import csv_lines, write_table, write_text
from bench.report.fits import fitted_apart
from bench.report.inert import csv_text
from bench.report.machines import machine_in_words, timed_apart
from bench.report.notes import changed_settings, data_notes, protocol_in_words, run_notes, seed_note
from bench.report.published import paper_lines
from bench.report.specs import TableSpec
from bench.report.table import Cell, Footnotes, Panel, Row, Table
from bench.report.text_models import model_notes, scratch_mark
from bench.runs.plan import Entry, Plan
from bench.runs.timed import REPEATS, UNSTEADY, Figures, figures_of, read_timings

TIME_COLUMNS = (
    "dataset",
    "preset",
    "protocol",
    "model",
    "variant",
    "seed",
    "way",
    "task",
    "users",
    "repeats",
    "seconds_per_user",
    "cpu_seconds_per_user",
    "users_per_second",
    "spread",
    "encoded_tokens",
    "decoded_tokens",
    "peak_mib",
    "same_lists",
    "unsteady",
)
_TASKS = {
    "sequential": ("Seq.", ("HR@10", "NDCG@10")),
    "topn": ("Top-N", ("HR@10", "NDCG@10")),
    "explanation": ("Expl.", ("BLEU-4", "ROUGE-L")),
}

NOT_TIMED = "not timed yet (run without --report-only, with nothing else running)"
_WAYS = (
    "As released: inputs repeated once a beam before the encoder, as the released code decodes; encoded once: as this "
    "suite does. What is saved is a share of the time of POD with words, and of POD as released."
)
_CALLED = {"sequential": "sequential", "topn": "top-N", "explanation": "explanation"}
_ASKED = {"sequential": "users (sequential)", "topn": "users (top-N)", "explanation": "pairs (explanation)"}


def build_inference(spec: TableSpec, plan: Plan, folder: Path, suffix: str) -> tuple[Table, list[Path]]:
    """Table 6 of a plan, and inference_times.csv with everything that was measured."""
    footnotes = Footnotes()
    panels = tuple(_panel(spec, plan, protocol, footnotes) for protocol in plan.protocols)
    entries = [entry for entry in plan.entries if entry.info.name in spec.timed]
    notes = (
        *run_notes(plan),
        seed_note(plan),
        *(f"Protocol {each.name}: {protocol_in_words(each, text_models=True)}." for each in plan.protocols),
        *changed_settings(plan),
        *model_notes(entries, None),
        *fitted_apart(entries),
        *timing_notes(entries),
        _WAYS,
        *_same_notes(entries),
        *_paper_note(spec),
        *data_notes(plan.card),
    )
    caption = f"{spec.caption}: {dataset_title(plan.card.name)}"
    texts = tuple(footnotes.texts)
    table = Table(spec.number, caption, plan.card.name, plan.preset, _columns(plan), panels, False, notes, texts)
    path = folder / f"inference_times{suffix}.csv"
    return table, [*write_table(table, folder, suffix), *write_times(entries, plan, path)]


def tasks_of(plan: Plan) -> list[str]:
    """The tasks that this dataset allows."""
    return [task for task in _TASKS if task != "explanation" or plan.card.explanations_fingerprint]


def _columns(plan: Plan) -> tuple[str, ...]:
    return tuple(
        column for task in tasks_of(plan) for column in (*(f"{_TASKS[task][0]} {m}" for m in _TASKS[task][1]), "ms")
    )


def _panel(spec: TableSpec, plan: Plan, protocol: Protocol, footnotes: Footnotes) -> Panel:
    rows = []
    times: dict[tuple[str, str], list[Cell]] = {}
    for name in spec.timed:
        entries = plan.of(name, protocol)
        for way, title in (entries[0].info.ways if entries else {}).items():
            cells: list[Cell] = []
            for task in tasks_of(plan):
                cells += [_quality(entries, task, metric, way, protocol) for metric in _TASKS[task][1]]
                cells.append(time_cell(entries, way, task))
                times.setdefault((name, way), []).append(cells[-1])
            texts = [*scratch_mark(entries), *_why_empty(entries, way, plan)]
            texts += [*unsteady_note(entries, way, plan), *apart_note(entries, plan)]
            if way == "plain" and protocol.constrained:
                texts.append("searches freely whatever the protocol, so its lists are not judged here")
            title = f"{row_title(name, entries[0].info)}, {title}"
            rows.append(Row(name, title, tuple(cells), tuple(map(footnotes.add, texts)), "paper"))
    return Panel(protocol.name, (*rows, *_savings(spec, plan, times)))


def _quality(entries: list[Entry], task: str, metric: str, way: str, protocol: Protocol) -> Cell:
    if way == "plain" and protocol.constrained and task != "explanation":
        return Cell()
    return cell_of(entries, task, figure(metric, protocol.text_metrics) if task == "explanation" else metric)


def time_cell(entries: list[Entry], way: str, task: str) -> Cell:
    """Milliseconds a user of a model's first timed run; empty where none was timed."""
    found = first_figures(entries, way, task)
    return Cell(digits=2) if found is None else Cell(1000.0 * found.seconds, n_seeds=1, n_users=found.users, digits=2)


def first_figures(entries: list[Entry], way: str, task: str) -> Figures | None:
    """The times of the first seed that has some."""
    found = (figures_of(entry.record, way, task) for entry in entries if entry.record)
    return next((figures for figures in found if figures is not None), None)


def unsteady_note(entries: list[Entry], way: str, plan: Plan) -> list[str]:
    """The footnote of a row whose repeats disagree."""
    found = [first_figures(entries, way, task) for task in tasks_of(plan)]
    shaky = any(figures is not None and not figures.steady for figures in found)
    return [f"unsteady: repeats of its times differ by more than {UNSTEADY:.0%}"] if shaky else []


def apart_note(entries: list[Entry], plan: Plan) -> list[str]:
    """The footnote of a row whose times are of another machine than those of other rows."""
    timed = [(entry.seed, _machine(found)) for entry, found in _shown_times(plan.entries)]
    return timed_apart([(entry.seed, _machine(found)) for entry, found in _shown_times(entries)], timed)


def _shown_times(entries: list[Entry]) -> list[tuple[Entry, dict[str, Any]]]:
    """What was timed of each model, protocol and variant: of its first seed that has times."""
    shown: dict[tuple[str, str, str], tuple[Entry, dict[str, Any]]] = {}
    for entry in entries:
        found = read_timings(entry.record) if entry.record else {}
        if found:
            shown.setdefault((entry.info.name, entry.protocol.name, entry.variant), (entry, found))
    return list(shown.values())


def _machine(timings: dict[str, Any]) -> str:
    machine = timings["machine"]
    return machine_in_words({"device": machine["device"], "environment": machine, "threads": machine["threads"]})


def _why_empty(entries: list[Entry], way: str, plan: Plan) -> list[str]:
    texts = [*reasons(entries)]
    if plan.card.explanations_fingerprint:
        texts += [text for text in explanation_reasons(entries, plan.card) if text not in texts]
    return [*texts, NOT_TIMED] if is_untimed(entries, way, plan) else texts


def is_untimed(entries: list[Entry], way: str, plan: Plan) -> bool:
    """Whether a model's runs are there and times of a task are not."""
    there = [entry for entry in entries if entry.record]
    return bool(there) and any(first_figures(there, way, task) is None for task in tasks_of(plan))


def _savings(spec: TableSpec, plan: Plan, times: dict[tuple[str, str], list[Cell]]) -> Iterator[Row]:
    """What is saved in percent of the time: words left out either way, and encoding once instead of once a beam."""
    words, bare = spec.timed
    compared = (
        ("Words left out, as released: saved (%)", (words, "plain"), (bare, "plain")),
        ("Words left out, encoded once: saved (%)", (words, "ours"), (bare, "ours")),
        ("Encoded once: saved (%)", (bare, "plain"), (bare, "ours")),
    )
    for title, before, after in compared:
        cells: list[Cell] = []
        pairs = zip(times.get(before, []), times.get(after, []), strict=False)
        shares = [100.0 * (1.0 - b.value / a.value) if a.value and b.value is not None else None for a, b in pairs] or [
            None
        ] * len(tasks_of(plan))
        for share in shares:
            cells += [Cell(), Cell(), Cell(share, digits=1)]
        yield Row("", title, tuple(cells), (), "improvement")


def timing_notes(entries: list[Entry]) -> list[str]:
    """How times were taken."""
    shown = _shown_times(entries)
    found = [content for _, content in shown]
    if not found:
        return []
    users = ", ".join(
        f"{found[0]['users'][task]:,} {name}" for task, name in _ASKED.items() if task in found[0]["users"]
    )
    machines = " and ".join(sorted(set(map(_machine, found))))
    seeds = ", ".join(map(str, sorted({entry.seed for entry, _ in shown})))
    taken = [repeat for each in found for repeats in each["times"].values() for repeat in repeats]
    loads = [repeat["load_average"][0] for repeat in taken]
    shortest = min(repeat["wall"] * repeat.get("passes", 1) for repeat in taken)
    return [
        f"ms: wall milliseconds a user (explanation: a pair), in batches, the median of {REPEATS} repeats by turns "
        f"(the shortest lasted {shortest:.2g} s), warm-up not counted, over {users}; "
        f"more than {UNSTEADY:.0%} between repeats is marked; "
        f"seed: {seeds}; {machines}, no other run of ours beside; load average "
        f"{min(loads):g} to {max(loads):g}."
    ]


def _same_notes(entries: list[Entry]) -> list[str]:
    """How many users got the same list either way, where both search freely."""
    shares: dict[str, list[float]] = {}
    for entry in entries:
        if entry.record:
            for task, share in read_timings(entry.record).get("same", {}).items():
                shares.setdefault(task, []).append(share)
    if not shares:
        return []
    told = ", ".join(f"{_CALLED[task]} {100 * min(shares[task]):.1f} %" for task in _CALLED if task in shares)
    return [f"Users with the same list both ways, where both search freely, at least: {told}; the rest are near-ties."]


def _paper_note(spec: TableSpec) -> list[str]:
    """The paper's seconds, which are of Sports."""
    lines = paper_lines(spec.number, "sports")
    words = {line["task"]: line for line in lines if line["method"] == "continuous+discrete"}
    told = [
        f"{_CALLED[line['task']]} {words[line['task']]['seconds']:,} s with words, {line['seconds']:,} s without "
        f"(-{100 * (1 - line['seconds'] / words[line['task']]['seconds']):.1f} %)"
        for line in lines
        if line["method"] == "continuous"
    ]
    return [f"The paper's Table 6 (Sports, one V100S), decoded as released: {', '.join(told)}."]


def write_times(entries: list[Entry], plan: Plan, path: Path) -> list[Path]:
    """Write what was timed of these entries; returns the path, and writes nothing where nothing was."""
    rows = list(time_rows(entries, plan))
    if not rows and not path.exists():
        return []
    write_text(path, csv_lines(TIME_COLUMNS, rows))
    return [path]


def time_rows(entries: list[Entry], plan: Plan) -> Iterator[dict[str, str]]:
    """One row a run, way and task: medians over repeats, a user (explanations: a pair).

    spread: (largest - smallest) / median of the wall times. encoded_tokens, decoded_tokens: read a user by encoder and
    decoder. same_lists: the share of users whose lists all ways agree in, where all search freely.
    """
    for entry in entries:
        if entry.record is None:
            continue
        for way in entry.info.ways:
            for task in tasks_of(plan):
                found = figures_of(entry.record, way, task)
                if found is None:
                    continue
                yield {
                    "dataset": csv_text(plan.card.name),
                    "preset": csv_text(plan.preset),
                    "protocol": entry.protocol.name,
                    "model": csv_text(entry.info.name),
                    "variant": csv_text(entry.variant),
                    "seed": str(entry.seed),
                    "way": way,
                    "task": task,
                    "users": str(found.users),
                    "repeats": str(found.repeats),
                    "seconds_per_user": f"{found.seconds:.6g}",
                    "cpu_seconds_per_user": f"{found.cpu:.6g}",
                    "users_per_second": f"{1 / found.seconds:.6g}",
                    "spread": f"{found.spread:.4f}",
                    "encoded_tokens": f"{found.encoded:.1f}",
                    "decoded_tokens": f"{found.decoded:.1f}",
                    "peak_mib": f"{found.peak_mib:.0f}",
                    "same_lists": "" if found.same is None else repr(found.same),
                    "unsteady": "" if found.steady else "yes",
                }
