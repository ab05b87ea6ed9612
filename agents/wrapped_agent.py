"""An agent around another one: what it does not change, it passes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from flow_rag_vla.agents.agent import Agent, EpisodeNotes
    from flow_rag_vla.memory.case import FailureCase
    from flow_rag_vla.tasks.contract import Observation


class WrappedAgent:
    """Does as ``agent`` does; subclasses change what it is shown or what is kept of it."""

    def __init__(self, agent: Agent) -> None:
        """Wrap ``agent``."""
        self._agent = agent
        self.execute = agent.execute

    def reset(self, noise_keys: Sequence[str], attempts: Sequence[int]) -> None:
        """Start one episode per environment."""
        self._agent.reset(noise_keys, attempts)

    def decide(self, observation: Observation, running: torch.Tensor) -> torch.Tensor:
        """Chunks (num_envs, horizon, 7)."""
        return self._agent.decide(observation, running)

    def watch(self, observation: Observation, running: torch.Tensor) -> None:
        """Take in what was sensed after one control step."""
        self._agent.watch(observation, running)

    def notes(self) -> EpisodeNotes:
        """Those of the agent."""
        return self._agent.notes()

    def seems_failed(self) -> torch.Tensor:
        """(num_envs,) bool: what the agent itself takes for a failed episode."""
        return self._agent.seems_failed()

    def failures(self) -> dict[int, FailureCase]:
        """Those of the agent."""
        return self._agent.failures()

    def decide_seconds(self) -> tuple[float, int]:
        """Seconds spent deciding, and the number of decisions."""
        return self._agent.decide_seconds()
