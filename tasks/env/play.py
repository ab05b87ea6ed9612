"""The one loop that plays loaded episodes: sense, act, step, until they have ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from flow_rag_vla.tasks.contract import Observation
    from flow_rag_vla.tasks.env.fleet import Fleet

type Act = Callable[[Observation, int, torch.Tensor], torch.Tensor]
"""Observation, index of the control step and (num_envs,) bool of running episodes to actions (num_envs, 7)."""


@dataclass(frozen=True)
class PlayedStep:
    """One control step of all environments, just done."""

    index: int
    """0 for the first."""
    observation: Observation
    """What is sensed after it."""
    running: torch.Tensor
    """(num_envs,) bool: the episodes that ran before it, whose step it was."""
    ended: int
    """Of the episodes waited for, those that have ended by now; 0 where none is waited for."""


def play(
    fleet: Fleet,
    act: Act,
    *,
    after_step: Callable[[PlayedStep], None] | None = None,
    count: int | None = None,
    num_steps: int | None = None,
) -> None:
    """Let ``act`` play the episodes that ``fleet`` has loaded.

    Args:
        fleet: Its last ``load`` started the episodes.
        act: Called once before each control step, also for rows whose episode has ended.  What it keeps of the
            observation it must copy: the step changes the simulator's buffers.
        after_step: Called after each control step.
        count: How many episodes, from the first environment on, are waited for; None for all of them.
        num_steps: Take exactly this many control steps, whichever episodes end; None for as many as it takes until
            those waited for have ended, ``fleet.max_episode_length`` at most.

    Raises:
        ValueError: ``count`` is not of the fleet, or given together with ``num_steps``.
    """
    awaited = _awaited(fleet.num_envs, count, num_steps)
    for index in range(fleet.max_episode_length if num_steps is None else num_steps):
        running = ~fleet.done
        fleet.step(act(fleet.observe(), index, running))
        # Counting waits for the device, so it is done once a step and only where somebody is waited for.
        ended = int(fleet.done[:awaited].sum()) if awaited else 0
        if after_step is not None:
            after_step(PlayedStep(index, fleet.observe(), running, ended))
        if awaited and ended == awaited:
            break


def _awaited(num_envs: int, count: int | None, num_steps: int | None) -> int:
    if num_steps is not None:
        if count is not None:
            raise ValueError(f"expected count or num_steps, got count {count} and num_steps {num_steps}")
        return 0
    if count is None:
        return num_envs
    if not 1 <= count <= num_envs:
        raise ValueError(f"count is {count}, expected 1 to the fleet's {num_envs} environments")
    return count
