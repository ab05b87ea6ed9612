"""Record expert demonstrations for training, of one task or of all.

./isaaclab.sh -p scripts/collect_demos.py --task all --num_demonstrations 5120 --out demonstrations
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main(argv: list[str]) -> int:
    """Parse, record, report; returns the exit code."""
    from flow_rag_vla.benchmark.command.arguments import refuse_below_one

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="all", help="a task, or all")
    parser.add_argument("--num_demonstrations", type=int, default=5120, help="of each task")
    parser.add_argument("--num_envs", type=int, default=1024)
    parser.add_argument("--seed", type=int, default=0, help="names a block of training layouts")
    parser.add_argument("--out", type=Path, default=Path("demonstrations"), help="gets a folder for each task")
    parser.add_argument("--physics", default="auto")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args(argv)
    refuse_below_one(parser, arguments, "num_envs", "num_demonstrations")

    from flow_rag_vla.benchmark.command.output_path import refuse_unwritable_folder
    from flow_rag_vla.benchmark.datasets.collect_demonstrations import DemonstrationRequest, collect_task
    from flow_rag_vla.benchmark.episodes.seeds import seed_block
    from flow_rag_vla.tasks.catalogue.registry import all_tasks, get_task
    from flow_rag_vla.tasks.physics.quiet import quiet_console

    try:
        seed_block("train", arguments.seed, arguments.num_demonstrations)
        tasks = all_tasks() if arguments.task == "all" else (get_task(arguments.task),)
    except (ValueError, KeyError) as error:
        parser.error(str(error.args[0]))
    refuse_unwritable_folder(parser, out=arguments.out)
    with quiet_console(arguments.out / "log.txt") as console:
        console.write("starting the simulation (a first start compiles kernels for about a minute)\n")
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
            try:
                recorded, kept = collect_task(request, console)
            except ValueError as error:
                console.write(f"error: {error}\n")
                return 2
            console.write(f"kept {kept} of {recorded} demonstrations in {request.out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
