"""Put what the shards of one benchmark run have done into one run directory; where all is done, score and report it.

./isaaclab.sh -p scripts/merge.py shards/1/* shards/2/* shards/3/* --out runs/whole
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.command.arguments import CommandParser
from flow_rag_vla.benchmark.command.errors import ExitCode, resume_flag, usage_errors
from flow_rag_vla.benchmark.command.main import run_command

if TYPE_CHECKING:
    from argparse import Namespace


def _parser() -> CommandParser:
    parser = CommandParser(__doc__)
    parser.add_argument(
        "shards", type=Path, nargs="+", metavar="DIR", help="what scripts/benchmark.py --shard left behind"
    )
    parser.add_argument("--out", type=Path, required=True, help="the run directory to make")
    return parser


def _merge(arguments: Namespace) -> ExitCode:
    from flow_rag_vla.benchmark.run.integrity.merge_shards import merge_shards

    out: Path = arguments.out
    with usage_errors():
        missing = merge_shards(arguments.shards, out)
    if missing:
        print(
            f"{out}: {len(missing)} units are left (the first is {missing[0]}); go on with scripts/benchmark.py "
            f"{resume_flag(out)}, or with --shard i/N in copies of it"
        )
        return ExitCode.DONE
    from flow_rag_vla.benchmark.run.conclusion import work_on_run
    from flow_rag_vla.benchmark.run.integrity.run_lock import run_lock
    from flow_rag_vla.benchmark.run.resume import conclude_again, reopened
    from flow_rag_vla.reports.reporter import RunReporter

    with usage_errors(), run_lock(out):
        with work_on_run(out) as work:
            reopened(str(out)).barriers().merge_done(lambda unit: True)
        complete = work.complete and conclude_again(out, RunReporter())
    return ExitCode.DONE if complete else ExitCode.INCOMPLETE


def main(argv: list[str]) -> int:
    """Parse, merge, and score where nothing is left; returns the exit code."""
    return run_command(_parser(), _merge, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
