"""An agent that is told the task in other words than the episode's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from flow_rag_vla.agents.agent import Agent, EpisodeNotes
    from flow_rag_vla.memory.case import FailureCase
    from flow_rag_vla.tasks.contract import Observation


class RewordedAgent:
    """``agent``, whose environments take turns in being told ``wordings``."""

    def __init__(self, agent: Agent, wordings: Sequence[str], num_envs: int) -> None:
        """Tell environment ``i`` wording ``i`` modulo their number."""
        self._agent = agent
        self._spoken = tuple(wordings[i % len(wordings)] for i in range(num_envs))
        self.execute = agent.execute

    def decide(self, observation: Observation, running: torch.Tensor) -> torch.Tensor:
        """The agent's chunks for what is sensed and the other wording."""
        return self._agent.decide(dataclasses.replace(observation, instruction=self._spoken), running)

    def reset(self, noise_keys: Sequence[str], attempts: Sequence[int]) -> None:
        """As the agent."""
        self._agent.reset(noise_keys, attempts)

    def watch(self, observation: Observation, running: torch.Tensor) -> None:
        """As the agent."""
        self._agent.watch(observation, running)

    def notes(self) -> EpisodeNotes:
        """As the agent."""
        return self._agent.notes()

    def seems_failed(self) -> torch.Tensor:
        """As the agent."""
        return self._agent.seems_failed()

    def failures(self) -> dict[int, FailureCase]:
        """As the agent."""
        return self._agent.failures()

    def decide_seconds(self) -> tuple[float, int]:
        """As the agent."""
        return self._agent.decide_seconds()
