"""Put what the shards of one benchmark run have done into one run directory; where all is done, score and report it.

./isaaclab.sh -p scripts/merge.py shards/1/* shards/2/* shards/3/* --out runs/whole

Called again after it was cut off, it does what is missing.
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
    parser.add_argument(
        "shards", type=Path, nargs="+", metavar="DIR", help="what scripts/benchmark.py --shard left behind"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="directory to make, or one that these shards were merged into",
    )
    return parser


def _merge(arguments: Namespace) -> ExitCode:
    from flow_rag_vla.benchmark.run.integrity.merge_shards import merge_shards
    from flow_rag_vla.benchmark.run.resume import conclude_merged
    from flow_rag_vla.reports.reporter import RunReporter

    out: Path = arguments.out
    with usage_errors():
        merged = merge_shards(arguments.shards, out)
        if merged.before:
            print(f"{out}: these shards are merged there already")
        return conclude_merged(out, RunReporter(), merged)


def main(argv: list[str]) -> int:
    """Parse, merge, and score where nothing is left; returns the exit code."""
    return run_command(_parser(), _merge, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
