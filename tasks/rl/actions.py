"""Normalised actions: what a policy that explores in [-1, 1] means in metres, radians and grip."""

from __future__ import annotations

import torch

from flow_rag_vla.tasks.contract import ACTION_LIMITS, MAX_DELTA_POS_M, MAX_DELTA_ROT_RAD

SPEED_SHARE = 0.6
"""Of the speed limits: exploration at full speed jitters by more than a grasp forgives."""

ACTION_SCALE = (
    SPEED_SHARE * MAX_DELTA_POS_M,
    SPEED_SHARE * MAX_DELTA_POS_M,
    SPEED_SHARE * MAX_DELTA_POS_M,
    0.0,
    0.0,
    SPEED_SHARE * MAX_DELTA_ROT_RAD,
    1.0,
)
"""Physical action at 1.  Roll and pitch are locked: the hand keeps pointing down, as none of the tasks wants more."""

_LIMITS = ACTION_LIMITS[:6]


def physical_actions(actions: torch.Tensor, scale: tuple[float, ...]) -> torch.Tensor:
    """Actions (num_envs, 7) in m, rad and grip for normalised ``actions`` (num_envs, 7), clipped to [-1, 1]."""
    return actions.clamp(-1.0, 1.0) * actions.new_tensor(scale)


def effort(actions: torch.Tensor) -> torch.Tensor:
    """(num_envs,) mean square of the six pose deltas of physical ``actions`` (num_envs, 7), 1 at full speed."""
    return (actions[:, :6] / actions.new_tensor(_LIMITS)).square().mean(dim=1)
