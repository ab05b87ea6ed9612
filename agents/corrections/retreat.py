"""Raising the hand off an object that is not where it seemed: a correction of where to grasp needs room to act."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from flow_rag_vla.agents.corrections.corrections import CANDIDATES
from flow_rag_vla.agents.policy.features import constant, none_of
from flow_rag_vla.tasks.contract import MAX_DELTA_POS_M, NOMINAL_GRIP

if TYPE_CHECKING:
    from flow_rag_vla.tasks.contract import Observation

CLEAR_M = 0.12
"""A hand this far above the object's centre is free to move beside it: about where the approach begins."""

MOST_DECISIONS = 3
"""Once begun, a retreat lasts no longer; a hand that still stands on the object may begin another."""

RISE_M = 0.75 * MAX_DELTA_POS_M
"""Upward displacement of one control step."""

_GRASPS_ELSEWHERE = tuple(c.object_offset_m != 0 or c.grasp_offset_m != 0 for c in CANDIDATES)


def grasps_elsewhere(candidate: torch.Tensor) -> torch.Tensor:
    """(num_envs,) bool: where ``candidate`` (num_envs,) moves the place of the grasp."""
    return constant(_GRASPS_ELSEWHERE, candidate.device, torch.bool)[candidate.clamp(min=0)]


class Retreat:
    """Counts, for ``num_envs`` episodes, the decisions for which the hand still rises."""

    def __init__(self, num_envs: int, device: str = "cpu") -> None:
        """Nobody retreats."""
        self._left = torch.zeros(num_envs, dtype=torch.long, device=device)

    def reset(self) -> None:
        """New episodes in all environments."""
        self._left = torch.zeros_like(self._left)

    def chunk(self, starts: torch.Tensor, chunk: torch.Tensor, observation: Observation) -> torch.Tensor:
        """``chunk`` (num_envs, horizon, 7), but straight up with an open hand where an episode retreats.

        Args:
            starts: (num_envs,) bool: who begins to.
            chunk: What is done elsewhere, bitwise.
            observation: What it was decided on.
        """
        left = torch.where(starts, MOST_DECISIONS, self._left)
        if none_of(left):
            return chunk
        height = (observation.ee_pos_b - observation.object_pos_b)[:, 2]
        rises = (left > 0) & (height < CLEAR_M)
        self._left = torch.where(rises, left - 1, 0)
        up = torch.zeros_like(chunk)
        up[:, :, 2], up[:, :, 6] = RISE_M, NOMINAL_GRIP
        return torch.where(rises.reshape(-1, 1, 1), up, chunk)
