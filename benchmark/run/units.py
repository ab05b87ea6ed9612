"""Runs one unit: a block of an arm's episodes in a round, its memory in, its episodes and lessons to disk."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flow_rag_vla.agents.arms.registry import get_arm
from flow_rag_vla.benchmark.episodes.actors import make_expert, make_policy_agent
from flow_rag_vla.benchmark.episodes.rollout import run_batches
from flow_rag_vla.benchmark.workers.barriers import remembers
from flow_rag_vla.benchmark.workers.lessons import Lessons

if TYPE_CHECKING:
    from flow_rag_vla.agents.agent import Agent
    from flow_rag_vla.agents.arms.settings import ArmSettings
    from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
    from flow_rag_vla.agents.vision.networks.image_encoder import VisionEncoder
    from flow_rag_vla.benchmark.episodes.latency import LatencyProfile
    from flow_rag_vla.benchmark.episodes.plan import Unit
    from flow_rag_vla.benchmark.run.run_directory import RunDirectory
    from flow_rag_vla.benchmark.workers.barriers import Barriers
    from flow_rag_vla.memory.failure_memory import FailureMemory
    from flow_rag_vla.tasks.env.fleet import Fleet


@dataclass
class Player:
    """Who acts in the blocks of an arm's round: built once for all that follow one another."""

    agent: Agent | None = None
    memory: FailureMemory | None = None
    part: tuple[str, int] | None = None
    """Arm and round."""


@dataclass(frozen=True)
class UnitContext:
    """What all units of a run share."""

    directory: RunDirectory
    barriers: Barriers
    env: Fleet
    policy: PolicyCheckpoint
    arm_settings: ArmSettings
    latency: LatencyProfile
    """Decision latency in simulated time."""
    vision: VisionEncoder | None = None
    """What agents see with; None gives them the perceived poses."""
    player: Player = field(default_factory=Player)
    """The last unit's, for the next one."""


def run_unit(context: UnitContext, unit: Unit, on_progress: Callable[[int], None]) -> None:
    """Run ``unit`` and leave its folder complete, with what its memory is to learn at the next barrier.

    A fleet smaller than planned (the memory of a GPU did not hold more) runs the same episodes in more batches.

    Args:
        context: What the run's units share.
        unit: The unit.
        on_progress: Called after each control step with the number of this unit's episodes that have ended.
    """
    context.directory.begin(unit)
    agent, memory = _player(context, unit)
    decided = agent.decide_seconds()
    results = []
    started, steps = time.perf_counter(), 0

    def on_step(ended: int) -> None:
        nonlocal steps
        steps += 1
        on_progress(ended)

    for result in run_batches(context.env, agent, unit, context.latency.of(unit.arm), on_step):
        context.directory.append(unit, result.records)
        results.append(result)
    elapsed = time.perf_counter() - started
    if remembers(unit):
        context.directory.keep_lessons(unit, Lessons.of(results))
    measured = _measured(elapsed, steps, context.env.num_envs, agent, decided, memory)
    if context.vision is not None:
        ages = context.vision.take_ages()
        if ages is not None:
            measured["picture_age"] = ages
        # A picture still under way is nobody's any more, and would take time from what is timed next.
        context.vision.reset()
    context.directory.finish(unit, measured, context.barriers.memory_before(unit))


def _player(context: UnitContext, unit: Unit) -> tuple[Agent, FailureMemory | None]:
    player, part = context.player, (unit.arm, unit.round)
    if player.agent is None or player.part != part:
        source = context.barriers.before(unit)
        player.memory = None if source is None else context.barriers.make_memory(source)
        player.agent, player.part = _agent(context, unit, player.memory), part
    return player.agent, player.memory


def _agent(context: UnitContext, unit: Unit, memory: FailureMemory | None) -> Agent:
    env, arm = context.env, get_arm(unit.arm)
    if arm.expert is not None:
        return make_expert(arm, env)
    return make_policy_agent(
        arm,
        env,
        context.policy,
        context.arm_settings,
        memory,
        remembers=remembers(unit),
        vision=context.vision,
        looks_at_support=True,
    )


def _measured(
    elapsed_s: float,
    steps: int,
    num_envs: int,
    agent: Agent,
    decided: tuple[float, int],
    memory: FailureMemory | None,
) -> dict[str, Any]:
    """What a clock says of a unit; ``decided`` is what the agent had decided before it."""
    decide_s, decisions = (now - before for now, before in zip(agent.decide_seconds(), decided, strict=True))
    env_decisions = decisions * num_envs
    return {
        "wall_s": elapsed_s,
        "num_envs": num_envs,
        "env_steps_per_s": steps * num_envs / elapsed_s if elapsed_s > 0 else None,
        "ms_per_env_decision": 1000.0 * decide_s / env_decisions if env_decisions else None,
        "memory_bytes": None if memory is None else memory.num_bytes,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
