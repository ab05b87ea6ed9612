"""Put finished benchmark runs that differ in the number of scenarios alone beside one another.

./isaaclab.sh -p scripts/compare_memory_sizes.py runs/SMALL runs/LARGER runs/LARGEST --out outputs/memory_sizes

Prints whether the gain falls and the harm rises as the memory grows, and a Markdown table; --out gets a page.
"""

from __future__ import annotations

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.command.arguments import CommandParser
from flow_rag_vla.benchmark.command.errors import ExitCode
from flow_rag_vla.benchmark.command.main import run_command

if TYPE_CHECKING:
    from argparse import Namespace


def _parser() -> CommandParser:
    parser = CommandParser(__doc__)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="what scripts/benchmark.py left behind")
    parser.add_argument("--out", type=Path, default=Path("outputs/memory_sizes"), help="folder of the page")
    parser.add_argument("--json", type=Path, help="write the numbers into this file")
    return parser


def _compare(arguments: Namespace, command: str) -> ExitCode:
    from flow_rag_vla.benchmark.command.atomic_files import write_json_atomic
    from flow_rag_vla.benchmark.policies.growth.memory_growth import memory_growth
    from flow_rag_vla.benchmark.policies.growth.sized_runs import read_sized_runs
    from flow_rag_vla.reports.markdown import markdown_table
    from flow_rag_vla.reports.memory_growth import build_growth_page, sentence, sizes

    runs = read_sized_runs(arguments.runs)
    growth = memory_growth(runs)
    page = build_growth_page(growth, [run.results for run in runs], arguments.out, command)
    if arguments.json is not None:
        write_json_atomic(arguments.json, growth)
    print(sentence(growth), *growth.differences, "", markdown_table(sizes(growth)), "", page, sep="\n")
    return ExitCode.DONE


def main(argv: list[str]) -> int:
    """Parse, read, compare, print the answer, the table and the page's path; returns the exit code."""
    command = shlex.join(["./isaaclab.sh", "-p", "scripts/compare_memory_sizes.py", *argv])
    return run_command(_parser(), partial(_compare, command=command), argv, files=("json",), folders=("out",))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
