"""Take labelled, randomised camera pictures of expert episodes, to train a vision encoder on.

./isaaclab.sh -p scripts/collect_renders.py --task pick_place --num_pictures 20000 --out outputs/renders
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main(argv: list[str]) -> int:
    """Parse, render, report; returns the exit code."""
    from flow_rag_vla.benchmark.command.arguments import refuse_below_one

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="pick_place")
    parser.add_argument("--num_pictures", type=int, default=20_000)
    parser.add_argument("--num_envs", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0, help="names a block of layouts")
    parser.add_argument("--split", default="train", choices=("train", "development"))
    parser.add_argument("--out", type=Path, default=Path("outputs/renders"))
    parser.add_argument("--physics", default="auto")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args(argv)
    refuse_below_one(parser, arguments, "num_envs", "num_pictures")

    from flow_rag_vla.benchmark.command.output_path import refuse_unwritable_folder
    from flow_rag_vla.benchmark.datasets.collect_renders import collect_renders
    from flow_rag_vla.tasks.catalogue.registry import get_task
    from flow_rag_vla.tasks.contract import MAX_STEPS
    from flow_rag_vla.tasks.env.make import make_fleet
    from flow_rag_vla.tasks.physics.quiet import quiet_console

    try:
        task = get_task(arguments.task).slug
    except KeyError as error:
        parser.error(str(error.args[0]))
    refuse_unwritable_folder(parser, out=arguments.out)
    with quiet_console(arguments.out / f"log-{task}.txt") as console:
        console.write("starting the simulation (a first start compiles kernels for about a minute)\n")
        try:
            env = make_fleet(
                task,
                arguments.num_envs,
                physics=arguments.physics,
                device=arguments.device,
                max_steps=MAX_STEPS,
                camera=True,
            )
            taken = collect_renders(
                env, task, arguments.num_pictures, arguments.seed, arguments.split, arguments.out, console
            )
        except ValueError as error:
            console.write(f"error: {error}\n")
            return 2
        console.write(f"{taken} pictures in {arguments.out}\n")
        env.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
