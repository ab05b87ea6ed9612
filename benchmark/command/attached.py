"""A child process that ends with its parent, however that ends: no orphan computes on or writes."""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1


def attached(module: str, *arguments: str) -> list[str]:
    """The command that runs ``module`` as a program; to be started by this process, from a thread that stays."""
    return [sys.executable, "-m", __name__, str(os.getpid()), module, *arguments]


def _end_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was quicker
        sys.exit(1)


if __name__ == "__main__":
    _end_with(int(sys.argv[1]))
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
