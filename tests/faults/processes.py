"""Processes of a run that is killed: who belongs to it, who of them is killed, and how long the others outlive them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

import psutil

WORKER = "flow_rag_vla.benchmark.run.worker"
"""Stands in the command line of a run's workers."""


def family(pid: int) -> list[psutil.Process]:
    """Process ``pid`` and all that descend from it; empty where it has ended."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def workers(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Those that run units."""
    found = []
    for process in processes:
        with suppress(psutil.Error):
            if WORKER in process.cmdline():
                found.append(process)
    return found


def mentioning(text: str) -> list[psutil.Process]:
    """All processes in whose command line ``text`` stands."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(text in argument for argument in process.cmdline()):
                found.append(process)
    return found


def kill(processes: Sequence[psutil.Process]) -> None:
    """SIGKILL each."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def seconds_until_gone(processes: Sequence[psutil.Process], within_s: float) -> float:
    """How long it takes until none of ``processes`` runs any more.

    Raises:
        TimeoutError: one still does after ``within_s``; names it.
    """
    since = time.monotonic()
    while alive := [process for process in processes if _runs(process)]:
        if time.monotonic() - since > within_s:
            kill(alive)
            raise TimeoutError(f"after {within_s:.0f} s there still ran {', '.join(str(process) for process in alive)}")
        time.sleep(0.01)
    return time.monotonic() - since


def _runs(process: psutil.Process) -> bool:
    """A zombie has ended; whoever started it has not asked how."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
