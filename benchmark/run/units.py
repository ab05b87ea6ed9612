"""Runs one unit: the batches of one arm in one round, its memory in and out, its episodes to disk."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flow_rag_vla.agents.arms.registry import get_arm, reference_arm
from flow_rag_vla.agents.recall.new_memory import new_memory
from flow_rag_vla.benchmark.episodes.actors import make_expert, make_policy_agent
from flow_rag_vla.benchmark.episodes.barrier import merge_into
from flow_rag_vla.benchmark.episodes.rollout import BatchResult, run_batch
from flow_rag_vla.tasks.env.batches import batches

if TYPE_CHECKING:
    from flow_rag_vla.agents.agent import Agent
    from flow_rag_vla.agents.arms.settings import ArmSettings
    from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
    from flow_rag_vla.agents.vision.networks.image_encoder import VisionEncoder
    from flow_rag_vla.benchmark.episodes.latency import LatencyProfile
    from flow_rag_vla.benchmark.episodes.plan import Plan, Unit
    from flow_rag_vla.benchmark.run.run_directory import RunDirectory
    from flow_rag_vla.memory.failure_memory import FailureMemory
    from flow_rag_vla.tasks.env.fleet import Fleet


@dataclass(frozen=True)
class UnitContext:
    """What all units of a run share."""

    directory: RunDirectory
    plan: Plan
    env: Fleet
    policy: PolicyCheckpoint
    arm_settings: ArmSettings
    latency: LatencyProfile
    """Decision latency in simulated time."""
    vision: VisionEncoder | None = None
    """What agents see with; None gives them the perceived poses."""


def memory_before(directory: RunDirectory, plan: Plan, unit: Unit) -> Path | None:
    """The memory file that ``unit`` starts from: its arm's previous round, or E1; None in E1 and without memory."""
    if unit.round == 0 or not get_arm(unit.arm).consults_memory:
        return None
    arm = reference_arm().name if unit.round == 1 else unit.arm
    before = next(u for u in plan.units if u.round == unit.round - 1 and u.arm == arm)
    return directory.memory(before)


def run_unit(context: UnitContext, unit: Unit, on_progress: Callable[[int], None]) -> None:
    """Run ``unit`` and leave its folder complete.

    The memory is frozen while the unit runs; outcomes and new failures are merged afterwards, in the order of the
    plan and of scenario ids.

    Args:
        context: What the run's units share.
        unit: The unit.
        on_progress: Called with the number of this unit's episodes that have ended.
    """
    context.directory.begin(unit)
    source = memory_before(context.directory, context.plan, unit)
    memory = None
    if source is not None:
        memory = new_memory(context.arm_settings, context.policy.flow.horizon, source)
    agent = _agent(context, unit, memory)
    results = []
    started, steps = time.perf_counter(), 0
    for batch in batches(unit.episodes, unit.num_envs):

        def on_step(ended: int, before: int = batch.first) -> None:
            nonlocal steps
            steps += 1
            on_progress(before + ended)

        result = run_batch(context.env, agent, unit, batch.entries, context.latency.of(unit.arm), on_step)
        context.directory.append(unit, result.records)
        results.append(result)
    elapsed = time.perf_counter() - started
    entries = _merge(context, unit, memory, results, context.directory.memory(unit))
    measured = _measured(elapsed, steps, unit, agent, entries, memory)
    if context.vision is not None:
        ages = context.vision.take_ages()
        if ages is not None:
            measured["picture_age"] = ages
        # A picture still under way is nobody's any more, and would take time from what is timed next.
        context.vision.reset()
    context.directory.finish(unit, measured, source)


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
        remembers=unit.round == 0 or arm.consults_memory,
        vision=context.vision,
    )


def _merge(
    context: UnitContext, unit: Unit, memory: FailureMemory | None, results: list[BatchResult], target: Path
) -> int | None:
    """The barrier: merge into the memory, save; returns the case count."""
    if unit.round > 0 and memory is None:
        return None
    after = new_memory(context.arm_settings, context.policy.flow.horizon) if memory is None else memory
    merge_into(after, results)
    after.save(target)
    return len(after)


def _measured(
    elapsed_s: float, steps: int, unit: Unit, agent: Agent, entries: int | None, memory: FailureMemory | None
) -> dict[str, Any]:
    decide_s, decisions = agent.decide_seconds()
    env_decisions = decisions * unit.num_envs
    return {
        "wall_s": elapsed_s,
        "env_steps_per_s": steps * unit.num_envs / elapsed_s if elapsed_s > 0 else None,
        "ms_per_env_decision": 1000.0 * decide_s / env_decisions if env_decisions else None,
        "memory_entries": entries,
        "memory_bytes": None if memory is None else memory.num_bytes,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
