"""Try settings of a model on validation data alone and print what each reaches.

    python -m benchmarks.tune --dataset beauty --data-dir DIR --model sasrec --try "dropout=0.3;batch_size=512"

Each --try is one set of changes to the preset's settings. Test items are never looked at.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from bench.data.catalog import load_dataset
from bench.efficiency import timed
from bench.models import Context, discover
from bench.progress import ConsoleProgress
from bench.protocols import PROTOCOLS
from bench.runs.execute import training_data
from bench.settings import as_dict, resolve
from bench.splits import make_split


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--preset", default="laptop")
    parser.add_argument("--try", dest="tries", action="append", default=[], help="setting=value;setting=value")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--log", type=Path, help="append one JSON line for each set of changes")
    args = parser.parse_args()
    split = make_split(load_dataset(args.dataset, args.data_dir))
    info = discover().get(args.model)
    training = training_data(split, info.tasks, PROTOCOLS["sound"])
    for text in args.tries or [""]:
        changes = dict(part.split("=", 1) for part in text.split(";") if part)
        settings = resolve(info, args.preset, args.dataset, changes)
        context = Context(args.seed, threads=args.threads, progress=ConsoleProgress(prefix=f"[{text}] "))
        model = info.build(settings)
        with timed() as spent:
            model.fit(training, context)
        scores = {task: v.score(model.rank(v.queries)) for task, v in training.validation.items()}
        curve = [(row["epoch"], round(row["validation"], 5)) for row in context.curve if "validation" in row]
        found = {"dataset": args.dataset, "model": args.model, "preset": args.preset, "changes": changes}
        found |= {"validation": scores, "cpu_s": round(spent.cpu), "wall_s": round(spent.wall), "curve": curve}
        print(json.dumps(found))
        sys.stdout.flush()
        if args.log:
            with args.log.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(found | {"settings": as_dict(settings)}) + "\n")


if __name__ == "__main__":
    main()
