"""Plays cells in a fleet of one engine: every episode of an arm in as few batches as the fleet allows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.engines.outcomes import EpisodeEnd, PlayedCell
from flow_rag_vla.benchmark.episodes.actors import default_arm_settings, make_expert, make_policy_agent
from flow_rag_vla.benchmark.episodes.plan import Unit, first_attempts
from flow_rag_vla.benchmark.episodes.rollout import run_batches

if TYPE_CHECKING:
    from flow_rag_vla.agents.agent import Agent
    from flow_rag_vla.agents.arms.arm import Arm
    from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
    from flow_rag_vla.benchmark.engines.cells import Assignment
    from flow_rag_vla.tasks.env.fleet import Fleet


def fleet_size(num_episodes: int, num_envs: int) -> int:
    """The smallest fleet that plays ``num_episodes`` in as few batches as one of ``num_envs`` does."""
    return math.ceil(num_episodes / math.ceil(num_episodes / num_envs))


def make_actor(arm: Arm, env: Fleet, policy: PolicyCheckpoint | None) -> Agent:
    """Who acts in ``arm``; ``policy`` is None where it needs none."""
    if policy is None:
        return make_expert(arm, env)
    return make_policy_agent(arm, env, policy, default_arm_settings(policy.flow.horizon, env.task.slug))


def play_cells(
    env: Fleet, agent: Agent, assignments: Sequence[Assignment], on_episodes: Callable[[int], None]
) -> list[PlayedCell]:
    """Let ``agent`` play the cells of ``assignments``, which are those of one arm, task and engine.

    Args:
        env: A fleet of that task on that engine.
        agent: Acts in it.
        assignments: One or more.
        on_episodes: Called after each control step with the number of episodes that have ended.
    """
    episodes = first_attempts([scenario for assignment in assignments for scenario in assignment.cell.scenarios])
    unit = Unit(assignments[0].arm, 0, env.num_envs, tuple(episodes))
    played = run_batches(env, agent, unit, 0.0, on_episodes)
    rest = iter([EpisodeEnd.of(record) for result in played for record in result.records])
    return [
        PlayedCell(
            assignment.key,
            str(env.device),
            assignment.checkpoint_sha256,
            tuple(itertools.islice(rest, len(assignment.cell.scenarios))),
        )
        for assignment in assignments
    ]
