"""Rebuild summary, timing and report of a benchmark's run directory, also of one that an earlier version made.

./isaaclab.sh -p scripts/report.py runs/20260101T000000Z_all_0123abcd
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.command.arguments import CommandParser
from flow_rag_vla.benchmark.command.errors import ExitCode, usage_errors
from flow_rag_vla.benchmark.command.main import run_command

if TYPE_CHECKING:
    from argparse import Namespace


def _parser() -> CommandParser:
    parser = CommandParser(__doc__)
    parser.add_argument("run", type=Path, metavar="DIR", help="what scripts/benchmark.py left behind")
    return parser


def _report(arguments: Namespace) -> ExitCode:
    from flow_rag_vla.benchmark.run.conclusion import conclude
    from flow_rag_vla.benchmark.run.integrity.run_lock import run_lock
    from flow_rag_vla.benchmark.run.integrity.unfinished_writes import remove_unfinished_writes
    from flow_rag_vla.benchmark.scoring.score import require_run
    from flow_rag_vla.reports.reporter import RunReporter

    require_run(arguments.run)
    with usage_errors(OSError), run_lock(arguments.run):
        remove_unfinished_writes(arguments.run)
        conclude(arguments.run, RunReporter(), sys.stdout)
    return ExitCode.DONE


def main(argv: list[str]) -> int:
    """Parse, score, report, print the table and the report's path; returns the exit code."""
    return run_command(_parser(), _report, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
