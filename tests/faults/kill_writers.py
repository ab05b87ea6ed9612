"""Kills the row writer and the case store alone at random instants; run by hand, not collected as a test.

    python tests/faults/kill_writers.py [--kills 100] [--seed 0]

``--kills`` of each.  A writer is a forked process that says on a pipe what it has done once that has returned.  The row
writer begins units, appends rows batch by batch, leaves lessons, marks units done and writes the table; killed, it goes
on as a resume does.  The case store adds cases, counts outcomes and episodes, and saves snapshots.  After each kill all
that was acknowledged is there: rows word for word, done units whole, and the store holds exactly the writes that were
acknowledged, or one more that was under way.  Exit code 1 where any of that does not hold.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # a forked process has none of the threads that its parent had

import row_writer
import store_writer

type Ack = Callable[[str], None]


def killed(work: Callable[[Ack], None], after_s: float) -> tuple[list[str], bool]:
    """Fork ``work`` and kill it ``after_s`` later; returns what it acknowledged, and whether it was hit at work."""
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        code = 1
        try:
            os.close(reader)
            work(lambda line: _say(writer, line))
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    since = time.monotonic()
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        left = since + after_s - time.monotonic()
        if left <= 0.0:
            os.kill(pid, signal.SIGKILL)
            break
        time.sleep(min(left, 0.002))
    _, status = os.waitpid(pid, 0)
    with os.fdopen(reader) as said:
        lines = said.read().split("\n")[:-1]
    if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
        raise RuntimeError(f"the writer failed after {lines[-1:]}")
    return lines, os.WIFSIGNALED(status)


def _say(pipe: int, line: str) -> None:
    os.write(pipe, line.encode() + b"\n")


def main() -> int:
    """Kill both; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="of each writer")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    # The threads are libraries' own, which the writers do not use.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="flow_rag_vla_kills_") as folder:
        for name, torment in (("row writer", row_writer.torment), ("case store", store_writer.torment)):
            since, rng = time.monotonic(), random.Random(f"{arguments.seed}/{name}")
            found = torment(killed, Path(folder) / name, rng, arguments.kills)
            faults += found.faults
            took = f"{time.monotonic() - since:.0f} s"
            print(f"{name}: {found.told()}, {took}; faults: {found.faults or 'none'}", flush=True)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
