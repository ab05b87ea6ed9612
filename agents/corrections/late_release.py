"""Keeping hold of what would be let go beside its goal: an arm that lags has not arrived when its policy lets go."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from flow_rag_vla.agents.corrections.corrections import CANDIDATES
from flow_rag_vla.agents.detection.rules import GOAL_TOLERANCE_M, goal_offset
from flow_rag_vla.agents.policy.features import constant, held, none_of
from flow_rag_vla.tasks.contract import CONTROL_HZ, GRIP_DEADBAND

if TYPE_CHECKING:
    from flow_rag_vla.tasks.contract import Observation

ON_ITS_WAY_M = 0.15
"""What is let go further from the goal (in the table's plane) is not put down there."""

MOST_S = 1.0
"""In an episode; who still wants to let go after so long has no way to the goal."""

_PLACES_ELSEWHERE = tuple(c.goal_offset_m != 0 for c in CANDIDATES)


class LateRelease:
    """Counts, for ``num_envs`` episodes, the decisions for which the hand stayed closed beside the goal.

    The tolerance is that of the rules, the same for all tasks: a tower needs less, a bin forgives more.
    """

    def __init__(self, num_envs: int, execute: int, device: str = "cpu") -> None:
        """Nothing was kept; ``execute`` actions of a chunk run before the next decision."""
        self._execute, self._most = execute, math.ceil(MOST_S * CONTROL_HZ / execute)
        self._kept = torch.zeros(num_envs, dtype=torch.long, device=device)

    def reset(self) -> None:
        """New episodes in all environments."""
        self._kept = torch.zeros_like(self._kept)

    def chunk(self, chunk: torch.Tensor, observation: Observation, candidate: torch.Tensor) -> torch.Tensor:
        """``chunk`` (num_envs, horizon, 7), but with the grip of before where it would open beside the goal.

        Args:
            chunk: What is done elsewhere, bitwise.
            observation: What it was decided on.
            candidate: (num_envs,) correction in force; one that moves the goal means to let go beside it.
        """
        o = observation
        opens = chunk[:, :, 6] >= GRIP_DEADBAND
        keeps = held(o) & opens.any(dim=1) & (self._kept < self._most)
        if none_of(keeps):
            return chunk
        offset = goal_offset(o)
        keeps &= (offset > GOAL_TOLERANCE_M) & (offset < ON_ITS_WAY_M)
        keeps &= ~constant(_PLACES_ELSEWHERE, candidate.device, torch.bool)[candidate.clamp(min=0)]
        # The actions behind run where a decision comes late.
        self._kept = self._kept + (keeps & opens[:, : self._execute].any(dim=1))
        grip = torch.where(keeps[:, None] & opens, o.previous_action[:, 6:], chunk[:, :, 6])
        return torch.cat([chunk[:, :, :6], grip.unsqueeze(2)], dim=2)
