"""Twenty users and twenty explanations to look at: what models saw, what they said, and where the truth stood.

Always the same ones, drawn by a fixed seed from the evaluated users and the test pairs, so that runs can be told apart
by eye and nobody has picked them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.report.page.contents import Contents
from bench.report.page.kept import Seen, keep_or_read
from bench.report.page.markup import Child, Html, facts, grid, join, tag
from bench.runs.predictions import EXPLANATIONS
from bench.runs.record import Record

MANY, TOP = 20, 5
_SEED = 20
_LONGEST = 400
_TASKS = {"sequential": "sequential", "topn": "top-N"}


@dataclass(frozen=True)
class _Run:
    """What a run says of the drawn users. ranks: task -> place of the truth by row; lists: task -> row -> item ids."""

    title: str
    ranks: Mapping[str, Mapping[int, int]]
    lists: Mapping[str, Mapping[int, list[str]]]


def drawn(n: int) -> list[int]:
    """The rows, ascending, that are shown of n: always the same; all of them where there are no more than `MANY`."""
    return sorted(np.random.default_rng(_SEED).choice(n, min(n, MANY), replace=False).tolist())


def users_section(contents: Contents) -> Html:
    """The users, folded: history, the held-out item, each model's first items and the place of the truth."""
    records = shown_records(contents)
    rows = drawn(contents.plan.card.evaluated)
    runs = [run for record in records if (run := _run(contents, record, rows)) is not None]
    head = tag("h2", "Twenty users")
    card = contents.plan.card
    known = keep_or_read(contents.split, rows, contents.folder.parent, card.split_fingerprint)
    if not runs:
        said = f"Nothing to show: no run that ranks is here under protocol {contents.protocol}."
        return tag("section", head, tag("p", said, cls="missing"), id="users")
    names = [each for record in records if (each := _names(record, contents)) is not None]
    users = [_user(known.get(row), row, names, runs) for row in rows]
    return tag("section", head, _about(contents, runs, bool(known)), users, id="users")


def shown_records(contents: Contents) -> list[Record]:
    """One run a model: of the tables' plan, under the page's protocol, of the first seed that is there."""
    found: dict[str, Record] = {}
    for entry in contents.plan.entries:
        if entry.record is not None and entry.protocol.name == contents.protocol:
            found.setdefault(entry.info.name, entry.record)
    if not found:  # a report of tables with their own runs
        for entry in contents.entries:
            if entry.record is not None and entry.protocol.name == contents.protocol:
                found.setdefault(f"{entry.info.name} {entry.variant}", entry.record)
    return list(found.values())


def _about(contents: Contents, runs: Sequence[_Run], known: bool) -> Html:
    told = [
        f"Of {contents.plan.card.evaluated:,} evaluated users always the same {MANY}, drawn by a fixed seed; protocol "
        f"{contents.protocol}, one seed a model. Rank: the place of the held-out item in a model's list, "
        "– where it is not listed; top-N ranks 100 candidates, the held-out item among them."
    ]
    if not known:
        told.append("Histories and held-out items need the data: this report was built from records alone.")
    lacking = [run.title for run in runs if not any(run.lists.values())]
    if lacking:
        told.append(f"Without what they recommended, as the copy of the run has no predictions: {', '.join(lacking)}.")
    return tag("p", " ".join(told))


def _names(record: Record, contents: Contents) -> list[str] | None:
    """Source ids of the evaluated users in their order, from the predictions of a run that lists some for each."""
    import pyarrow.parquet as pq

    for task in _TASKS:
        path = record.path / f"predictions-{task}.parquet"
        if path.exists():
            ids = pq.read_table(path, columns=["user"]).column("user").to_pandas().astype(str).drop_duplicates()
            if len(ids) == contents.plan.card.evaluated:
                return ids.tolist()
    return None


def _run(contents: Contents, record: Record, rows: Sequence[int]) -> _Run | None:
    ranks, lists = {}, {}
    names = _names(record, contents)

    def made(task: str) -> dict[str, list[str]] | None:
        """As JSON keeps it: rows are texts."""
        found = {} if names is None else _lists(record, task, [names[row] for row in rows], rows)
        return {str(row): items for row, items in found.items()} or None

    for task in _TASKS:
        if task not in record.content["metrics"]:
            continue
        places = record.per_user(task)["rank"]
        ranks[task] = {row: int(places[row]) for row in rows if row < len(places)}
        kept = contents.shown.of(record, task, partial(made, task)) or {}
        lists[task] = {int(row): list(items) for row, items in kept.items()}
    return _Run(contents.label(record), ranks, lists) if ranks else None


def _lists(record: Record, task: str, users: Sequence[str], rows: Sequence[int]) -> dict[int, list[str]]:
    """The first items that a run lists for each user; empty where its predictions are not here."""
    import pyarrow.parquet as pq

    path = record.path / f"predictions-{task}.parquet"
    if not path.exists():
        return {}
    frame = pq.read_table(path, columns=["user", "rank", "item"], filters=[("rank", "<=", TOP)]).to_pandas()
    frame["user"], frame["item"] = frame["user"].astype(str), frame["item"].astype(str)
    kept = frame[frame["user"].isin(users)].sort_values("rank")
    by_user = {str(user): part["item"].tolist() for user, part in kept.groupby("user")}
    return {row: by_user.get(user, []) for row, user in zip(rows, users, strict=True)}


def _user(seen: Seen | None, row: int, names: Sequence[Sequence[str]], runs: Sequence[_Run]) -> Html:
    name = names[0][row] if names else f"number {row} of the evaluated"
    truth = ""
    if seen is not None:
        name, truth = seen.user, seen.truth
    tasks = [task for task in _TASKS if any(task in run.ranks for run in runs)]
    listed = {task: any(run.lists.get(task) for run in runs) for task in tasks}
    head = ["model"]
    for task in tasks:
        head += [f"{_TASKS[task]} rank", f"{_TASKS[task]}: first {TOP}"] if listed[task] else [f"{_TASKS[task]} rank"]
    numbers = [at for at, text in enumerate(head) if text.endswith("rank")]
    body = [[run.title, *_answers(run, row, tasks, listed, truth)] for run in runs]
    about: list[Child] = []
    if seen is not None:
        older = f"{seen.older} older, " if seen.older else ""
        about = [facts([("History, latest last", older + ", ".join(seen.before)), ("Held out", tag("mark", truth))])]
    table = grid(head, body, f"What was recommended to user {name}", numbers=numbers)
    return tag("details", tag("summary", f"User {name}"), about, table)


def _answers(run: _Run, row: int, tasks: Sequence[str], listed: Mapping[str, bool], truth: str) -> list[Child]:
    cells: list[Child] = []
    for task in tasks:
        place = run.ranks.get(task, {}).get(row)
        cells.append("not asked" if place is None else str(place) if place else "–")
        if listed[task]:
            items = run.lists.get(task, {}).get(row)
            cells.append("no predictions here" if items is None else _items(items, truth))
    return cells


def _items(items: Iterable[str], truth: str) -> Child:
    shown: list[Child] = [tag("mark", item) if item == truth else item for item in items]
    return join(shown, ", ") or "nothing"


def explanations_section(contents: Contents) -> Html | None:
    """The pairs with each model's sentence beside the reference; None where no run explains."""
    explaining = [r for r in shown_records(contents) if "explanation" in r.metrics or _tasks_hold(r, "explanation")]
    if not explaining:
        return None
    head = tag("h2", "Twenty explanations")
    said = {contents.label(r): contents.shown.of(r, "explanation", partial(_sentences, r.path)) for r in explaining}
    absent = [title for title, told in said.items() if told is None]
    lacking = f"No sentences in the copy of these runs: {', '.join(absent)}." if absent else ""
    tables = {title: told for title, told in said.items() if told is not None}
    if not tables:
        return tag("section", head, tag("p", f"Nothing to show. {lacking}", cls="missing"), id="explanations")
    first = next(iter(tables.values()))
    about = (
        f"Of {first['n']:,} test pairs always the same {MANY}, drawn by a fixed seed; protocol {contents.protocol}, "
        f"one seed a model; sentences as the models wrote them, before they are cut for judging. {lacking}"
    )
    by_pair = {
        title: {(u, i): (text, wanted) for u, i, text, wanted in told["pairs"]} for title, told in tables.items()
    }
    shown = [_pair((user, item), by_pair) for user, item, *_ in first["pairs"]]
    return tag("section", head, tag("p", about), shown, id="explanations")


def _tasks_hold(record: Record, task: str) -> bool:
    identity: Mapping[str, Any] = record.content["identity"]
    return task in identity.get("tasks", ())


def _sentences(folder: Path) -> dict[str, Any] | None:
    """How many pairs a run explained; user, item, sentence and reference of the drawn ones; None without its file."""
    import pyarrow.parquet as pq

    if not (folder / EXPLANATIONS).exists():
        return None
    names = ("user", "item", "explanation", "reference")
    columns = pq.read_table(folder / EXPLANATIONS, columns=list(names)).to_pydict()
    n = len(columns["user"])
    rows = [[columns[name][row] for name in names] for row in drawn(n)]
    return {"n": n, "pairs": [[str(user), str(item), text, wanted] for user, item, text, wanted in rows]}


def _pair(pair: tuple[str, str], tables: Mapping[str, Mapping[tuple[str, str], tuple[str, str]]]) -> Html:
    reference = next(table[pair][1] for table in tables.values() if pair in table)
    rows: list[list[Child]] = [["reference", tag("em", _cut(reference))]]
    for title, table in tables.items():
        rows.append([title, _cut(table[pair][0]) if pair in table else "not asked"])
    title = f"User {pair[0]}, item {pair[1]}"
    return tag("details", tag("summary", title), grid(("model", "sentence"), rows, title))


def _cut(text: str | None) -> str:
    text = text or "(nothing)"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} … ({len(text):,} characters)"
