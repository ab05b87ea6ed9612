"""Take labelled, randomised camera pictures of expert episodes, to train a vision encoder on.

./isaaclab.sh -p scripts/collect_renders.py --task pick_place --num_pictures 20000 --out outputs/renders
"""

from __future__ import annotations

import sys
from contextlib import closing
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
    parser.add_argument("--task", default="pick_place")
    parser.add_argument("--num_pictures", type=int, default=20_000)
    parser.add_argument("--num_envs", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0, help="names a block of layouts")
    parser.add_argument("--split", default="train", choices=("train", "development"))
    parser.add_argument("--out", type=Path, default=Path("outputs/renders"))
    add_physics_and_device(parser)
    return parser


def _render(arguments: Namespace) -> ExitCode:
    from flow_rag_vla.benchmark.command.quiet_run import quiet_run
    from flow_rag_vla.benchmark.datasets.collect_renders import collect_renders
    from flow_rag_vla.tasks.catalogue.registry import get_task
    from flow_rag_vla.tasks.contract import MAX_STEPS
    from flow_rag_vla.tasks.env.make import make_fleet

    with usage_errors():
        task = get_task(arguments.task).slug
    refuse_unwritable_folder(out=arguments.out)
    with quiet_run(arguments.out / f"log-{task}.txt") as console:
        say_start(console, arguments.device)
        fleet = make_fleet(
            task,
            arguments.num_envs,
            physics=arguments.physics,
            device=arguments.device,
            max_steps=MAX_STEPS,
            camera=True,
        )
        with closing(fleet) as env:
            taken = collect_renders(
                env, task, arguments.num_pictures, arguments.seed, arguments.split, arguments.out, console
            )
        console.write(f"{taken} pictures in {arguments.out}\n")
    return ExitCode.DONE


def main(argv: list[str]) -> int:
    """Parse, render, report; returns the exit code."""
    return run_command(_parser(), _render, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
