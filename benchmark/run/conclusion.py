"""The end of a run, and of a finished run that is resumed: render stills, score, write the report, show both.

And how a run ends that breaks off: one line says why and what finishes it.
"""

from __future__ import annotations

import subprocess
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TextIO

from flow_rag_vla.benchmark.command.atomic_files import write_json_atomic
from flow_rag_vla.benchmark.command.attached import attached
from flow_rag_vla.benchmark.command.console import say
from flow_rag_vla.benchmark.command.errors import IncompleteError, in_one_line, resume_flag
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.score import score_run
from flow_rag_vla.tasks.physics.quiet import quiet_console

STILLS_TIMEOUT_S = 240.0
"""Of rendering; what hangs is given up."""
_RESULTS = (run_files.REPORT_HTML, run_files.REPORT_MARKDOWN, run_files.SUMMARY, run_files.MERGED_EPISODES)


def has_stills(run_dir: Path) -> bool:
    """Whether somebody has taken the stills of the run's episodes, or seen that there are none."""
    return (run_dir / run_files.STILLS).is_file()


def is_concluded(run_dir: Path) -> bool:
    """Whether the run's results stand there; the report's page is the last file that is written."""
    return all((run_dir / name).is_file() for name in (*_RESULTS, run_files.TIMING))


def withdraw_results(run_dir: Path) -> None:
    """Remove results of rows that are about to change; nobody shall take them for the run's."""
    for name in _RESULTS:
        (run_dir / name).unlink(missing_ok=True)
    (run_dir / run_files.GAPS).unlink(missing_ok=True)


def keep_gaps(run_dir: Path, given_up: Mapping[str, str], waiting: Iterable[str]) -> None:
    """Note the units that were ``given_up``, id to why, and those ``waiting`` for them: results name them as gaps."""
    gaps = dict.fromkeys(waiting, "waits for units that were given up")
    write_json_atomic(run_dir / run_files.GAPS, gaps | dict(given_up))


def render_stills(run_dir: Path, console: TextIO) -> None:
    """Render them in a process of their own; a run without them is still a run."""
    say(console, "playing the commonest repeated failure again for its stills")
    command = attached("flow_rag_vla.benchmark.films.stills", str(run_dir))
    with (run_dir / run_files.LOG).open("a") as log:
        try:
            subprocess.run(command, stdout=log, stderr=log, check=True, timeout=STILLS_TIMEOUT_S)
        except subprocess.CalledProcessError as error:
            say(console, f"no stills: their process ended with code {error.returncode} (details: {log.name})")
        except subprocess.TimeoutExpired:
            say(console, f"no stills: not taken after {STILLS_TIMEOUT_S:.0f} s")


def say_and_log(run_dir: Path, console: TextIO, notice: str) -> None:
    """A line on the console and in the run's log."""
    say(console, notice)
    with (run_dir / run_files.LOG).open("a", encoding="utf-8") as log:
        log.write(notice + "\n")


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
    score_run(run_dir, lambda notice: say_and_log(run_dir, console, notice))
    report = reporter.build(run_dir)
    say(console, "\n" + reporter.table(run_dir) + "\n")
    say(console, str(report))


@dataclass
class Work:
    """Work on a run's files, with a console; everything else that is printed goes to the run's log."""

    console: TextIO
    complete: bool = False
    """Whether the work came to its end."""


@contextmanager
def work_on_run(run_dir: Path) -> Iterator[Work]:
    """Errors in the block are said with the command that finishes the run in ``run_dir``; the block then just ends.

    Raises:
        IncompleteError: there can be no log, or nobody reads the console any more.
        KeyboardInterrupt: the user's, said on the console.
    """
    log, again = run_dir / run_files.LOG, f"finish it with {resume_flag(run_dir)}"
    try:
        with quiet_console(log) as console:
            work = Work(console)
            try:
                yield work
                work.complete = True
            except KeyboardInterrupt:
                with suppress(OSError):  # a terminal that has closed
                    say(console, f"interrupted; {again}")
                raise
            except Exception as error:  # the boundary: a run of hours owes its user the way to go on, whatever broke
                with suppress(OSError):  # the log's disk may be what is full
                    traceback.print_exc()
                _say_broken(console, f"incomplete: {in_one_line(error)} (details: {log}); {again}")
    except OSError as error:
        raise IncompleteError(f"incomplete: {in_one_line(error)}; {again}") from error


def _say_broken(console: TextIO, line: str) -> None:
    try:
        say(console, line)
    except OSError as error:  # then it goes to stderr
        raise IncompleteError(line) from error
