"""The command people type: options -> plan -> run -> report."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Sequence

from bench.errors import UserError
from bench.options import Options, parse
from bench.progress import ConsoleProgress


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out a command. Returns 0, 1 where cells are missing, 2 on a mistake, 130 when interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without a character shows its code
            stream.reconfigure(errors="backslashreplace")
    try:
        code = carry_out(parse(argv))
        sys.stdout.flush()
        return code
    except UserError as error:
        return complain(str(error), 2)
    except KeyboardInterrupt:
        return complain("interrupted; finished runs are kept, and the same command goes on where it stopped", 130)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return complain(f"{error.filename or 'a file'}: {error.strerror or error}", 2)


def carry_out(options: Options) -> int:
    """Do what the options say."""
    from bench import cli, listing, reporting
    from bench.models import discover

    registry, progress = discover(), ConsoleProgress()
    if options.action == "list":
        return show(listing.listing(registry))
    if options.action == "doctor":
        return show(listing.doctor(registry, options.out, options.data_dir))
    if options.action == "compare":
        return show(cli.compare_results(options))
    for remark in (*options.remarks, *(f"{name} is left out: {why}" for name, why in registry.broken.items())):
        progress.line(remark)
    if options.action in ("score", "export"):
        return show((cli.score if options.action == "score" else cli.export)(options, progress))
    options = cli.check_names(options, registry)
    works = cli.lay_out(options, registry, progress)
    if options.dry_run:
        return show(*(cli.dry_run(work, options) for work in works))
    outcomes = []
    if not options.report_only:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        for work in works:
            outcomes += cli.run_plan(work, options, progress)
    for work in works:
        show(*reporting.report(work, options, registry))
    return cli.exit_code(works, outcomes, options)


def show(*texts: str) -> int:
    """Write results to stdout, a blank line between them."""
    sys.stdout.write("\n".join(texts))
    return 0


def complain(text: str, code: int) -> int:
    """One line on stderr, and the exit code."""
    sys.stderr.write(f"podium: {text}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
