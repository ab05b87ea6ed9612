"""The real command, in a fork of a process that has imported what it needs: a start takes seconds, not a minute.

What the command starts itself, workers and stills, are processes from scratch as ever.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

ROOT = Path(__file__).parents[2]
_IMPORTED = (
    "flow_rag_vla.benchmark.run.cli",
    "flow_rag_vla.benchmark.run.config",
    "flow_rag_vla.benchmark.run.start",
    "flow_rag_vla.benchmark.run.resume",
    "flow_rag_vla.benchmark.run.waiting_units",
    "flow_rag_vla.reports.build",
    "flow_rag_vla.tasks.physics.presets",
    "flow_rag_vla.tasks.env.manipulation_env",
)


def started(arguments: Sequence[str], console: Path) -> BaseProcess:
    """``scripts/benchmark.py`` with ``arguments``, in a session of its own; what it says is appended to ``console``."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_IMPORTED))
    process = context.Process(target=_run, args=(list(arguments), str(console)))
    process.start()
    return process


def _run(arguments: list[str], console: str) -> None:
    os.setsid()
    said = os.open(console, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(said, 1)
    os.dup2(said, 2)
    os.close(said)
    script = str(ROOT / "scripts/benchmark.py")
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")
