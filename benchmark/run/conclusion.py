"""The end of a run, and of a finished run that is resumed: render stills, score, write the report, show both."""

from __future__ import annotations

import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TextIO

from flow_rag_vla.benchmark.command.console import say
from flow_rag_vla.benchmark.command.errors import IncompleteError
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.score import score_run

STILLS_TIMEOUT_S = 240.0
"""Of rendering; what hangs is given up."""


class Ending:
    """Whether the block that it guards came to its end."""

    complete = False


@contextmanager
def kept_and_said(path: Path, console: TextIO) -> Iterator[Ending]:
    """Errors in the block are said with the command that finishes the run in ``path``; the block then just ends.

    Raises:
        KeyboardInterrupt: after saying so.
    """
    ending, again = Ending(), f"finish it with --resume {path}"
    try:
        yield ending
        ending.complete = True
    except KeyboardInterrupt:
        say(console, f"interrupted; {again}")
        raise
    except (IncompleteError, ValueError, RuntimeError, OSError, LookupError, ArithmeticError) as error:
        traceback.print_exc()
        say(console, f"incomplete: {error} (details: {path / run_files.LOG}); {again}")


def has_stills(run_dir: Path) -> bool:
    """Whether the report has pictures of the scene."""
    return any(run_dir.glob(run_files.PICTURES))


def render_stills(run_dir: Path, console: TextIO) -> None:
    """Render them in a process of their own; a run without them is still a run."""
    say(console, "rendering stills of the scene")
    command = [sys.executable, "-m", "flow_rag_vla.tasks.films.picture", str(run_dir / run_files.FIGURES)]
    with (run_dir / run_files.LOG).open("a") as log:
        try:
            subprocess.run(command, stdout=log, stderr=log, check=True, timeout=STILLS_TIMEOUT_S)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            say(console, f"no stills: {error}")


class Reporter(Protocol):
    """Shows a finished run; handed in by the caller, since results know nothing of reports."""

    def build(self, run_dir: Path) -> Path:
        """Write the report and return its path."""
        ...

    def table(self, run_dir: Path) -> str:
        """The ablation table for a terminal."""
        ...


def conclude(run_dir: Path, reporter: Reporter, console: TextIO) -> None:
    """Write summary, timing and report; say the table and the report's path, and what was dropped in the log, too.

    Raises:
        IncompleteRunError: units are missing.
        ValueError: a file of the run is damaged.
    """

    def tell(notice: str) -> None:
        say(console, notice)
        with (run_dir / run_files.LOG).open("a", encoding="utf-8") as log:
            log.write(notice + "\n")

    score_run(run_dir, tell)
    report = reporter.build(run_dir)
    say(console, "\n" + reporter.table(run_dir) + "\n")
    say(console, str(report))
