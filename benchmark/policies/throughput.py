"""Environment steps a second by physics preset, fleet size and arm, measured in one process, one after the other."""

from __future__ import annotations

import itertools
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from flow_rag_vla.agents.arms.registry import get_arm
from flow_rag_vla.agents.arms.settings import AgentSettings
from flow_rag_vla.agents.corrections.corrections import CANDIDATES
from flow_rag_vla.agents.policy.encoders import RetrievalEncoder
from flow_rag_vla.agents.recall.new_memory import new_memory
from flow_rag_vla.benchmark.episodes.actors import arm_settings, load_bank, load_policy, make_policy_agent
from flow_rag_vla.benchmark.episodes.chunk_executor import play_agent
from flow_rag_vla.benchmark.episodes.seeds import seed_block
from flow_rag_vla.benchmark.episodes.told.expert_arm import ExpertAgent
from flow_rag_vla.memory.case import FailureCase
from flow_rag_vla.tasks.contract import MAX_STEPS
from flow_rag_vla.tasks.env.make import make_fleet
from flow_rag_vla.tasks.faults.registry import all_faults
from flow_rag_vla.tasks.scenarios.sites import make_site

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flow_rag_vla.agents.agent import Agent
    from flow_rag_vla.memory.failure_memory import FailureMemory
    from flow_rag_vla.tasks.contract import Observation
    from flow_rag_vla.tasks.env.fleet import Fleet
    from flow_rag_vla.tasks.env.play import PlayedStep
    from flow_rag_vla.tasks.scenarios.scenario import Scenario

RAW, RAW_FAULTS = "raw", "raw_faults"
RAW_ARMS: tuple[str, ...] = (RAW, RAW_FAULTS)
"""The environment alone, on clean scenarios and with faults."""

WARM_UP_STEPS = 16
KEYS_PER_CASE = 2


@dataclass(frozen=True)
class ThroughputRow:
    """One measurement; ``raw`` steps the environment with the expert's actions, which it also computes.

    ``raw_faults`` does the same with every fault of the task spread over the fleet.
    """

    physics: str
    device: str
    num_envs: int
    arm: str
    env_steps_per_s: float
    memory_entries: int


def measure_throughput(
    task: str,
    physics: str,
    num_envs: int,
    arms: list[str],
    num_steps: int,
    memory_entries: int,
    settings: AgentSettings,
    on_row: Callable[[ThroughputRow], None],
    device: str = "auto",
) -> list[dict[str, Any]]:
    """Rows for ``arms`` on one fleet, as JSON-able dictionaries.

    Args:
        task: Gym id.
        physics: Preset.
        num_envs: Fleet size.
        arms: Of ``RAW_ARMS``, or arms of the benchmark.
        num_steps: Control steps timed, after ``WARM_UP_STEPS``.
        memory_entries: Index rows that memory arms search.
        settings: Retrieval settings.
        on_row: Called with each row as it is measured.
        device: ``cpu``, ``cuda:N`` or ``auto``; errors as in ``make_fleet``.
    """
    site = make_site(0, task)
    seeds = seed_block("development", 0, num_envs)
    faults = itertools.cycle(all_faults(site.task.slug))
    clean = [site.scenario(seed) for seed in seeds]
    faulty = [site.scenario(seed, fault) for seed, fault in zip(seeds, faults, strict=False)]
    rows = []
    with closing(make_fleet(task, num_envs, physics=physics, device=device, max_steps=MAX_STEPS)) as env:
        for arm in arms:
            scenarios = faulty if arm == RAW_FAULTS else clean
            observation = env.load(scenarios, [0] * num_envs)
            agent = _agent(arm, env, observation, memory_entries, settings)
            rate = _rate(env, agent, scenarios, num_steps)
            searched = memory_entries if arm not in RAW_ARMS and get_arm(arm).consults_memory else 0
            row = ThroughputRow(physics, str(env.device), num_envs, arm, rate, searched)
            on_row(row)
            rows.append(asdict(row))
    return rows


def _rate(fleet: Fleet, agent: Agent, scenarios: Sequence[Scenario], num_steps: int) -> float:
    """Steps of running episodes a second once warm: those that have ended may stand still, which costs nothing."""
    start, steps = time.perf_counter(), 0

    def start_when_warm(played: PlayedStep) -> None:
        nonlocal start, steps
        if played.index == WARM_UP_STEPS - 1:
            steps = int(fleet.truth.steps.sum())
            start = time.perf_counter()

    attempts = [0] * fleet.num_envs
    play_agent(fleet, agent, scenarios, attempts, after_step=start_when_warm, num_steps=WARM_UP_STEPS + num_steps)
    return (int(fleet.truth.steps.sum()) - steps) / (time.perf_counter() - start)


def _agent(arm: str, env: Fleet, observation: Observation, memory_entries: int, settings: AgentSettings) -> Agent:
    device = str(env.device)
    if arm in RAW_ARMS:
        return ExpertAgent(env.num_envs, device)
    measured = get_arm(arm)
    policy = load_policy("default", env.task.name, device, settings.ode_steps)
    bank = load_bank([measured], "default", policy, device)
    how = arm_settings(settings, policy.flow.horizon, env.task.slug, bank)
    memory = None
    if measured.consults_memory:
        memory = new_memory(how, policy.flow.horizon)
        _fill(memory, RetrievalEncoder(device=device).encode(observation).cpu().numpy(), memory_entries)
    return make_policy_agent(measured, env, policy, how, memory, remembers=True)


def _fill(memory: FailureMemory, keys: np.ndarray, entries: int) -> None:
    """Cases around the fleet's own states, so that searches hit and steer."""
    rng = np.random.Generator(np.random.Philox(key=0))
    chunk = np.zeros((memory.horizon, 7), dtype=np.float32)
    prior = np.full((len(CANDIDATES), 2), 1.0, dtype=np.float32)
    prior[1, 0] = 2.0
    cases = []
    for i in range(-(-entries // KEYS_PER_CASE)):
        near = keys[i % len(keys)] + 0.005 * rng.standard_normal((KEYS_PER_CASE, keys.shape[1]))
        cases.append(FailureCase(near.astype(np.float32), chunk, "grasp_failure", chunk, "grasp", str(i), prior))
    memory.duplicate_threshold = 1.0
    memory.add(cases)
