"""Export expert episodes, successes and failures, as a LeRobotDataset v3 or as HDF5 trajectories.

./isaaclab.sh -p scripts/export_dataset.py --fault post --num_episodes 256 --format lerobot --out outputs/post
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.agents.arms.arm import Expert
from flow_rag_vla.benchmark.command.arguments import CommandParser, add_physics_and_device
from flow_rag_vla.benchmark.command.console import say_start
from flow_rag_vla.benchmark.command.errors import ExitCode, UsageError, usage_errors
from flow_rag_vla.benchmark.command.main import run_command
from flow_rag_vla.benchmark.command.output_path import refuse_unwritable_folder
from flow_rag_vla.tasks.catalogue.pick_place import TASK as DEFAULT_TASK

if TYPE_CHECKING:
    from argparse import Namespace


def _parser() -> CommandParser:
    parser = CommandParser(__doc__)
    parser.add_argument("--task", default=DEFAULT_TASK.name)
    parser.add_argument("--fault", default="none", help="a fault of tasks/README.md, at its default severity")
    parser.add_argument("--expert", default=Expert.NOMINAL, choices=tuple(Expert), help="told the hazard or not")
    parser.add_argument("--num_episodes", type=int, default=256)
    parser.add_argument("--num_envs", type=int, default=256, help="at most num_episodes are used")
    parser.add_argument("--seed", type=int, default=0, help="names a site and a block of training layouts")
    parser.add_argument("--format", default="lerobot", choices=("lerobot", "hdf5"))
    parser.add_argument("--out", type=Path, required=True, help="a new or empty folder")
    add_physics_and_device(parser)
    parser.add_argument("--log", type=Path, default=Path("outputs/export_dataset.log"))
    return parser


def _export(arguments: Namespace) -> ExitCode:
    from flow_rag_vla.benchmark.datasets.export import export, export_scenarios, make_writer
    from flow_rag_vla.tasks.env.make import make_fleet
    from flow_rag_vla.tasks.physics.quiet import quiet_console

    with usage_errors():
        scenarios = export_scenarios(arguments.task, arguments.fault, arguments.seed, arguments.num_episodes)
    refuse_unwritable_folder(out=arguments.out)
    if any(arguments.out.iterdir()):
        raise UsageError(f"--out {arguments.out} is not empty, expected a new folder")
    with quiet_console(arguments.log) as console:
        say_start(console, arguments.device)
        num_envs = min(arguments.num_envs, arguments.num_episodes)
        with usage_errors():
            env = make_fleet(arguments.task, num_envs, physics=arguments.physics, device=arguments.device)
        try:
            writer = make_writer(arguments.format, arguments.out, arguments.task)
            counts = export(env, scenarios, Expert(arguments.expert), writer, console)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"{arguments.out} is incomplete, delete it") from None
        finally:
            env.close()
        console.write(f"wrote {counts.succeeded} successes and {counts.failed} failures to {arguments.out}\n")
        if counts.invalid:
            console.write(f"left out {counts.invalid} episodes in which the physics broke\n")
    return ExitCode.DONE if counts.succeeded + counts.failed else ExitCode.INCOMPLETE


def main(argv: list[str]) -> int:
    """Parse, record, write; returns the exit code: 0 done, 2 bad usage, 3 nothing to write, 130 interrupted."""
    return run_command(_parser(), _export, argv, files=("log",))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
