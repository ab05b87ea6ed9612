"""Sensor noise, drawn from a table that the episode's visible layout names, and readings that are no numbers."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import torch

from flow_rag_vla.tasks.contract import OBSERVATION_WIDTHS
from flow_rag_vla.tasks.facts.randomness import keyed_generator

if TYPE_CHECKING:
    from flow_rag_vla.tasks.contract import Observation

FORCE_NOISE_N = 0.5
"""Standard deviation of hand and link force components."""

GRIP_NOISE_N = 0.1
"""Standard deviation of the sensed squeeze force."""


class SensorNoise:
    """Noise on hand force (3), link force (3) and grip force (1) for each control step of an episode."""

    def __init__(self, num_envs: int, num_steps: int, device: str) -> None:
        """Reserve tables for ``num_steps`` control steps and the observation before the first."""
        self._num_steps = num_steps
        self._table = torch.zeros(num_envs, num_steps + 1, 7, device=device)
        self._rows = torch.arange(num_envs, device=device)
        self._scale = np.array([FORCE_NOISE_N] * 6 + [GRIP_NOISE_N], dtype=np.float32)

    def reset(self, env_ids: torch.Tensor, keys: list[str], attempts: list[int]) -> None:
        """Draw the tables of ``env_ids``; ``keys[i]`` and ``attempts[i]`` name the stream of ``env_ids[i]``."""
        tables = np.empty((len(keys), self._num_steps + 1, 7), dtype=np.float32)
        for table, key, attempt in zip(tables, keys, attempts, strict=True):
            keyed_generator("sensor", key, attempt).standard_normal(out=table, dtype=np.float32)
        tables *= self._scale
        self._table[env_ids] = torch.from_numpy(tables).to(self._table.device)

    def at(self, step: torch.Tensor) -> torch.Tensor:
        """Noise (num_envs, 7) for control step ``step`` (num_envs,), int64."""
        return self._table[self._rows, step.clamp(max=self._num_steps)]


class FiniteSenses:
    """Senses that show only numbers, for one broken row must not stop, nor change, what decides for all of them."""

    def __init__(self) -> None:
        """Nothing has been sensed yet."""
        self._last: Observation | None = None

    def kept_finite(self, sensed: Observation) -> tuple[Observation, torch.Tensor]:
        """``sensed``, and the rows (num_envs,) bool that are finite; the others show what they last showed, or 0."""
        columns = {name: getattr(sensed, name) for name in OBSERVATION_WIDTHS}
        finite = torch.isfinite(torch.cat(list(columns.values()), dim=1)).all(dim=1)
        row = finite.unsqueeze(1)
        old = self._last
        kept = {n: torch.where(row, v, 0.0 if old is None else getattr(old, n)) for n, v in columns.items()}
        self._last = dataclasses.replace(sensed, **kept)
        return self._last, finite
