"""Environment steps a second by physics preset, fleet size and arm, side by side in one run.

./isaaclab.sh -p scripts/throughput.py --json outputs/throughput.json
./isaaclab.sh -p scripts/throughput.py --device cuda:0 --num_envs 1024,4096,16384,32768
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from flow_rag_vla.agents.arms.catalogue import FLOW_ONLY, PARALLEL
from flow_rag_vla.benchmark.command.arguments import CommandParser, add_json_and_log, comma_list, whole_numbers
from flow_rag_vla.benchmark.command.errors import ExitCode, UsageError
from flow_rag_vla.benchmark.command.main import run_command
from flow_rag_vla.tasks.catalogue.pick_place import TASK as DEFAULT_TASK

if TYPE_CHECKING:
    from argparse import Namespace

    from flow_rag_vla.benchmark.policies.throughput import ThroughputRow


def _parser() -> CommandParser:
    parser = CommandParser(__doc__)
    parser.add_argument("--task", default=DEFAULT_TASK.name)
    parser.add_argument(
        "--physics", help="comma list of presets; by default newton_mujoco,newton_mjwarp on CPU, newton_mjwarp on CUDA"
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda:N or auto")
    parser.add_argument("--num_envs", default="1024", help="comma list of fleet sizes")
    parser.add_argument(
        "--arms", default=f"raw,{FLOW_ONLY.name},{PARALLEL.name}", help="arms, raw (the simulation alone), raw_faults"
    )
    parser.add_argument("--steps", type=int, default=96, help="control steps timed")
    parser.add_argument("--memory_entries", type=int, default=2000)
    add_json_and_log(parser, "outputs/throughput.log")
    return parser


def _check(arguments: Namespace) -> None:
    arguments.num_envs = whole_numbers("--num_envs", arguments.num_envs)


def _line(row: ThroughputRow) -> str:
    return f"{row.physics:<14} {row.device:<7} {row.num_envs:>5} {row.arm:<12} {row.env_steps_per_s:>9.0f} env-steps/s"


def _measure(arguments: Namespace) -> ExitCode:
    from flow_rag_vla.agents.arms.registry import policy_arms
    from flow_rag_vla.agents.arms.settings import AgentSettings
    from flow_rag_vla.benchmark.command.quiet_run import quiet_run
    from flow_rag_vla.benchmark.policies.throughput import RAW_ARMS, measure_throughput
    from flow_rag_vla.tasks.env.make import resolve_device

    device = resolve_device(arguments.device)
    presets = arguments.physics or ("newton_mjwarp" if device.startswith("cuda") else "newton_mujoco,newton_mjwarp")
    arms = list(comma_list(arguments.arms))
    known = (*RAW_ARMS, *(arm.name for arm in policy_arms()))
    for arm in arms:
        if arm not in known:
            raise UsageError(f"unknown arm {arm!r}; available: {', '.join(known)}")
    rows = []
    with quiet_run(arguments.log) as console:
        for physics in comma_list(presets):
            for num_envs in arguments.num_envs:
                rows += measure_throughput(
                    arguments.task,
                    physics,
                    num_envs,
                    arms,
                    arguments.steps,
                    arguments.memory_entries,
                    AgentSettings(),
                    lambda row: print(_line(row), file=console, flush=True),
                    device,
                )
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
    return ExitCode.DONE


def main(argv: list[str]) -> int:
    """Parse, measure, print; returns the exit code."""
    return run_command(_parser(), _measure, argv, check=_check, files=("json", "log"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
