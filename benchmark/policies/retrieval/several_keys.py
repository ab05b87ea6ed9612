"""Several keys of the same observations, so that one play of the episodes serves them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from flow_rag_vla.agents.agent import WrappedAgent
from flow_rag_vla.memory.case import BoolArray, Float32Array
from flow_rag_vla.tasks.contract import NOTHING

if TYPE_CHECKING:
    from flow_rag_vla.agents.agent import Agent
    from flow_rag_vla.agents.policy.encoders import StateEncoder
    from flow_rag_vla.tasks.contract import Observation


class SeveralKeys:
    """A key encoder that puts those of ``encoders`` side by side.

    The first must make keys of length one: a memory scales the whole to length one, and the first tells by how much.
    """

    def __init__(self, encoders: Mapping[str, StateEncoder]) -> None:
        """Encoders by name, in their order."""
        self._encoders = dict(encoders)

    @property
    def embedding_dim(self) -> int:
        """Numbers in all of them."""
        return sum(encoder.embedding_dim for encoder in self._encoders.values())

    def encode(self, observation: Observation) -> torch.Tensor:
        """(num_envs, embedding_dim) float32."""
        return torch.cat([encoder.encode(observation) for encoder in self._encoders.values()], dim=1)

    def apart(self, keys: Float32Array) -> dict[str, Float32Array]:
        """``keys`` (..., embedding_dim), however they were scaled, by name and as they were made."""
        widths = [encoder.embedding_dim for encoder in self._encoders.values()]
        parts = np.split(keys, np.cumsum(widths)[:-1], axis=-1)
        length = np.linalg.norm(parts[0], axis=-1, keepdims=True)
        return {name: part / length for name, part in zip(self._encoders, parts, strict=True)}


class KeysWhenAsked(WrappedAgent):
    """Notes the keys of the two decisions at which a memory is asked: the first, and the first after an alarm."""

    def __init__(self, agent: Agent, encoder: StateEncoder) -> None:
        """Listen to ``agent``; ``encoder`` makes the keys."""
        super().__init__(agent)
        self._encoder = encoder
        self._at_first: torch.Tensor | None = None
        self._at_alarm: torch.Tensor | None = None
        self._alarmed: torch.Tensor | None = None

    def reset(self, noise_keys: Sequence[str], attempts: Sequence[int]) -> None:
        """New episodes in all environments."""
        super().reset(noise_keys, attempts)
        self._at_first = self._at_alarm = self._alarmed = None

    def decide(self, observation: Observation, running: torch.Tensor) -> torch.Tensor:
        """Chunks (num_envs, horizon, 7)."""
        felt = (self.notes().failure_type != NOTHING) & running
        if self._at_first is None or self._at_alarm is None or self._alarmed is None:
            self._at_first = self._encoder.encode(observation)
            self._at_alarm, self._alarmed = self._at_first.clone(), torch.zeros_like(felt)
        new = felt & ~self._alarmed
        if bool(new.any()):
            self._at_alarm = torch.where(new[:, None], self._encoder.encode(observation), self._at_alarm)
            self._alarmed |= new
        return super().decide(observation, running)

    def asked(self) -> tuple[Float32Array, Float32Array, BoolArray]:
        """(num_envs, embedding_dim) keys at the first decision and after the alarm, and (num_envs,) where one came.

        Raises:
            RuntimeError: nothing was decided yet.
        """
        if self._at_first is None or self._at_alarm is None or self._alarmed is None:
            raise RuntimeError("keys were asked for before the first decision")
        return self._at_first.cpu().numpy(), self._at_alarm.cpu().numpy(), self._alarmed.cpu().numpy()
