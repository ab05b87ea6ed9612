"""Policy noise that depends on what it is for, never on when or beside whom it is drawn.

Keyed by (stream, attempt, decision), so that all arms share it: a second attempt meets fresh noise, and the same
attempt meets the same noise whatever the batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from flow_rag_vla.tasks.contract import ACTION_DIM

NoiseKey = tuple[str | int, int]
"""Stream (what names the episode's randomness) and attempt."""


def _generator(key: NoiseKey) -> np.random.Generator:
    """A Philox generator named by the sha256 of ``key``."""
    digest = hashlib.sha256(f"policy\x1f{key[0]}\x1f{key[1]}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


def _table(key: NoiseKey, num_decisions: int, horizon: int) -> npt.NDArray[np.float32]:
    """Noise (num_decisions, horizon, 7) of an episode; fewer decisions give the beginning of the same table."""
    return _generator(key).standard_normal((num_decisions, horizon, ACTION_DIM), dtype=np.float32)


def policy_noise(keys: Sequence[NoiseKey], decision: int, horizon: int) -> torch.Tensor:
    """Standard normal noise (len(keys), horizon, 7) of decision number ``decision`` (from 0)."""
    rows = [_table(key, decision + 1, horizon)[decision] for key in keys]
    return torch.from_numpy(np.stack(rows))


class NoiseTable:
    """``policy_noise`` of a fleet, drawn once an episode and looked up at each decision."""

    def __init__(self, num_envs: int, max_decisions: int, horizon: int, device: str = "cpu") -> None:
        """Reserve room for ``max_decisions`` decisions an episode."""
        self._table = torch.zeros(num_envs, max_decisions, horizon, ACTION_DIM, device=device)

    @property
    def max_decisions(self) -> int:
        """Decisions for which an episode has noise."""
        return self._table.shape[1]

    def reset(self, env_ids: torch.Tensor, keys: Sequence[NoiseKey]) -> None:
        """Draw the noise of ``env_ids`` (k,), whose episodes are named by ``keys`` (k).

        Raises:
            ValueError: not one key for each environment.
        """
        if len(keys) != len(env_ids):
            raise ValueError(f"expected one key for each of {len(env_ids)} environments, got {len(keys)}")
        if not len(keys):
            return
        num_decisions, horizon = self._table.shape[1:3]
        tables = np.empty((len(keys), num_decisions, horizon, ACTION_DIM), dtype=np.float32)
        for table, key in zip(tables, keys, strict=True):
            _generator(key).standard_normal(out=table, dtype=np.float32)
        self._table[env_ids] = torch.from_numpy(tables).to(self._table.device)

    def draw(self, decision: int) -> torch.Tensor:
        """Noise (num_envs, horizon, 7) for decision number ``decision`` of every episode, from 0.

        Raises:
            ValueError: a decision beyond ``max_decisions``.
        """
        if not 0 <= decision < self.max_decisions:
            raise ValueError(f"decision {decision} has no noise: the table holds {self.max_decisions} an episode")
        return self._table[:, decision].clone()
