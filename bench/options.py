"""What people type, checked and turned into a record; every mistake is one line."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, get_args

from bench import __version__
from bench.efficiency import cuda_available
from bench.errors import UserError
from bench.protocols import PROTOCOLS, Protocol, with_numbering
from bench.report.specs import TABLES, TableSpec, table
from bench.settings import PRESETS
from bench.shorthands import read_shorthands
from bench.splits import Numbering
from bench.tasks import TASKS, TaskName

SCORED: tuple[str, ...] = (*TASKS, "explanation")
ITEM_TOKENS = ("sentencepiece", "independent")


@dataclass(frozen=True)
class Options:
    """A command.

    action:    "run", "list", "doctor", "score", "export" or "compare".
    datasets:  names or paths.
    protocols: under the numbering asked for; empty for "score" where none was named.
    models:    names; None: all that the tables need.
    numbering: set where it differs from the protocols' own.
    overrides: model -> setting -> text.
    table_overrides: table -> the same, for runs that are that table's own.
    shorthands: setting -> text, for every text model.
    remarks:   choices made for the user, to be said.
    compare:   two results folders.
    memory:    GiB that a training step may take; 0: no limit.
    vectors:   the numbers of prompt vectors of Figure 4; empty: its own.
    """

    action: str
    datasets: tuple[str, ...] = ()
    preset: str = "laptop"
    protocols: tuple[Protocol, ...] = ()
    models: tuple[str, ...] | None = None
    tables: tuple[TableSpec, ...] = ()
    seeds: tuple[int, ...] = (0,)
    data_dir: Path | None = None
    out: Path = Path("results")
    device: str = "cpu"
    threads: int = 1
    jobs: int = 1
    offline: bool = False
    numbering: Numbering | None = None
    overrides: dict[str, dict[str, str]] = field(default_factory=dict)
    table_overrides: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    shorthands: dict[str, str] = field(default_factory=dict)
    dry_run: bool = False
    report_only: bool = False
    force: bool = False
    score: Path | None = None
    task: TaskName = "sequential"
    json: Path | None = None
    export: Path | None = None
    remarks: tuple[str, ...] = ()
    vectors: tuple[str, ...] = ()
    memory: float = 0.0
    compare: tuple[Path, ...] = ()

    def owns(self, spec: TableSpec) -> bool:
        """Whether a table has runs of its own: always, or by settings that are changed for it alone."""
        return spec.own or spec.number in self.table_overrides

    def overrides_of(self, spec: TableSpec | None) -> dict[str, dict[str, str]]:
        """What is changed for the runs of a table; None: for those that tables share."""
        merged = {model: dict(values) for model, values in self.overrides.items()}
        for model, values in self.table_overrides.get(spec.number, {}).items() if spec is not None else ():
            merged.setdefault(model, {}).update(values)
        return merged


class _Parser(argparse.ArgumentParser):
    """Raises UserError where argparse would print its usage and exit."""

    def error(self, message: str) -> NoReturn:
        known = [option for action in self._actions for option in action.option_strings]
        wrong = [word.split("=")[0] for word in message.split() if word.startswith("--")]
        close = get_close_matches(wrong[0], known, n=1, cutoff=0.6) if wrong and "unrecognized" in message else []
        raise UserError(message, "", f"did you mean {close[0]}?" if close else "see --help")


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = _Parser(
        prog="podium",
        allow_abbrev=False,
        description="Regenerate the tables of POD (CIKM 2023): fit what is missing, judge it, write the tables.",
        epilog="exit codes: 0 all asked for is there, 1 some cells failed, 2 wrong usage or input, 130 interrupted",
    )
    add = parser.add_argument
    add("--dataset", metavar="NAME[,NAME]", help="names (see --list) or paths")
    add("--preset", metavar="|".join(PRESETS), help="default: paper where a CUDA device is found, else laptop")
    add("--protocol", metavar="|".join([*PROTOCOLS, "both"]), help="default: both (--score: sound)")
    add("--models", metavar="A,B", help="models to run; default: all that the tables need")
    add("--tables", metavar="1,2", help="tables and figures to write; default: the paper's; leak, audit only if named")
    add("--seeds", default="0", metavar="0,1,2", help="default: %(default)s")
    add("--data-dir", metavar="DIR", type=Path, help="where data sets lie; also PODIUM_DATA")
    add("--out", metavar="DIR", type=Path, default=Path("results"), help="default: %(default)s")
    add("--device", metavar="cpu|cuda", help="default: cuda where there is one")
    add("--threads", metavar="N", help="CPU threads in all; default: all cores")
    add("--jobs", metavar="N", default="1", help="independent runs at a time; threads are shared out; default: 1")
    add("--offline", action="store_true", help="never download")
    add("--item-numbering", metavar="|".join(get_args(Numbering)), help="number items this way under every protocol")
    add("--memory", metavar="GIB", help="of text models: what a training step may take; more is computed in parts")
    text = "change a setting; repeatable; TABLE: before it changes that table's own runs alone"
    add("--set", metavar="[TABLE:]MODEL.SETTING=VALUE", action="append", default=[], help=text)
    add("--backbone", metavar="NAME", help="of text models: t5-small, a folder, scratch:mini, ...; as --set for each")
    add("--item-tokens", metavar="|".join(ITEM_TOKENS), help="of text models: an item as pieces or as one token")
    add("--prompt-vectors", metavar="1,3,10", help="of Figure 4: the numbers K; default: 1,3,5,10,20,50; smoke: 1,3,10")
    add("--templates", metavar="FILE", type=Path, help="prompt templates of text models; see pod/templates.toml")
    add("--force", action="store_true", help="run again what is asked for, although there is a record")
    add("--list", action="store_true", help="show data sets, models, tables and presets")
    add("--dry-run", action="store_true", help="show what is there, what is missing, and how long that takes")
    add("--report-only", action="store_true", help="rebuild the tables from records; needs neither data nor models")
    add("--score", metavar="FILE", type=Path, help="judge a file: user, rank, item; or user, item, explanation")
    add("--task", metavar="|".join(SCORED), default="sequential", help="what --score judges; default: %(default)s")
    add("--json", metavar="FILE", type=Path, help="write what --score finds to a file too")
    add("--export", metavar="DIR", type=Path, help="write the split as CSV, for models outside the suite")
    add("--compare", metavar="DIR", type=Path, nargs=2, help="what moved between two results folders, with tests")
    add("--doctor", action="store_true", help="show the environment")
    add("--version", action="version", version=f"podium {__version__}")
    return parser


def parse(argv: Sequence[str] | None = None) -> Options:
    """Options from words; raises UserError on anything that does not fit."""
    typed = make_parser().parse_args(argv)
    common: dict[str, Any] = {"out": typed.out, "data_dir": typed.data_dir, "offline": typed.offline}
    exclusive = ("list", "doctor", "score", "export", "compare", "report_only", "dry_run")
    actions = [name for name in exclusive if getattr(typed, name)]
    if len(actions) > 1:
        raise UserError(f"--{actions[0]} and --{actions[1]} exclude each other".replace("_", "-"), "", "give one")
    if typed.list or typed.doctor:
        return Options(actions[0], **common)
    if typed.compare:
        return Options("compare", compare=tuple(typed.compare), **common)
    if not typed.dataset:
        raise UserError("which data set?", "--dataset", "give names or paths, or see --list")
    numbering = _choice(typed.item_numbering, get_args(Numbering), "--item-numbering")
    remarks: list[str] = []
    cuda = cuda_available()
    overrides, table_overrides = _overrides(typed.set)
    return Options(
        action=actions[0] if actions and actions[0] in ("score", "export") else "run",
        datasets=_words(typed.dataset, "--dataset"),
        preset=_preset(typed.preset, cuda, remarks),
        protocols=_protocols(typed.protocol or ("sound" if typed.score else "both"), numbering),
        models=_words(typed.models, "--models") if typed.models is not None else None,
        tables=tuple(table(word) for word in _words(typed.tables, "--tables")) if typed.tables else _all_tables(),
        seeds=_seeds(typed.seeds),
        device=_device(typed.device, cuda),
        threads=_number(typed.threads, "--threads", 1) if typed.threads else _cores(),
        jobs=_number(typed.jobs, "--jobs", 1),
        numbering=numbering,
        overrides=overrides,
        table_overrides=table_overrides,
        shorthands=read_shorthands(
            typed.backbone, _choice(typed.item_tokens, ITEM_TOKENS, "--item-tokens"), typed.templates
        ),
        vectors=_vectors(typed.prompt_vectors),
        memory=_gib(typed.memory),
        dry_run=typed.dry_run,
        report_only=typed.report_only,
        force=typed.force,
        score=typed.score,
        task=_choice(typed.task, SCORED, "--task"),
        json=typed.json,
        export=typed.export,
        remarks=() if typed.score or typed.export else tuple(remarks),
        **common,
    )


def _gib(text: str | None) -> float:
    if text is None:
        return 0.0
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise UserError(f"'{text}' is no amount of memory", "--memory", "give GiB, say 2 or 0.5")
    return value


def _vectors(text: str | None) -> tuple[str, ...]:
    where = "--prompt-vectors"
    numbers = {_number(word, where, 0) for word in _words(text, where)} if text is not None else set()
    return tuple(map(str, sorted(numbers)))


def _all_tables() -> tuple[TableSpec, ...]:
    return tuple(TABLES.values())


def _words(text: str, where: str) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    if not words:
        raise UserError("is empty", where, "give at least one, separated by commas")
    return words


def _seeds(text: str) -> tuple[int, ...]:
    """Seeds as typed; a repeated one is refused, since the same bytes again are no second measurement."""
    where = "--seeds"
    _words(text, where)
    seeds = [_number(word.strip(), where, 0) for word in text.split(",") if word.strip()]
    twice = [seed for seed in dict.fromkeys(seeds) if seeds.count(seed) > 1]
    if twice:
        hint = "give each seed once: the same run again measures nothing new"
        raise UserError(f"seed {twice[0]} is given more than once", where, hint)
    return tuple(seeds)


def _choice(text: str | None, choices: Sequence[str], where: str) -> Any:
    if text is None or text in choices:
        return text
    close = get_close_matches(text, choices, n=1, cutoff=0.4)
    hint = f"did you mean '{close[0]}'?" if close else f"choose from {', '.join(choices)}"
    raise UserError(f"unknown choice '{text}'", where, hint)


def _preset(text: str | None, cuda: bool, remarks: list[str]) -> str:
    if text is not None:
        return _choice(text, tuple(PRESETS), "--preset")
    preset, found = ("paper", "a") if cuda else ("laptop", "no")
    remarks.append(f"{found} CUDA device is found: preset {preset} (--preset chooses another)")
    return preset


def _protocols(text: str, numbering: Numbering | None) -> tuple[Protocol, ...]:
    name = _choice(text, (*PROTOCOLS, "both"), "--protocol")
    chosen = PROTOCOLS.values() if name == "both" else [PROTOCOLS[name]]
    return tuple(with_numbering(protocol, numbering) for protocol in chosen)


def _device(text: str | None, cuda: bool) -> str:
    device = _choice(text, ("cpu", "cuda"), "--device") or ("cuda" if cuda else "cpu")
    if device == "cuda" and not cuda:
        raise UserError("no CUDA device that the installed torch can use", "--device", "give --device cpu")
    return device


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _number(text: str, where: str, least: int) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise UserError(f"'{text}' is not a whole number from {least}", where, "give digits")
    return int(text)


def _overrides(texts: Sequence[str]) -> tuple[dict[str, dict[str, str]], dict[str, dict[str, dict[str, str]]]]:
    """(model -> setting -> text, table -> the same for its own runs alone) of MODEL.SETTING=VALUE and
    TABLE:MODEL.SETTING=VALUE.
    """
    found: dict[str, dict[str, str]] = {}
    own: dict[str, dict[str, dict[str, str]]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        number, colon, name = name.rpartition(":")
        model, dot, setting = name.strip().partition(".")
        if not equals or not dot or not model or not setting:
            raise UserError(f"'{text}' has another form", "--set", "give model.setting=value")
        if colon and not (table(number.strip()).own or table(number.strip()).timed):
            shares = f"table {number.strip()} shares its runs with others"
            raise UserError(shares, f"--set {text}", "leave its number out, or name a table with runs of its own")
        into = own.setdefault(number.strip(), {}) if colon else found
        into.setdefault(model, {})[setting] = value.strip()
    return found, own
