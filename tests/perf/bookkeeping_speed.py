"""Prints the CPU time that a run spends beside its simulation; run by hand, not collected as a test.

    python tests/perf/bookkeeping_speed.py [--scenarios 16400] [--profile]

E1 and one round of three arms, about 100 000 episodes in batches of 4096, in a fleet that does not move: planned,
named, written, loaded, recorded, read again and merged.  A third of the episodes fail, each in its own way: what was
noted of them becomes cases, and the cases a memory.  The sum without loading is to stay under 20 s; beyond it the
exit code is 1.
"""

from __future__ import annotations

import argparse
import cProfile
import dataclasses
import pstats
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pandas  # noqa: F401 (pyarrow loads it when it first converts; that is no part of what is measured)
import torch
from stopwatch import Stopwatch

from flow_rag_vla.agents.agent import Capabilities, EpisodeNotes
from flow_rag_vla.agents.arms.registry import get_arm
from flow_rag_vla.agents.arms.settings import AgentSettings, ArmSettings
from flow_rag_vla.agents.detection.alarm import FailureAlarm
from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
from flow_rag_vla.agents.policy.encoders import EMBEDDING_DIM, LearnedStateEncoder
from flow_rag_vla.agents.policy.flow_matching import FlowMatching, FlowMatchingCfg
from flow_rag_vla.agents.policy.noise import NoiseTable
from flow_rag_vla.agents.policy.velocity_network import VelocityNetworkCfg
from flow_rag_vla.agents.recall.new_memory import new_memory
from flow_rag_vla.agents.recall.remember import DecisionSnapshot, FailureNotebook
from flow_rag_vla.benchmark.episodes.episode_table import write_episodes_parquet
from flow_rag_vla.benchmark.episodes.latency import LatencyProfile
from flow_rag_vla.benchmark.episodes.plan import make_plan, plan_scenarios
from flow_rag_vla.benchmark.run import units
from flow_rag_vla.benchmark.run.config import BenchmarkSettings
from flow_rag_vla.benchmark.run.run_directory import RunDirectory
from flow_rag_vla.benchmark.run.units import UnitContext
from flow_rag_vla.benchmark.scoring.planned_units import read_planned_units, read_unit
from flow_rag_vla.benchmark.workers.barriers import Barriers
from flow_rag_vla.tasks.catalogue.registry import get_task
from flow_rag_vla.tasks.contract import (
    FAILURE_TYPES,
    MAX_STEPS,
    NOTHING,
    OBSERVATION_WIDTHS,
    PHASES,
    EpisodeTruth,
    Observation,
)
from flow_rag_vla.tasks.env.batches import batches
from flow_rag_vla.tasks.env.sensing import SensorNoise
from flow_rag_vla.tasks.hazards.state import HazardState
from flow_rag_vla.tasks.scenarios.sites import make_site

if TYPE_CHECKING:
    from flow_rag_vla.agents.agent import Agent
    from flow_rag_vla.benchmark.episodes.plan import Unit
    from flow_rag_vla.memory.case import FailureCase
    from flow_rag_vla.memory.failure_memory import FailureMemory
    from flow_rag_vla.tasks.scenarios.scenario import Scenario

ARMS = ("flow_only", "parallel", "always_cautious")
NUM_ENVS = 4096
HORIZON = 16
BUDGET_S = 20.0


class StillFleet:
    """Episodes that have ended when they begin: in turn a success, a failure and bad physics."""

    device = "cpu"
    max_episode_length = MAX_STEPS

    def __init__(self, num_envs: int) -> None:
        self.num_envs, self.task = num_envs, get_task("pick_place")
        columns = {name: torch.zeros(num_envs, width) for name, width in OBSERVATION_WIDTHS.items()}
        for upright in ("ee_quat_b", "ee_target_quat_b", "object_quat_b"):
            columns[upright][:, 3] = 1.0
        self._seen = Observation(**columns, instruction=("do it",) * num_envs)
        turn, force = torch.arange(num_envs) % 3, torch.rand(num_envs, generator=torch.Generator().manual_seed(0))
        invalid, failed = turn == 2, turn == 1
        self.done = torch.ones_like(failed)
        self.truth = EpisodeTruth(
            done=self.done,
            success=turn == 0,
            invalid=invalid,
            invalid_reason=torch.where(invalid, 0, -1),
            fault_fired=failed,
            failure_type=torch.where(failed, 2, -1),
            failure_phase=torch.where(failed, 3, -1),
            failure_step=torch.where(failed, 60, -1),
            failure_pos_b=torch.stack([force, -force, force], dim=1),
            steps=100 + turn,
            peak_obstacle_force_n=40.0 * force,
            peak_grip_force_n=10.0 * force,
            penetration_m=1e-3 * force,
            peak_penetration_m=2e-3 * force,
        )

    def load(self, scenarios: Sequence[Scenario], attempts: Sequence[int]) -> Observation:
        del scenarios, attempts
        return self._seen

    def step(self, action: torch.Tensor, /) -> None:
        del action

    def observe(self, *, images: bool = False, appearance: object = None) -> Observation:
        del images, appearance
        return self._seen

    def initial_state_shas(self) -> list[str]:
        return [f"{i:016d}" for i in range(self.num_envs)]

    def explain_invalid(self) -> list[str | None]:
        return ["broken" if i % 3 == 2 else None for i in range(self.num_envs)]

    def close(self) -> None:
        pass


class _Idle:
    """An agent that stands still: a third of its episodes seem to fail, and with a memory a case steers every other."""

    execute = 8

    def __init__(self, num_envs: int, memory: FailureMemory | None, *, remembers: bool) -> None:
        self.capabilities = Capabilities(remembers=remembers)
        self._chunk = torch.zeros(num_envs, HORIZON, 7)
        self._rng = torch.Generator().manual_seed(0)
        turn = torch.arange(num_envs)
        self._failed = turn % 3 == 1
        self._notes = dataclasses.replace(EpisodeNotes.nothing(num_envs), decisions=torch.ones_like(turn))
        if memory is not None:
            case_ids, acted = torch.from_numpy(memory.case_ids), turn % 2 == 0
            self._notes = dataclasses.replace(
                self._notes,
                retrieved_case=torch.where(acted, case_ids[turn % len(case_ids)], NOTHING),
                candidate=torch.where(acted, 1, NOTHING),
            )
        none = FailureAlarm.none(num_envs)
        self._alarm = dataclasses.replace(
            none,
            mask=self._failed,
            failure_type=torch.where(self._failed, turn % len(FAILURE_TYPES), NOTHING),
            phase=torch.where(self._failed, turn % len(PHASES), NOTHING),
        )
        self._notebook = FailureNotebook(num_envs)

    def tell(self, scenarios: Sequence[Scenario]) -> None:
        raise ValueError("it is told nothing")

    def reset(self, noise_keys: Sequence[str], attempts: Sequence[int]) -> None:
        del noise_keys, attempts
        self._notebook.reset()

    def decide(self, observation: Observation, running: torch.Tensor) -> torch.Tensor:
        del running
        if self.capabilities.remembers:
            keys = torch.randn(len(self._chunk), EMBEDDING_DIM, generator=self._rng)
            self._notebook.decided(DecisionSnapshot(observation, keys, self._chunk))
        return self._chunk

    def watch(self, observation: Observation, running: torch.Tensor) -> None:
        del observation, running
        if self.capabilities.remembers:
            self._notebook.alarmed(self._failed)

    def notes(self) -> EpisodeNotes:
        return self._notes

    def seems_failed(self) -> torch.Tensor:
        return self._failed

    def failures(self) -> dict[int, FailureCase]:
        return self._notebook.cases(self._alarm)

    def first_keys(self) -> None:
        return None

    def decide_seconds(self) -> tuple[float, int]:
        return 0.0, 0


@contextmanager
def _timed(what: str, seconds: dict[str, float]) -> Iterator[None]:
    start = time.process_time()
    yield
    seconds[what] = time.process_time() - start


def measure(num_scenarios: int, path: Path) -> tuple[dict[str, float], int]:
    """CPU seconds of each part, and the number of episodes."""
    seconds: dict[str, float] = {}
    with _timed("planning", seconds):
        sites = [make_site(20_000_000 + i, "pick_place") for i in range(4)]
        plan = make_plan(plan_scenarios(sites, num_scenarios, 0), ARMS, NUM_ENVS, 1)
    directory = RunDirectory(path)
    with _timed("plan and manifest to disk", seconds):
        directory.start(BenchmarkSettings(), plan, [], {})
    flow = FlowMatching(FlowMatchingCfg(VelocityNetworkCfg(horizon=HORIZON, hidden_dim=8, num_layers=1)))
    policy = PolicyCheckpoint(LearnedStateEncoder(), flow)
    settings = ArmSettings(AgentSettings())
    barriers = Barriers(path, plan.units, lambda source: new_memory(settings, HORIZON, source))
    context = UnitContext(directory, barriers, StillFleet(NUM_ENVS), policy, settings, LatencyProfile({}))
    notes, memory = Stopwatch(time.process_time), Stopwatch(time.process_time)
    _Idle.failures = notes.timed(_Idle.failures)
    barriers._merge = memory.timed(barriers._merge)
    units._agent = idle
    with _timed("units and records", seconds):
        waiting = [unit for unit in plan.units if directory.why_not_done(unit)]
        for unit in waiting:
            directory.set_aside(unit)
        for unit in waiting:
            units.run_unit(context, unit, lambda ended: None)
        barriers.merge_done(lambda unit: True)
    seconds["units and records"] -= notes.seconds + memory.seconds
    seconds["notes of failures to cases"] = notes.seconds
    seconds["memory: cases and outcomes merged, written"] = memory.seconds
    with _timed("reading and merging", seconds):
        planned = read_planned_units(path, directory.manifest()["plan_sha256"])
        records = [record for unit in planned for record in read_unit(path, unit).log.records]
        write_episodes_parquet(path / "episodes.parquet", records)
    with _timed("loading: noise and hazards", seconds):
        _load([e.scenario for unit in plan.units for e in unit.episodes])
    return seconds, len(records)


def idle(context: UnitContext, unit: Unit, memory: FailureMemory | None) -> Agent:
    """What stands for an arm's agent."""
    remembers = unit.round == 0 or get_arm(unit.arm).consults_memory
    return _Idle(context.env.num_envs, memory, remembers=remembers)


def _load(scenarios: Sequence[Scenario]) -> None:
    """What an environment and an agent do for each episode before its first step."""
    sensed, policy = SensorNoise(NUM_ENVS, MAX_STEPS, "cpu"), NoiseTable(NUM_ENVS, MAX_STEPS // 8 + 1, 16)
    hazards = HazardState(NUM_ENVS, "cpu")
    for batch in batches(scenarios, NUM_ENVS):
        env_ids, keys = torch.arange(NUM_ENVS), [s.noise_key for s in batch.rows]
        _ = [s.instruction for s in batch.rows]
        hazards.reset(env_ids, batch.rows, (-0.1, 0.1))
        sensed.reset(env_ids, keys, [0] * NUM_ENVS)
        policy.reset(env_ids, [(s.noise_key, 0) for s in batch.rows])


def _loops() -> float:
    """CPU seconds of 10 million loops that do nothing: how fast the core is at the moment."""
    start = time.process_time()
    for _ in range(10_000_000):
        pass
    return time.process_time() - start


def main() -> int:
    """Print a row a part; 1 where the budget is exceeded, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--scenarios", type=int, default=16_400)
    parser.add_argument("--profile", action="store_true", help="print where the time goes, too; it then takes longer")
    arguments = parser.parse_args()
    profiler = cProfile.Profile(time.process_time)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.profile:
            profiler.enable()
        seconds, episodes = measure(arguments.scenarios, Path(folder) / "run")
        profiler.disable()
    print(f"{'10 million empty loops':<44} {_loops():8.2f} s CPU: on a busy machine more, and the rest in proportion")
    for what, spent in seconds.items():
        print(f"{what:<44} {spent:8.2f} s CPU")
    counted = sum(spent for what, spent in seconds.items() if not what.startswith("loading"))
    print(f"{episodes} episodes, without loading: {counted:.2f} s CPU; accepted: {BUDGET_S:.0f} s for 100 000")
    if arguments.profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(30)
    return int(counted > BUDGET_S)


if __name__ == "__main__":
    sys.exit(main())
