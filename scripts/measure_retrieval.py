"""What a memory's key finds, against the policy's own embedding: cases of the same hazard, of the same failure?

./isaaclab.sh -p scripts/measure_retrieval.py --sites 24 --scenarios 960 --seed 61

Fills a memory by E1 on layouts of development seeds, and asks it on NEAR, FAR, CONTROL and CLEAN episodes, at the
first decision and after the first alarm.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.command.arguments import CommandParser, add_json_and_log, add_physics_and_device, fields_of
from flow_rag_vla.benchmark.command.errors import ExitCode
from flow_rag_vla.benchmark.command.main import run_command

if TYPE_CHECKING:
    from argparse import Namespace


def _parser() -> CommandParser:
    parser = CommandParser(__doc__)
    parser.add_argument("--task", default="pick_place", help="what is to be done (default pick_place)")
    parser.add_argument("--checkpoint", default="default", help="policy (default: the one that ships)")
    parser.add_argument("--sites", type=int, default=24, help="in one memory (default 24)")
    parser.add_argument("--scenarios", type=int, default=960, help="of E1 (default 960)")
    parser.add_argument("--num_envs", type=int, default=480, help="side by side (default 480)")
    parser.add_argument("--seed", type=int, default=0, help="block of development layouts and sites (default 0)")
    add_physics_and_device(parser)
    add_json_and_log(parser, "outputs/measure_retrieval.log")
    return parser


def _measure(arguments: Namespace) -> ExitCode:
    from flow_rag_vla.benchmark.command.quiet_run import quiet_run
    from flow_rag_vla.benchmark.policies.retrieval.measure import RetrievalRequest, measure_retrieval

    with quiet_run(arguments.log) as console:
        table = measure_retrieval(fields_of(RetrievalRequest, arguments), console)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(table.to_dict(), sort_keys=True) + "\n")
    print(table)
    return ExitCode.DONE


def main(argv: list[str]) -> int:
    """Parse, play, print what was found; returns the exit code."""
    return run_command(_parser(), _measure, argv, files=("json", "log"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
