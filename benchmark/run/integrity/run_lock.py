"""One process at a time works on a run directory; the lock is the kernel's, so it vanishes with its process."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from flow_rag_vla.benchmark.command.errors import IncompleteError, UsageError
from flow_rag_vla.benchmark.scoring import run_files


@dataclass(frozen=True)
class _Holder:
    """Who has the lock; for the message alone, the lock itself is on the file's descriptor."""

    pid: int
    host: str
    since: str
    """UTC, ISO 8601."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


@contextmanager
def run_lock(run_dir: Path) -> Iterator[None]:
    """Have ``run_dir`` alone while the block runs.

    Children do not inherit the lock: what a process starts works under its parent's.

    Raises:
        UsageError: another process has it; names that process.
        IncompleteError: nothing can be written there, or its file system has no locks.
    """
    path = run_dir / run_files.LOCK
    if not run_dir.is_dir():  # filelock would make it
        raise IncompleteError(f"incomplete: {run_dir} is gone")
    # A soft lock would outlive a killed process.
    lock = FileLock(path, timeout=0, fallback_to_soft=False, on_acquired=_sign)
    try:
        lock.acquire()
    except Timeout:
        raise UsageError(
            f"{run_dir}: another process is at work on this run ({_holder(path)}); wait for it or stop it"
        ) from None
    except OSError as error:
        raise IncompleteError(f"incomplete: {path} cannot be locked: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


def _sign(descriptor: int) -> None:
    holder = _Holder(os.getpid(), socket.gethostname(), datetime.now(UTC).isoformat(timespec="seconds"))
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, (json.dumps(asdict(holder)) + "\n").encode(), 0)


def _holder(path: Path) -> str:
    try:
        return str(_Holder(**json.loads(path.read_text(encoding="utf-8"))))
    except (OSError, ValueError, TypeError):
        return "it has not said which yet"
