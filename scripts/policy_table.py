"""Success and cost of flow policies by network, evaluations, executed chunk and task, on development layouts.

./isaaclab.sh -p scripts/policy_table.py --networks default=agents/checkpoints/franka.safetensors --num_envs 256
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def _network(text: str) -> tuple[str, Path]:
    name, found, path = text.partition("=")
    if not found or not name or not path:
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=FILE")
    return name, Path(path)


def main(argv: list[str]) -> int:
    """Parse, measure, print the two tables; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=_network, nargs="+", required=True, metavar="NAME=FILE")
    parser.add_argument("--task", default="all", help="a task, or all")
    parser.add_argument("--evaluations", type=int, nargs="+", default=[2, 1, 5], help="the first goes with --executed")
    parser.add_argument("--executed", type=int, nargs="+", default=[8, 4, 16], help="the first goes with --evaluations")
    parser.add_argument("--num_envs", type=int, default=256, help="episodes of a cell")
    parser.add_argument("--seed", type=int, default=7, help="names a block of development layouts")
    parser.add_argument("--batch", type=int, default=1024, help="rows of the large timed batch")
    parser.add_argument("--threads", type=int, default=2, help="torch threads of the large batch")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--log", type=Path, default=Path("outputs/policy_table.log"))
    arguments = parser.parse_args(argv)
    if min(*arguments.evaluations, *arguments.executed, arguments.num_envs, arguments.batch, arguments.threads) < 1:
        parser.error("every number but the seed: expected at least 1")

    from flow_rag_vla.benchmark.command.output_path import refuse_unwritable

    refuse_unwritable(parser, json=arguments.json, log=arguments.log)
    from flow_rag_vla.benchmark.policies.policy_table import (
        TableRequest,
        measure_table,
        success_markdown,
        timing_markdown,
    )
    from flow_rag_vla.tasks.catalogue.registry import task_names
    from flow_rag_vla.tasks.physics.quiet import quiet_console

    request = TableRequest(
        networks=dict(arguments.networks),
        tasks=task_names() if arguments.task == "all" else (arguments.task,),
        evaluations=tuple(arguments.evaluations),
        executed=tuple(arguments.executed),
        num_envs=arguments.num_envs,
        seed=arguments.seed,
        batch=arguments.batch,
        threads=arguments.threads,
    )
    try:
        with quiet_console(arguments.log) as console:
            table = measure_table(request, console)
    except (ValueError, KeyError) as error:
        parser.error(str(error.args[0]))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(table, sort_keys=True) + "\n")
    print(success_markdown(table), timing_markdown(table), sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
