"""Export expert episodes, successes and failures, as a LeRobotDataset v3 or as HDF5 trajectories.

./isaaclab.sh -p scripts/export_dataset.py --fault post --num_episodes 256 --format lerobot --out outputs/post
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main(argv: list[str]) -> int:
    """Parse, record, write; returns the exit code: 0 done, 2 bad usage, 3 nothing to write, 130 interrupted."""
    from flow_rag_vla.benchmark.command.arguments import refuse_below_one

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="FlowRAG-PickPlace-Franka")
    parser.add_argument("--fault", default="none", help="a fault of tasks/README.md, at its default severity")
    parser.add_argument("--expert", default="nominal", choices=("nominal", "informed"), help="told the hazard or not")
    parser.add_argument("--num_episodes", type=int, default=256)
    parser.add_argument("--num_envs", type=int, default=256, help="at most num_episodes are used")
    parser.add_argument("--seed", type=int, default=0, help="names a site and a block of training layouts")
    parser.add_argument("--format", default="lerobot", choices=("lerobot", "hdf5"))
    parser.add_argument("--out", type=Path, required=True, help="a new or empty folder")
    parser.add_argument("--physics", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--log", type=Path, default=Path("outputs/export_dataset.log"))
    arguments = parser.parse_args(argv)
    refuse_below_one(parser, arguments, "num_envs", "num_episodes")

    from flow_rag_vla.benchmark.command.output_path import refuse_unwritable, refuse_unwritable_folder

    refuse_unwritable(parser, log=arguments.log)
    from flow_rag_vla.benchmark.command.errors import UsageError
    from flow_rag_vla.benchmark.datasets.export import export, export_scenarios, make_writer
    from flow_rag_vla.tasks.env.make import make_fleet
    from flow_rag_vla.tasks.physics.quiet import quiet_console

    try:
        scenarios = export_scenarios(arguments.task, arguments.fault, arguments.seed, arguments.num_episodes)
    except UsageError as error:
        parser.error(str(error))
    refuse_unwritable_folder(parser, out=arguments.out)
    if any(arguments.out.iterdir()):
        parser.error(f"--out {arguments.out} is not empty, expected a new folder")
    with quiet_console(arguments.log) as console:
        console.write("starting the simulation (a first start compiles kernels for about a minute)\n")
        try:
            env = make_fleet(
                arguments.task,
                min(arguments.num_envs, arguments.num_episodes),
                physics=arguments.physics,
                device=arguments.device,
            )
        except ValueError as error:
            console.write(f"error: {error}\n")
            return 2
        try:
            writer = make_writer(arguments.format, arguments.out, arguments.task)
            counts = export(env, scenarios, arguments.expert, writer, console)
        except KeyboardInterrupt:
            console.write(f"interrupted; {arguments.out} is incomplete, delete it\n")
            return 130
        finally:
            env.close()
        written = counts.succeeded + counts.failed
        console.write(f"wrote {counts.succeeded} successes and {counts.failed} failures to {arguments.out}\n")
        if counts.invalid:
            console.write(f"left out {counts.invalid} episodes in which the physics broke\n")
    return 0 if written else 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
