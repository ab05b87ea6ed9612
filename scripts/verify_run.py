"""Check a run directory: checksums, plan against rows, pairs of arms, summary and table against what the rows give.

./isaaclab.sh -p scripts/verify_run.py runs/20260101T000000Z_all_0123abcd
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.command.arguments import CommandParser
from flow_rag_vla.benchmark.command.main import run_command

if TYPE_CHECKING:
    from argparse import Namespace

    from flow_rag_vla.benchmark.command.errors import ExitCode


def _parser() -> CommandParser:
    parser = CommandParser(__doc__)
    parser.add_argument("run", type=Path, metavar="DIR", help="what scripts/benchmark.py left behind")
    return parser


def _verify(arguments: Namespace) -> ExitCode:
    from flow_rag_vla.benchmark.run.integrity.verification import verify_run

    verification = verify_run(arguments.run)
    for line in verification.lines():
        print(line)
    return verification.code


def main(argv: list[str]) -> int:
    """Parse, verify, print a line for each thing that is off; returns 0 sound, 3 not finished, 4 damaged."""
    return run_command(_parser(), _verify, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
