"""Several jobs at a time, each in a process of its own: one that dies takes no other with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, TextIO, cast

from bench.progress import ConsoleProgress, Progress
from bench.runs.identity import Job
from bench.runs.record import Unwritable

Result = Any
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class _PlainStream:
    """A stream that claims to be no terminal: bars of several processes would overwrite each other."""

    def __init__(self, stream: TextIO) -> None:
        self.write, self.flush = stream.write, stream.flush

    def isatty(self) -> bool:
        return False


def run_in_processes(
    jobs: Sequence[Job],
    work: Callable[[Job, Progress], Result],
    died: Callable[[Job, str], Result],
    ended: Callable[[Result], None],
    *,
    processes: int,
    threads: int,
    loud: bool,
) -> list[Result]:
    """Results of `work` on each job, `processes` at a time, in the order in which they end.

    work:  a picklable function, called in a new process.
    died:  makes the result of a job whose process ended without one, from the reason.
    ended: called with every result.
    loud:  whether the processes report, in plain lines, each with its job's name.
    Raises Unwritable as soon as one process does; the others are then ended.
    """
    waiting, running = deque(jobs), {}
    results = []
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                job = waiting.popleft()
                process, connection = _start(work, job, threads, loud)
                running[process.sentinel] = (process, connection, job)
            for sentinel in wait(list(running)):
                process, connection, job = running.pop(cast(int, sentinel))
                process.join()
                result = _received(connection)
                if isinstance(result, Unwritable):
                    raise result
                results.append(result if result is not None else died(job, _cause(process)))
                ended(results[-1])
    finally:
        for process, _, _ in running.values():
            process.terminate()
        for process, _, _ in running.values():
            process.join()
    return results


def _start(
    work: Callable[[Job, Progress], Result], job: Job, threads: int, loud: bool
) -> tuple[SpawnProcess, Connection]:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, os.getpid(), work, job, loud), name=job.folder)
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, str(threads)))
    try:
        process.start()
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
    sender.close()
    return process, receiver


def _child(sender: Connection, parent: int, work: Callable[[Job, Progress], Result], job: Job, loud: bool) -> None:
    # The parent ends its children itself; without it, going on would only waste the machine.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    stream = cast(TextIO, _PlainStream(sys.stderr))
    progress = ConsoleProgress(stream, f"[{job.info.name} s{job.seed}] ") if loud else Progress()
    try:
        result = work(job, progress)
    except Unwritable as error:
        result = error
    sender.send(result)
    sender.close()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _received(connection: Connection) -> Result:
    try:
        return connection.recv() if connection.poll() else None
    except EOFError:
        return None
    finally:
        connection.close()


def _cause(process: SpawnProcess) -> str:
    code = process.exitcode or 0
    if code == -signal.SIGKILL:
        return "its process was killed, perhaps for want of memory"
    return f"its process ended with {'signal' if code < 0 else 'code'} {abs(code)}"
