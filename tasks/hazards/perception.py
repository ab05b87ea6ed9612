"""Biased percepts of object and goal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from flow_rag_vla.tasks.hazards.state import HazardState

PICK_SIDE_Y_M = 0.0
"""Objects on this side (smaller y) are seen by the camera that may be out of calibration."""


def _bias(state: HazardState, prefix: str) -> torch.Tensor:
    return torch.stack([state.value[f"{prefix}_bias_{axis}_m"] for axis in "xyz"], dim=1)


def perceived_object(object_pos_b: torch.Tensor, held: torch.Tensor, state: HazardState) -> torch.Tensor:
    """(num_envs, 3) perceived object centre: biased on the pick side; what the hand holds, it feels where it is."""
    applies = ~held & (object_pos_b[:, 1] < PICK_SIDE_Y_M)
    return object_pos_b + torch.where(applies.unsqueeze(1), _bias(state, "object"), 0.0)


def perceived_goal(goal_pos_b: torch.Tensor, released: torch.Tensor, state: HazardState) -> torch.Tensor:
    """(num_envs, 3) perceived goal: biased until the object has been let go, when a second look shows the truth."""
    return goal_pos_b + torch.where(released.unsqueeze(1), 0.0, _bias(state, "goal"))
