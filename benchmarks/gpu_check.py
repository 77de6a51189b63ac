"""Does everything work on this machine's CUDA card, and how fast: one command, one report.

    python -m benchmarks.gpu_check [--minutes 8] [--json gpu_check.json] [--golden DIR] [--rehearse] [--device DEVICE]

It needs torch, transformers, numpy, pandas and matplotlib, and neither data nor network. First a step's loss and
gradients, every search, a killed and resumed fit and running out of memory are held to the CPU; with --golden to the
authors' own code too. Then Tables 5 and 6 in small, at T5-small's and T5-base's shapes from scratch, on a generated
shop of Sports' size, in float32 and bfloat16: medians of several rounds with the clocks synchronised; a spread above
20 % is marked with a star. "share of peak": operations of a step's multiplications by the rate of a large product in
the same numbers. "device ms": between CUDA events; "cpu ms" near "ms": the CPU does not keep up.

Every part runs for itself: one that fails costs no other. What the time left does not suffice for is skipped, and
named. --rehearse: the same code with tiny shapes, on the CPU where no --device is given. The number of failed checks is
the exit status; 2 also where there is no such device.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import types
import warnings
from pathlib import Path
from typing import Any

from benchmarks.gpu_report import Report

# Packages of the project that nothing here calls, but modules import.
_SPARE = ("orjson", "sentencepiece")


def modules() -> Any:
    """The parts of this check, imported with empty modules in the place of packages that are missing and not needed."""
    import transformers  # noqa: F401 - looks for such packages itself: before they are stood in for

    missing = [name for name in _SPARE if importlib.util.find_spec(name) is None]
    for name in missing:
        sys.modules[name] = types.ModuleType(name)
    if "orjson" in missing:
        sys.modules["orjson"].__dict__["loads"] = json.loads
    try:
        from benchmarks import gpu_golden, gpu_parity, gpu_tables, gpu_world
    finally:
        for name in missing:
            del sys.modules[name]
    return types.SimpleNamespace(golden=gpu_golden, parity=gpu_parity, tables=gpu_tables, world=gpu_world)


def described(device: str) -> dict[str, Any]:
    """What made the numbers."""
    import torch
    import transformers

    from bench.efficiency import processor

    found = {
        "device": processor(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": sys.version.split()[0],
        "float32 products": torch.get_float32_matmul_precision(),
    }
    if torch.device(device).type == "cuda":
        card = torch.cuda.get_device_properties(0)
        found |= {
            "device": card.name,
            "capability": f"{card.major}.{card.minor}",
            "memory GiB": round(card.total_memory / 2**30, 1),
            "multiprocessors": card.multi_processor_count,
            "CUDA": torch.version.cuda,
            "host": processor(),
        }
    return found


def check(report: Report, device: str, rehearse: bool, golden: Path | None) -> None:
    """Every part, what matters most first. Seconds are guesses for an H100, to skip by."""
    parts = modules()
    scale = parts.world.REHEARSAL if rehearse else parts.world.SPORTS
    world = parts.world.World(device, scale, report)
    report.facts.update(described(device), rehearsal=rehearse)
    report.say(", ".join(f"{name} {value}" for name, value in report.facts.items()))
    report.save()
    for name in ("losses", "searches", "memory", "whole"):
        report.part(name, 0 if rehearse else 20, lambda name=name: getattr(parts.parity, name)(world))
    if golden is not None:
        report.part("golden", 5, lambda: parts.golden.golden(world, golden))
    report.part("matrix product", 0, lambda: parts.tables.peaks(world))
    for size in scale.sizes:
        cost = 0 if rehearse else 25 if size == "small" else 40
        for table in ("training", "inference"):
            for numbers in ("fp32", "bf16"):
                work = getattr(parts.tables, table)
                report.part(
                    f"{table}, {size}, {numbers}",
                    cost,
                    lambda work=work, size=size, numbers=numbers: work(world, size, numbers),
                )


def main(arguments: list[str] | None = None) -> int:
    """Print progress, tables and verdicts; the number of failed checks is the exit status, 2 without a device."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--json", type=Path, metavar="FILE", default=Path("gpu_check.json"))
    parser.add_argument("--golden", type=Path, metavar="DIR", help="the folder of the golden files")
    parser.add_argument("--rehearse", action="store_true", help="tiny shapes, a few seconds")
    parser.add_argument("--device", choices=["cuda", "cpu"])
    args = parser.parse_args(arguments)
    device = args.device or ("cpu" if args.rehearse else "cuda")
    report = Report(args.minutes, args.json)
    try:
        import torch
    except ImportError:
        print("no torch on this machine: install it first", file=sys.stderr)
        return 2
    if device == "cuda" and not torch.cuda.is_available():
        print("no CUDA device here: run on a machine with one, or give --rehearse", file=sys.stderr)
        return 2
    if device == "cpu":
        warnings.filterwarnings("ignore", message=".*CUDA is not available.*")
    if args.golden is not None and not (args.golden / "cases.json").is_file():
        print(f"--golden: no cases.json in {args.golden}; give the folder of the golden files", file=sys.stderr)
        return 2
    check(report, device, args.rehearse, args.golden)
    report.save()
    report.show()
    return min(report.failed, 100)


if __name__ == "__main__":
    sys.exit(main())
