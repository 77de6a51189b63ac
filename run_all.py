"""The command people type: options -> plan -> run -> report."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bench.errors import UserError
from bench.options import Options, parse
from bench.progress import ConsoleProgress


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out a command; returns the exit code."""
    try:
        return carry_out(parse(argv))
    except UserError as error:
        sys.stderr.write(f"podium: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("podium: interrupted; finished runs are kept, the same command resumes\n")
        return 130


def carry_out(options: Options) -> int:
    """Do what the options say."""
    from bench import cli
    from bench.models import discover

    registry = discover()
    progress = ConsoleProgress()
    for remark in options.remarks:
        progress.line(remark)
    cli.check_names(options, registry)
    cli.need_cards(options)
    works = cli.lay_out(options, registry)
    outcomes = []
    if not options.report_only:
        for work in works:
            outcomes += cli.run_plan(work, options, progress)
    for work in works:
        for text in cli.report(work, options, registry):
            sys.stdout.write(text + "\n")
    return cli.exit_code(works, outcomes, options)


if __name__ == "__main__":
    sys.exit(main())
