"""Record expert demonstrations for training, of one task or of all.

./isaaclab.sh -p scripts/collect_demos.py --task all --num_demonstrations 5120 --out demonstrations
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.command.arguments import CommandParser, add_physics_and_device
from flow_rag_vla.benchmark.command.console import say_start
from flow_rag_vla.benchmark.command.errors import ExitCode, usage_errors
from flow_rag_vla.benchmark.command.main import run_command
from flow_rag_vla.benchmark.command.output_path import refuse_unwritable_folder

if TYPE_CHECKING:
    from argparse import Namespace


def _parser() -> CommandParser:
    parser = CommandParser(__doc__)
    parser.add_argument("--task", default="all", help="a task, or all")
    parser.add_argument("--num_demonstrations", type=int, default=5120, help="of each task")
    parser.add_argument("--num_envs", type=int, default=1024)
    parser.add_argument("--seed", type=int, default=0, help="names a block of training layouts")
    parser.add_argument("--out", type=Path, default=Path("demonstrations"), help="gets a folder for each task")
    add_physics_and_device(parser)
    return parser


def _record(arguments: Namespace) -> ExitCode:
    from flow_rag_vla.benchmark.command.quiet_run import quiet_run
    from flow_rag_vla.benchmark.datasets.collect_demonstrations import DemonstrationRequest, collect_task
    from flow_rag_vla.benchmark.episodes.seeds import seed_block
    from flow_rag_vla.tasks.catalogue.registry import all_tasks, get_task

    with usage_errors():
        seed_block("train", arguments.seed, arguments.num_demonstrations)
        tasks = all_tasks() if arguments.task == "all" else (get_task(arguments.task),)
    refuse_unwritable_folder(out=arguments.out)
    with quiet_run(arguments.out / "log.txt") as console:
        say_start(console, arguments.device)
        for task in tasks:
            request = DemonstrationRequest(
                task=task.name,
                num_demonstrations=arguments.num_demonstrations,
                num_envs=arguments.num_envs,
                seed=arguments.seed,
                out=arguments.out / task.slug,
                physics=arguments.physics,
                device=arguments.device,
            )
            recorded, kept = collect_task(request, console)
            console.write(f"kept {kept} of {recorded} demonstrations in {request.out}\n")
    return ExitCode.DONE


def main(argv: list[str]) -> int:
    """Parse, record, report; returns the exit code."""
    return run_command(_parser(), _record, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
