"""Success and cost of flow policies by network, evaluations, executed chunk and task, on development layouts.

./isaaclab.sh -p scripts/policy_table.py --networks default=agents/checkpoints/franka.safetensors --num_envs 256
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentTypeError
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.command.arguments import CommandParser, add_json_and_log, comma_list
from flow_rag_vla.benchmark.command.errors import ExitCode
from flow_rag_vla.benchmark.command.main import run_command

if TYPE_CHECKING:
    from argparse import Namespace


def _network(text: str) -> tuple[str, Path]:
    name, found, path = text.partition("=")
    if not found or not name or not path:
        raise ArgumentTypeError(f"{text!r}: expected NAME=FILE")
    return name, Path(path)


def _parser() -> CommandParser:
    parser = CommandParser(__doc__)
    parser.add_argument("--networks", type=_network, nargs="+", required=True, metavar="NAME=FILE")
    parser.add_argument("--task", default="all", help="a task, or all")
    parser.add_argument("--evaluations", type=int, nargs="+", default=[2, 1, 5], help="the first goes with --executed")
    parser.add_argument("--executed", type=int, nargs="+", default=[8, 4, 16], help="the first goes with --evaluations")
    parser.add_argument("--num_envs", type=int, default=256, help="episodes of a cell")
    parser.add_argument("--seed", type=int, default=7, help="names a block of development layouts")
    parser.add_argument("--batch", type=int, default=1024, help="rows of the large timed batch")
    parser.add_argument("--threads", type=int, default=2, help="torch threads of the large batch")
    parser.add_argument("--devices", type=comma_list, help="where decisions are timed (default: cpu, and a GPU if any)")
    add_json_and_log(parser, "outputs/policy_table.log")
    return parser


def _measure(arguments: Namespace) -> ExitCode:
    from flow_rag_vla.benchmark.command.quiet_run import quiet_run
    from flow_rag_vla.benchmark.policies.policy_table import (
        TableRequest,
        measure_table,
        success_markdown,
        timing_markdown,
    )
    from flow_rag_vla.benchmark.policies.timing import timed_devices
    from flow_rag_vla.tasks.catalogue.registry import task_names

    request = TableRequest(
        networks=dict(arguments.networks),
        tasks=task_names() if arguments.task == "all" else (arguments.task,),
        evaluations=tuple(arguments.evaluations),
        executed=tuple(arguments.executed),
        num_envs=arguments.num_envs,
        seed=arguments.seed,
        batch=arguments.batch,
        threads=arguments.threads,
        devices=arguments.devices or timed_devices(),
    )
    with quiet_run(arguments.log) as console:
        table = measure_table(request, console)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(table, sort_keys=True) + "\n")
    print(success_markdown(table), timing_markdown(table), sep="\n\n")
    return ExitCode.DONE


def main(argv: list[str]) -> int:
    """Parse, measure, print the two tables; returns the exit code."""
    return run_command(_parser(), _measure, argv, files=("json", "log"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
