"""Prints what a fleet's loop costs beside its physics; run by hand, not collected as a test.

    python tests/perf/loop_share.py [--num_envs 1024] [--steps 48] [--repeats 3]
    python tests/perf/loop_share.py --run [arguments of scripts/benchmark.py]

The first steps ``raw`` and ``parallel`` in turn on native MuJoCo: ``raw`` against the time within ``mujoco.rollout``
on the same states, ``parallel`` against ``raw``, the median of all repeats.  The second runs a benchmark in one process
and prints what its episodes cost beside their environment steps; the run is thrown away unless ``--out`` says where to
keep it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

from stopwatch import Stopwatch

from flow_rag_vla.agents.arms.settings import AgentSettings
from flow_rag_vla.benchmark.policies import throughput
from flow_rag_vla.benchmark.run import cli, waiting_units
from flow_rag_vla.reports.reporter import RunReporter
from flow_rag_vla.tasks.catalogue.pick_place import TASK
from flow_rag_vla.tasks.env.manipulation_env import ManipulationEnv
from flow_rag_vla.tasks.physics.native_solver import NativeSolver, physics_threads


def compare_rates(num_envs: int, steps: int, repeats: int) -> None:
    """Print a row a repeat, and the medians."""
    rollout, loop = Stopwatch(), Stopwatch()
    shares: list[float] = []
    rates: dict[str, list[float]] = {"raw": [], "parallel": []}
    NativeSolver._roll_out = rollout.timed(NativeSolver._roll_out)
    throughput.play_agent = loop.timed(throughput.play_agent)

    def on_row(row: throughput.ThroughputRow) -> None:
        rates[row.arm].append(row.env_steps_per_s)
        shares.append(rollout.seconds / loop.seconds)
        print(f"{row.arm:<9} {row.env_steps_per_s:6.0f} env-steps/s, {shares[-1]:.1%} of the loop in mujoco.rollout")
        rollout.seconds = loop.seconds = 0.0

    arms = list(rates) * repeats
    throughput.measure_throughput(
        TASK.name, "newton_mujoco", num_envs, arms, steps, 2000, AgentSettings(), on_row, "cpu"
    )
    ratio = statistics.median(b / a for a, b in zip(rates["raw"], rates["parallel"], strict=True))
    print(f"{physics_threads()} threads: raw at {statistics.median(shares[::2]):.1%} of mujoco.rollout")
    print(f"parallel at {ratio:.1%} of raw, with 2000 keys")


def run_benchmark(arguments: list[str]) -> None:
    """Print what episodes cost beside the steps of their environment."""
    env_step, episodes = Stopwatch(), Stopwatch()
    ManipulationEnv.step = env_step.timed(ManipulationEnv.step)
    waiting_units.run_unit = episodes.timed(waiting_units.run_unit)
    with tempfile.TemporaryDirectory() as folder:
        out = [] if "--out" in arguments else ["--out", str(Path(folder) / "run")]
        code = cli.main([*arguments, *out], RunReporter())
    print(
        f"exit code {code}: units {episodes.seconds:.1f} s, of which env.step {env_step.seconds:.1f} s; "
        f"ratio {episodes.seconds / env_step.seconds:.2f}"
    )


def main() -> None:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", action="store_true", help="a benchmark; all other arguments go to it")
    parser.add_argument("--num_envs", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=3)
    arguments, rest = parser.parse_known_args()
    if arguments.run:
        run_benchmark([argument for argument in sys.argv[1:] if argument != "--run"])
        return
    if rest:
        parser.error(f"unknown arguments: {' '.join(rest)}")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    compare_rates(arguments.num_envs, arguments.steps, arguments.repeats)


if __name__ == "__main__":
    main()
