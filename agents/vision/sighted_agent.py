"""Any agent that expects perceived poses, made to see them for itself."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from flow_rag_vla.agents.agent import WrappedAgent

if TYPE_CHECKING:
    import torch

    from flow_rag_vla.agents.agent import Agent, Capabilities
    from flow_rag_vla.agents.vision.percept import VisualPercept
    from flow_rag_vla.tasks.contract import Observation


class SightedAgent(WrappedAgent):
    """Gives ``agent`` observations whose object fields come from pictures, taken at decisions.

    Between pictures the belief is carried along with the hand.  The goal is a command: the robot knows where it is
    asked to put things.
    """

    def __init__(self, agent: Agent, percept: VisualPercept) -> None:
        """Let ``agent`` act on ``percept``."""
        super().__init__(agent)
        self._percept = percept
        self._seconds = 0.0

    @property
    def capabilities(self) -> Capabilities:
        """Those of the agent, and that it needs pictures."""
        return dataclasses.replace(super().capabilities, needs_images=True)

    def reset(self, noise_keys: Sequence[str], attempts: Sequence[int]) -> None:
        """Start one episode per environment."""
        self._percept.reset()
        super().reset(noise_keys, attempts)

    def decide(self, observation: Observation, running: torch.Tensor) -> torch.Tensor:
        """Chunks (num_envs, horizon, 7).

        Raises:
            ValueError: the observation holds no pictures.
        """
        start = time.perf_counter()
        seen = self._percept.look(observation)
        self._seconds += time.perf_counter() - start
        return super().decide(seen, running)

    def watch(self, observation: Observation, running: torch.Tensor) -> None:
        """Take in what was felt after one control step; no picture is needed."""
        super().watch(self._percept.follow(observation), running)

    def decide_seconds(self) -> tuple[float, int]:
        """Seconds spent looking and deciding, and the number of decisions; rendering is the simulator's."""
        seconds, calls = super().decide_seconds()
        return seconds + self._seconds, calls
