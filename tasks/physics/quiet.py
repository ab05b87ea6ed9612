"""Keeps the chatter of C++ libraries and Warp kernels off the console; it goes to a log file instead."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


def _flush() -> None:
    """Empty Python's buffers, or their text would land on the other side of the switch."""
    sys.stdout.flush()
    sys.stderr.flush()


@contextmanager
def quiet_console(log_path: str | os.PathLike[str]) -> Iterator[TextIO]:
    """Send file descriptors 1 and 2 (hence ``print`` and C ``printf``) to ``log_path``, appending.

    Yields:
        A line-buffered stream to the former stdout, for progress and results.

    The descriptors are restored on exit, so that the traceback of an exception reaches the console.

    Raises:
        OSError: the log cannot be opened; nothing is redirected then.
    """
    path = Path(log_path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _flush()
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    saved = (os.dup(1), os.dup(2))
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    console = os.fdopen(os.dup(saved[0]), "w", buffering=1, encoding="utf-8", errors="replace")
    try:
        yield console
    finally:
        try:
            console.close()  # raises where it is a pipe that nobody reads any more
            _flush()
        finally:
            for descriptor, old in enumerate(saved, start=1):
                os.dup2(old, descriptor)
                os.close(old)
