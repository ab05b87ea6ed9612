"""Raising the hand off an object that it stands on: to try again, and because another place to grasp needs room."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from flow_rag_vla.agents.corrections.corrections import CANDIDATES
from flow_rag_vla.agents.detection.hand_contact import stands_on_object
from flow_rag_vla.agents.detection.rules import GOAL_TOLERANCE_M
from flow_rag_vla.agents.policy.features import constant, held, none_of
from flow_rag_vla.tasks.contract import CONTROL_HZ, FAILURE_TYPES, MAX_DELTA_POS_M, NOMINAL_GRIP, FailureType

if TYPE_CHECKING:
    from flow_rag_vla.agents.detection.alarm import FailureAlarm
    from flow_rag_vla.tasks.contract import Observation

CLEAR_M = 0.12
"""A hand this far above the object's centre is free to move beside it: about where the approach begins."""

MOST_DECISIONS = 3
"""Once begun, a retreat lasts no longer; a hand that still stands on the object may begin another."""

RISE_M = 0.75 * MAX_DELTA_POS_M
"""Upward displacement of one control step."""

SECOND_TRY_S = 2.0
"""A second try that by then neither holds the object nor has brought it to the goal has failed.

A hand that will stand on the object again does so after five decisions of eight control steps (stack, development seed
31: 9 of 10); one that will not has the object between its fingers two decisions later.
"""

_GRASP_FAILURE = FAILURE_TYPES.index(FailureType.GRASP_FAILURE)

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


class SecondTry:
    """Where an open hand stands on the object after a failed grasp, that is tried once more before anything is changed.

    For ``num_envs`` episodes.  The policy alone presses on until the time is up.  A delay is over by the time that the
    hand approaches again; what is not over fails again, and then the memory is asked.  E1's agent tries nothing again:
    what a memory knows of doing nothing once that was felt is the policy's, until later rounds were played.
    """

    def __init__(self, num_envs: int, execute: int, device: str = "cpu") -> None:
        """Nobody has tried again; ``execute`` actions of a chunk run before the next decision."""
        self._most = math.ceil(SECOND_TRY_S * CONTROL_HZ / execute)
        self._since = torch.full((num_envs,), -1, dtype=torch.long, device=device)
        self.standing = torch.zeros(num_envs, dtype=torch.bool, device=device)
        """(num_envs,) bool: whose open hand stands on the object after a failed grasp, and should rise."""
        self.pending = torch.zeros_like(self.standing)
        """(num_envs,) bool: has begun, and has not failed."""

    def reset(self) -> None:
        """New episodes in all environments."""
        self._since = torch.full_like(self._since, -1)
        self.standing, self.pending = torch.zeros_like(self.standing), torch.zeros_like(self.pending)

    def look(self, felt: FailureAlarm, observation: Observation) -> None:
        """Take in what each decision is taken on.

        Args:
            felt: The first alarm of each episode.
            observation: What is decided on.
        """
        o = observation
        failed = felt.mask & (felt.failure_type == _GRASP_FAILURE)
        if none_of(failed):
            return
        stands = failed & (o.previous_action[:, 6] > 0) & stands_on_object(o)
        begins = stands & (self._since < 0)
        self._since = torch.where((self._since >= 0) | stands, self._since + 1, self._since)
        again = stands & ~self.standing & (self._since > MOST_DECISIONS)
        away = (o.object_pos_b - o.goal_pos_b).norm(dim=1) > GOAL_TOLERANCE_M
        late = (self._since >= self._most) & ~held(o) & away
        self.pending = (self.pending | begins) & ~again & ~late
        self.standing = stands
