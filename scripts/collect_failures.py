"""Record failing and succeeding episodes for the failure detector.

./isaaclab.sh -p scripts/collect_failures.py --split train --seed 11 --num_episodes 2048 --out failures/fit.safetensors
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main(argv: list[str]) -> int:
    """Parse, record, print; returns the exit code."""
    from flow_rag_vla.benchmark.command.arguments import refuse_below_one

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="FlowRAG-PickPlace-Franka")
    parser.add_argument("--actor", default="flow_only", help="who acts: flow_only, nominal_expert, expert")
    parser.add_argument("--checkpoint", default="default", help="policy of flow_only")
    parser.add_argument("--split", default="train", choices=("train", "development"))
    parser.add_argument("--seed", type=int, default=11, help="names a block of layouts and sites")
    parser.add_argument("--num_episodes", type=int, default=2048)
    parser.add_argument("--num_envs", type=int, default=1024)
    parser.add_argument("--physics", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("failures/fit.safetensors"))
    parser.add_argument("--log", type=Path, default=Path("outputs/collect_failures.log"))
    arguments = parser.parse_args(argv)
    refuse_below_one(parser, arguments, "num_envs", "num_episodes")

    from flow_rag_vla.benchmark.command.output_path import refuse_unwritable

    refuse_unwritable(parser, out=arguments.out, log=arguments.log)
    from flow_rag_vla.agents.arms.registry import experts, reference_arm
    from flow_rag_vla.benchmark.detectors.collect_failures import CollectionRequest, collect_failures
    from flow_rag_vla.tasks.physics.quiet import quiet_console

    actors = (reference_arm().name, *(arm.name for arm in experts()))
    if arguments.actor not in actors:
        parser.error(f"--actor is {arguments.actor!r}; available: {', '.join(actors)}")
    fields = CollectionRequest.__dataclass_fields__
    request = CollectionRequest(**{name: getattr(arguments, name) for name in fields})
    try:
        with quiet_console(arguments.log) as console:
            recorded = collect_failures(request, arguments.out, console)
    except (ValueError, KeyError) as error:
        parser.error(str(error.args[0]))
    failed, rows = int(recorded.failed.sum()), len(recorded.episode)
    print(f"{recorded.num_episodes} valid episodes ({failed} failed), {rows} windows in {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
