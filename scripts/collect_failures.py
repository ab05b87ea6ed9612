"""Record failing and succeeding episodes for the failure detector.

./isaaclab.sh -p scripts/collect_failures.py --split train --seed 11 --num_episodes 2048 --out failures/fit.safetensors
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.agents.arms.catalogue import EXPERT, FLOW_ONLY, NOMINAL_EXPERT
from flow_rag_vla.benchmark.command.arguments import CommandParser, add_physics_and_device, fields_of
from flow_rag_vla.benchmark.command.errors import ExitCode, UsageError
from flow_rag_vla.benchmark.command.main import run_command
from flow_rag_vla.tasks.catalogue.pick_place import TASK as DEFAULT_TASK

if TYPE_CHECKING:
    from argparse import Namespace


ACTORS = (FLOW_ONLY.name, EXPERT.name, NOMINAL_EXPERT.name)


def _parser() -> CommandParser:
    parser = CommandParser(__doc__)
    parser.add_argument("--task", default=DEFAULT_TASK.name)
    parser.add_argument("--actor", default=FLOW_ONLY.name, help=f"who acts: {', '.join(ACTORS)}")
    parser.add_argument("--checkpoint", default="default", help=f"policy of {FLOW_ONLY.name}")
    parser.add_argument("--split", default="train", choices=("train", "development"))
    parser.add_argument("--seed", type=int, default=11, help="names a block of layouts and sites")
    parser.add_argument("--num_episodes", type=int, default=2048)
    parser.add_argument("--num_envs", type=int, default=1024)
    add_physics_and_device(parser)
    parser.add_argument("--out", type=Path, default=Path("failures/fit.safetensors"))
    parser.add_argument("--log", type=Path, default=Path("outputs/collect_failures.log"))
    return parser


def _record(arguments: Namespace) -> ExitCode:
    from flow_rag_vla.benchmark.command.quiet_run import quiet_run
    from flow_rag_vla.benchmark.detectors.collect_failures import CollectionRequest, collect_failures

    if arguments.actor not in ACTORS:
        raise UsageError(f"--actor is {arguments.actor!r}; available: {', '.join(ACTORS)}")
    with quiet_run(arguments.log) as console:
        recorded = collect_failures(fields_of(CollectionRequest, arguments), arguments.out, console)
    failed, rows = int(recorded.failed.sum()), len(recorded.episode)
    print(f"{recorded.num_episodes} valid episodes ({failed} failed), {rows} windows in {arguments.out}")
    return ExitCode.DONE


def main(argv: list[str]) -> int:
    """Parse, record, print; returns the exit code."""
    return run_command(_parser(), _record, argv, files=("out", "log"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
