"""What the hand feels of an object that is not, or not yet, between its fingers."""

from __future__ import annotations

import torch

from flow_rag_vla.agents.policy.features import long_axis, rotation_matrix
from flow_rag_vla.tasks.contract import Observation

PRESSED_N = 15.0
"""Upward force on the hand that a grasp or a light touch does not cause."""

BESIDE_M = 0.06
"""A hand this close to the object (in the table's plane) means the object."""

ON_TOP = 0.3
"""A hand higher above the object's centre than this share of its height is not around it."""

MAX_WIDTH_M = 0.08
"""Opening of the free gripper."""


def distance_to_body(offset: torch.Tensor, o: Observation) -> torch.Tensor:
    """Vectors (num_envs, 3) from the object's middle line to the point ``offset`` (num_envs, 3) from its centre.

    The middle line is what the object is longer than wide; for a cube it is the centre.
    """
    axis = long_axis(o)
    half = 0.5 * (o.object_size_m[:, 0] - o.object_size_m[:, 1]).clamp(min=0.0)
    along = (offset * axis).sum(dim=1).clamp(-half, half)
    return offset - axis * along.unsqueeze(1)


def stands_on_object(o: Observation) -> torch.Tensor:
    """(num_envs,) bool: the hand presses down on the object instead of reaching around it."""
    offset = distance_to_body(o.ee_pos_b - o.object_pos_b, o)
    above = offset[:, 2] > ON_TOP * o.object_size_m[:, 2]
    upward = o.hand_force_b[:, 2]
    firm = (upward > PRESSED_N) & (upward > o.hand_force_b[:, :2].norm(dim=1))
    return firm & above & (offset[:, :2].norm(dim=1) < BESIDE_M)


def contact_side(o: Observation) -> torch.Tensor:
    """Evidence (num_envs,), m^2, of which finger stands on the object: positive for the one further along +y.

    An arm that is held up gives way sideways, and friction holds the finger that stands on something back: the open
    gripper is pressed together or apart.  With the hand's drift ``d`` along the finger axis and the change ``w`` of
    the opening, the finger on the side ``-sign(w d)`` of that axis is the one that is held.
    """
    axis = rotation_matrix(o.ee_quat_b)[:, :, 1]
    drift = ((o.ee_pos_b - o.ee_target_pos_b) * axis).sum(dim=1)
    opened = o.previous_action[:, 6] > 0
    change = torch.where(opened, o.gripper_width_m[:, 0] - MAX_WIDTH_M, 0.0)
    return -change * drift * axis[:, 1].sign()
