"""Lets an agent play episodes: it decides on a chunk of actions now and then, late by what deciding takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from flow_rag_vla.tasks.contract import CONTROL_HZ
from flow_rag_vla.tasks.env.play import PlayedStep, play

if TYPE_CHECKING:
    from flow_rag_vla.agents.agent import Agent
    from flow_rag_vla.tasks.contract import Observation
    from flow_rag_vla.tasks.env.fleet import Fleet
    from flow_rag_vla.tasks.scenarios.scenario import Scenario


class ChunkExecutor:
    """Plays action chunks, late by the agent's decision latency.

    While the agent decides, the rest of the previous chunk runs; where that has run out the pose target is held
    (zero delta, same grip).
    """

    def __init__(self, num_envs: int, delay_ms: float, device: str) -> None:
        """``delay_ms`` of latency a decision, rounded up to whole control steps."""
        self.delay_steps = math.ceil(delay_ms * CONTROL_HZ / 1000.0 - 1e-9)
        self._hold = torch.zeros(num_envs, 7, device=device)
        self._running: torch.Tensor | None = None
        self._pending: torch.Tensor | None = None
        self._age = 0
        self._pending_age = 0

    @property
    def is_deciding(self) -> bool:
        """A decision is still under way: no other can be started."""
        return self._pending is not None and self._pending_age < self.delay_steps

    def submit(self, chunk: torch.Tensor) -> None:
        """A decision was started now and will answer ``chunk`` (num_envs, horizon, 7).

        A row with an entry that is no number is none at all: the episode ends at its first action, as invalid, rather
        than with a success on what came before the entry.
        """
        self._take_over()
        finite = torch.isfinite(chunk).flatten(1).all(dim=1).reshape(-1, 1, 1)
        self._pending, self._pending_age = torch.where(finite, chunk, torch.nan), 0

    def _take_over(self) -> None:
        """Let the decision that has come due replace the chunk that runs."""
        if self._pending is not None and not self.is_deciding:
            # Its first actions were meant for the time that deciding took.
            self._running, self._age, self._pending = self._pending, self._pending_age, None

    def next_action(self) -> torch.Tensor:
        """The action (num_envs, 7) of this control step."""
        self._take_over()
        action = self._hold
        if self._running is not None and self._age < self._running.shape[1]:
            action = self._running[:, self._age]
        self._age += 1
        self._pending_age += 1
        self._hold = torch.cat([torch.zeros_like(action[:, :6]), action[:, 6:]], dim=1)
        return action


def play_agent(
    fleet: Fleet,
    agent: Agent,
    scenarios: Sequence[Scenario],
    attempts: Sequence[int],
    delay_ms: float = 0.0,
    *,
    after_step: Callable[[PlayedStep], None] | None = None,
    count: int | None = None,
    num_steps: int | None = None,
) -> None:
    """Reset ``agent`` and let it play the episodes that ``fleet`` has just loaded.

    Pictures are rendered for decisions alone, since that dominates.

    Args:
        fleet: Has loaded ``scenarios``.
        agent: Decides for all environments.
        scenarios: One per environment; their noise keys name the agent's noise, and it is told more of them only if its
            capabilities say so.
        attempts: How often each has been met before.
        delay_ms: Decision latency in simulated time.
        after_step: Called after each control step, when the agent has watched it.
        count: As in ``play``, as are the errors.
        num_steps: Likewise.
    """
    needs_images = agent.capabilities.needs_images
    if agent.capabilities.told_truth:
        agent.tell(scenarios)
    agent.reset([scenario.noise_key for scenario in scenarios], attempts)
    executor = ChunkExecutor(fleet.num_envs, delay_ms, str(fleet.device))
    decided = -agent.execute

    def act(observation: Observation, step: int, running: torch.Tensor) -> torch.Tensor:
        nonlocal decided
        # Latency that outlasts the executed actions delays the next decision.
        if step - decided >= agent.execute and not executor.is_deciding:
            executor.submit(agent.decide(fleet.observe(images=True) if needs_images else observation, running))
            decided = step
        return executor.next_action()

    def watch(played: PlayedStep) -> None:
        agent.watch(played.observation, played.running)
        if after_step is not None:
            after_step(played)

    play(fleet, act, after_step=watch, count=count, num_steps=num_steps)
