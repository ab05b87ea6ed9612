"""Record expert demonstrations for training.

./isaaclab.sh -p scripts/collect_demos.py --num_demonstrations 4096 --out demonstrations/pick_place
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main(argv: list[str]) -> int:
    """Parse, record, report; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="FlowRAG-PickPlace-Franka")
    parser.add_argument("--num_demonstrations", type=int, default=4096)
    parser.add_argument("--num_envs", type=int, default=1024)
    parser.add_argument("--seed", type=int, default=0, help="names a block of training layouts")
    parser.add_argument("--out", type=Path, default=Path("demonstrations/pick_place"))
    parser.add_argument("--physics", default="auto")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args(argv)
    if arguments.num_envs < 1 or arguments.num_demonstrations < 1:
        parser.error("--num_envs and --num_demonstrations: expected at least 1")

    from flow_rag_vla.benchmark.collect import collect
    from flow_rag_vla.benchmark.seeds import seed_block
    from flow_rag_vla.tasks.make import make_fleet
    from flow_rag_vla.tasks.physics.quiet import quiet_console

    try:
        seed_block("train", arguments.seed, arguments.num_demonstrations)
    except ValueError as error:
        parser.error(str(error))
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"cannot write to --out {arguments.out}: {error.strerror}")
    with quiet_console(arguments.out / "log.txt") as console:
        console.write("starting the simulation (a first start compiles kernels for about a minute)\n")
        try:
            env = make_fleet(
                arguments.task, arguments.num_envs, physics=arguments.physics, device=arguments.device, max_steps=260
            )
        except ValueError as error:
            console.write(f"error: {error}\n")
            return 2
        recorded, kept = collect(
            env, arguments.task, arguments.num_demonstrations, arguments.seed, arguments.out, console
        )
        console.write(f"kept {kept} of {recorded} demonstrations in {arguments.out}\n")
        env.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
