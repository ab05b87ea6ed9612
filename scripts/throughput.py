"""Environment steps a second by physics preset, fleet size and arm, side by side in one run.

./isaaclab.sh -p scripts/throughput.py --json outputs/throughput.json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flow_rag_vla.benchmark.policies.throughput import ThroughputRow


def _line(row: ThroughputRow) -> str:
    return f"{row.physics:<14} {row.num_envs:>5} {row.arm:<12} {row.env_steps_per_s:>9.0f} env-steps/s"


def main(argv: list[str]) -> int:
    """Parse, measure, print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="FlowRAG-PickPlace-Franka")
    parser.add_argument("--physics", default="newton_mujoco,newton_mjwarp", help="comma list of presets")
    parser.add_argument("--num_envs", default="1024", help="comma list of fleet sizes")
    parser.add_argument("--arms", default="raw,flow_only,parallel", help="arms, raw (the simulation alone), raw_faults")
    parser.add_argument("--steps", type=int, default=96, help="control steps timed")
    parser.add_argument("--memory_entries", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--log", type=Path, default=Path("outputs/throughput.log"))
    arguments = parser.parse_args(argv)

    from flow_rag_vla.benchmark.command.output_path import refuse_unwritable

    refuse_unwritable(parser, json=arguments.json, log=arguments.log)
    from flow_rag_vla.agents.arms.registry import policy_arms
    from flow_rag_vla.benchmark.episodes.agent_settings import AgentSettings
    from flow_rag_vla.benchmark.policies.throughput import RAW_ARMS, measure
    from flow_rag_vla.tasks.physics.quiet import quiet_console

    arms = arguments.arms.split(",")
    known = (*RAW_ARMS, *(arm.name for arm in policy_arms()))
    for arm in arms:
        if arm not in known:
            parser.error(f"unknown arm {arm!r}; available: {', '.join(known)}")
    try:
        sizes = [int(n) for n in arguments.num_envs.split(",")]
    except ValueError:
        sizes = [0]
    if min(sizes) < 1 or arguments.steps < 1:
        parser.error("--num_envs and --steps: expected whole numbers of at least 1")
    rows = []
    try:
        with quiet_console(arguments.log) as console:
            for physics in arguments.physics.split(","):
                for num_envs in sizes:
                    rows += measure(
                        arguments.task,
                        physics,
                        num_envs,
                        arms,
                        arguments.steps,
                        arguments.memory_entries,
                        AgentSettings(),
                        lambda row: print(_line(row), file=console, flush=True),
                    )
    except (ValueError, KeyError) as error:
        parser.error(str(error.args[0]))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
