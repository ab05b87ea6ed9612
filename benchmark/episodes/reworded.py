"""An agent that is told the task in other words than the episode's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from flow_rag_vla.agents.agent import WrappedAgent

if TYPE_CHECKING:
    import torch

    from flow_rag_vla.agents.agent import Agent
    from flow_rag_vla.tasks.contract import Observation


class RewordedAgent(WrappedAgent):
    """``agent``, whose environments take turns in being told ``wordings``."""

    def __init__(self, agent: Agent, wordings: Sequence[str], num_envs: int) -> None:
        """Tell environment ``i`` wording ``i`` modulo their number."""
        super().__init__(agent)
        self._spoken = tuple(wordings[i % len(wordings)] for i in range(num_envs))

    def decide(self, observation: Observation, running: torch.Tensor) -> torch.Tensor:
        """The agent's chunks for what is sensed and the other wording."""
        return self._agent.decide(dataclasses.replace(observation, instruction=self._spoken), running)
