"""Collects failing and succeeding episodes for failure detectors: one task, one actor, one block of layouts."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.agents.arms.registry import get_arm
from flow_rag_vla.benchmark.command.progress import Progress
from flow_rag_vla.benchmark.command.provenance import code_state
from flow_rag_vla.benchmark.detectors.failure_plan import failure_scenarios
from flow_rag_vla.benchmark.detectors.failure_recording import ChunkProbe, RecordingAgent, record_batch
from flow_rag_vla.benchmark.detectors.failure_set import FailureSet
from flow_rag_vla.benchmark.episodes.actors import (
    default_arm_settings,
    load_policy,
    make_expert,
    make_policy_agent,
)
from flow_rag_vla.benchmark.episodes.plan import Unit, first_attempts
from flow_rag_vla.benchmark.episodes.seeds import SPLITS
from flow_rag_vla.tasks.catalogue.registry import get_task
from flow_rag_vla.tasks.contract import MAX_STEPS
from flow_rag_vla.tasks.env.batches import batches
from flow_rag_vla.tasks.env.make import make_fleet, resolve_device

if TYPE_CHECKING:
    from typing import TextIO

    from flow_rag_vla.agents.agent import Agent


@dataclass(frozen=True)
class CollectionRequest:
    """What to record."""

    task: str
    actor: str
    """Name of the arm that acts."""
    checkpoint: str
    split: str
    seed: int
    num_episodes: int
    num_envs: int
    physics: str
    device: str


def collect_failures(request: CollectionRequest, out: Path, console: TextIO) -> FailureSet:
    """Record and write to ``out``; returns the valid episodes.

    Raises:
        ValueError: an unknown split, preset or checkpoint, one for other tasks, or a block out of range.
        UnknownNameError: an unknown task.
    """
    scenarios = failure_scenarios(request.task, request.split, request.seed, request.num_episodes)
    policy = None
    arm = get_arm(request.actor)
    if arm.has_policy:
        task = get_task(request.task).name
        policy = load_policy(request.checkpoint, task, resolve_device(request.device))
    fleet = make_fleet(
        request.task, request.num_envs, physics=request.physics, device=request.device, max_steps=MAX_STEPS
    )
    with closing(fleet) as env:
        device = str(env.device)
        agent: Agent
        probe = None
        if policy is None:
            agent = make_expert(arm, env)
        else:
            settings = default_arm_settings(policy.flow.horizon, request.task)
            agent = make_policy_agent(arm, env, policy, settings)
            execute = settings.agent.executed(policy.flow.horizon)
            probe = ChunkProbe(policy, execute, SPLITS[request.split].start + request.seed)
        recorder = RecordingAgent(agent, env.num_envs, env.max_episode_length, device, probe)
        sets = []
        with Progress(len(scenarios), "episodes", console) as progress:
            for batch in batches(scenarios, env.num_envs):
                episodes = first_attempts(batch.entries)
                unit = Unit(request.actor, 0, env.num_envs, tuple(episodes))
                done = batch.first
                sets.append(record_batch(env, recorder, unit, episodes, lambda n, d=done: progress.update(d + n)))
    recorded = FailureSet.concatenate(sets)
    origin = {"policy_sha256": None if policy is None else policy.sha256, "code": code_state()}
    recorded.save(out, asdict(request) | origin)
    return recorded
