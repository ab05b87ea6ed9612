"""Prints time and memory of runs of more and more scenarios, by what is done; run by hand, not collected as a test.

    python tests/perf/plan_growth.py [--scenarios 1000 10000 100000] [--rounds 1]

The default run (flow_only and parallel, 1024 environments) in a fleet that does not move, each size in a process of
its own: planned, E1 run, its memory merged, E2 run and merged, scored.  A third of the episodes fail, each in its own
way, so that no case is another's duplicate: the most that a memory can be asked to merge.  Memory is the peak of
resident memory while the part goes on, with the libraries, which the first row has alone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bookkeeping_speed as bookkeeping

from flow_rag_vla.agents.arms.settings import AgentSettings, ArmSettings
from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
from flow_rag_vla.agents.policy.encoders import LearnedStateEncoder
from flow_rag_vla.agents.policy.flow_matching import FlowMatching, FlowMatchingCfg
from flow_rag_vla.agents.policy.velocity_network import VelocityNetworkCfg
from flow_rag_vla.agents.recall.new_memory import new_memory
from flow_rag_vla.benchmark.episodes.latency import LatencyProfile
from flow_rag_vla.benchmark.run import units
from flow_rag_vla.benchmark.run.config import BenchmarkSettings
from flow_rag_vla.benchmark.run.run_directory import RunDirectory
from flow_rag_vla.benchmark.run.run_plan import CPU_SCALE, plan_run
from flow_rag_vla.benchmark.run.units import UnitContext
from flow_rag_vla.benchmark.scoring.score import score_run
from flow_rag_vla.benchmark.workers.barriers import Barriers

SCENARIOS = (1_000, 10_000, 100_000)


def measure(num_scenarios: int, rounds: int, path: Path) -> Iterator[tuple[str, float, float]]:
    """What was done, CPU seconds and peak memory in MB, part by part."""
    rows: list[tuple[str, float, float]] = []

    @contextmanager
    def part(what: str) -> Iterator[None]:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        start = time.process_time()
        yield
        rows.append((what, time.process_time() - start, _peak_mb()))

    with part("nothing: the libraries"):
        settings = BenchmarkSettings(
            scenarios=num_scenarios, num_envs=CPU_SCALE, rounds=rounds, block=CPU_SCALE, physics="none", device="cpu"
        )
    with part("plan"):
        plan = plan_run(settings)
    yield from rows
    rows.clear()
    directory = RunDirectory(path)
    with part("plan and manifest to disk"):
        directory.start(settings, plan, [], {})
    flow = FlowMatching(FlowMatchingCfg(VelocityNetworkCfg(horizon=bookkeeping.HORIZON, hidden_dim=8, num_layers=1)))
    arm_settings = ArmSettings(AgentSettings())
    barriers = Barriers(path, plan.units, lambda source: new_memory(arm_settings, bookkeeping.HORIZON, source))
    context = UnitContext(
        directory,
        barriers,
        bookkeeping.StillFleet(CPU_SCALE),
        PolicyCheckpoint(LearnedStateEncoder(), flow),
        arm_settings,
        LatencyProfile({}),
    )
    units._agent = bookkeeping.idle
    for round_ in range(rounds + 1):
        with part(f"round {round_}: units"):
            for unit in plan.units:
                if unit.round == round_:
                    units.run_unit(context, unit, lambda ended: None)
        with part(f"round {round_}: memory"):
            barriers.merge_done(lambda unit, last=round_: unit.round <= last)
        yield from rows
        rows.clear()
    with part("scores and merged table"):
        score_run(path)
    yield from rows
    yield f"{sum(len(unit.episodes) for unit in plan.units)} episodes", 0.0, 0.0


def _peak_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    """Print a row a part, a column a size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--scenarios", type=int, nargs="+", default=SCENARIOS)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--one", action="store_true", help="the only size, in this process; prints JSON")
    arguments = parser.parse_args()
    if arguments.one:
        with tempfile.TemporaryDirectory() as folder:
            for row in measure(arguments.scenarios[0], arguments.rounds, Path(folder) / "run"):
                print(json.dumps(row), flush=True)
        return
    for size in arguments.scenarios:
        command = [sys.executable, __file__, "--one", "--rounds", str(arguments.rounds), "--scenarios", str(size)]
        lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
        *rows, (episodes, _, _) = map(json.loads, lines)
        print(f"{size} scenarios, {episodes}")
        for what, seconds, peak_mb in rows:
            print(f"  {what:<32} {seconds:8.1f} s CPU {peak_mb:8.0f} MB", flush=True)


if __name__ == "__main__":
    main()
