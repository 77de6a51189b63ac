"""What there is: data sets, models, tables, presets; and what this machine has."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from bench import __version__
from bench.data.catalog import DATA_VARIABLE, DATASETS, CatalogEntry, detect_format
from bench.efficiency import cuda_available, environment
from bench.errors import UserError
from bench.models import ModelInfo, Registry
from bench.report.inert import plain
from bench.report.published import paper_title
from bench.report.specs import EXTRA_TABLES, TABLES, TableSpec
from bench.runs.plan import DatasetCard, read_card
from bench.runs.workspace import card_path
from bench.settings import PRESETS, documented


def listing(registry: Registry) -> str:
    """Data sets, models with what they need and lack, tables and presets."""
    lines = ["data sets:"]
    lines += [f"  {entry.name:<18}{entry.description}" for entry in DATASETS.values()]
    lines += [f"  {'PATH':<18}a folder or file in one of the formats that README.md describes", "", "models:"]
    lines += [line for info in registry.models.values() for line in _model(info)]
    lines += [f"  cannot be loaded: {name} ({plain(reason)})" for name, reason in registry.broken.items()]
    lines += ["", "tables:"]
    lines += [line for spec in (*TABLES.values(), *EXTRA_TABLES.values()) for line in _table(spec, registry)]
    lines += ["", "presets:", *(f"  {name:<18}{text}" for name, text in PRESETS.items())]
    return "\n".join(lines) + "\n"


def _model(info: ModelInfo) -> list[str]:
    facts = [f"{info.family}; {', '.join(info.tasks)}"]
    if info.paper:
        facts.append(info.paper)
    if info.needs:
        facts.append(f"needs item {', '.join(info.needs)}")
    missing = info.missing_packages()
    if missing:
        facts.append(f"MISSING package {', '.join(missing)}")
    elif info.requires:
        facts.append(f"uses {', '.join(info.requires)}")
    settings = ", ".join(f"{name}={value}" for name, value in documented(info.settings))
    lines = [f"  {info.name:<18}{plain(info.title)} ({'; '.join(map(plain, facts))})"]
    return [*lines, f"  {'':<18}settings: {plain(settings)}"] if settings else lines


def _table(spec: TableSpec, registry: Registry) -> list[str]:
    lines = [f"  {spec.number:<18}{spec.caption}{': ' + ', '.join(spec.metrics) if spec.metrics else ''}"]
    if spec.numberings:
        runs = f"{', '.join(spec.models)} under item numbers {', '.join(spec.numberings)}"
        lines.append(f"  {'':<18}not among those written by default: --tables {spec.number}; runs {runs}")
    if spec.variants:
        values = ", ".join(spec.variants.values)
        lines.append(f"  {'':<18}runs {spec.variants.model} with {spec.variants.setting} {values}")
    if spec.on_request:
        lines.append(f"  {'':<18}with a row only if --models names them: {', '.join(spec.on_request)}")
    absent = [paper_title(name) or name for name in spec.paper if name not in registry.models]
    return [*lines, f"  {'':<18}not in this version: {', '.join(absent)}"] if absent else lines


def doctor(registry: Registry, out: Path, data_dir: Path | None) -> str:
    """Versions, processor, memory, disk, CUDA, packages that models lack, and where data sets are."""
    facts = {"podium": __version__, **environment()}
    facts["cuda"] = "a device is found" if cuda_available() else "no device that the installed torch can use"
    facts["memory"] = _memory()
    facts["disk"] = _disk(out)
    facts["threads"] = os.environ.get("OMP_NUM_THREADS", "OMP_NUM_THREADS is not set")
    folder = data_dir or (Path(os.environ[DATA_VARIABLE]) if os.environ.get(DATA_VARIABLE) else None)
    facts["data folder"] = str(folder) if folder else f"none: give --data-dir or {DATA_VARIABLE}"
    lines = [f"{name:<18}{plain(value)}" for name, value in facts.items()]
    lines += ["", "data sets:"]
    lines += [f"  {entry.name:<18}{plain(_whereabouts(entry, folder))}" for entry in DATASETS.values()]
    lacking = {info.name: info.missing_packages() for info in registry.models.values()}
    lines += ["", "models:"]
    lines += [f"  {name:<18}needs {', '.join(missing)}" for name, missing in lacking.items() if missing]
    lines += [f"  {name:<18}cannot be loaded: {plain(reason)}" for name, reason in registry.broken.items()]
    if lines[-1] == "models:":
        lines.append(f"  all {len(lacking)} can be run")
    return "\n".join([*lines, "", *_results(out)]) + "\n"


def _memory() -> str:
    import psutil

    memory = psutil.virtual_memory()
    return f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB available"


def _disk(out: Path) -> str:
    there = next(path for path in (out.resolve(), *out.resolve().parents) if path.exists())
    return f"{shutil.disk_usage(there).free / 2**30:.1f} GiB free for {out}"


def _whereabouts(entry: CatalogEntry, folder: Path | None) -> str:
    from bench.data.download import cached_file

    if entry.name == "demo":
        return "generated"
    try:
        found = detect_format(folder / entry.name, entry.review_file) if folder else None
    except UserError:
        found = None
    if found:
        return f"{found[0]} format, {found[1]}"
    if entry.review_file is None:
        return "shipped with RecBole" if importlib.util.find_spec("recbole") else "needs the package recbole"
    cached = cached_file(entry.name, entry.review_file)
    return str(cached) if cached else f"not here; {entry.review_file} would be downloaded"


def _results(out: Path) -> list[str]:
    cards = sorted(path.parent.name for path in out.glob("*/dataset.json"))
    lines = [f"results in {out}:", *(f"  {plain(_result(out, name))}" for name in cards)]
    return lines if cards else [f"results in {out}: none"]


def _result(out: Path, name: str) -> str:
    try:
        card: DatasetCard = read_card(card_path(out, name))
    except UserError as error:
        return str(error)
    presets = sorted(path.parent.name for path in (out / name).glob("*/runs"))
    return f"{name:<18}fingerprint {card.fingerprint}; presets {', '.join(presets) or 'none yet'}"
