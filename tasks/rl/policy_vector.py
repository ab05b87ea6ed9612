"""The observation as one flat vector, as gym's ``policy`` group wants it; nothing privileged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from flow_rag_vla.tasks.rl.alignment import missing_turn

if TYPE_CHECKING:
    from flow_rag_vla.tasks.contract import Observation

POLICY_DIM = 66


def policy_vector(o: Observation) -> torch.Tensor:
    """(num_envs, POLICY_DIM) what is sensed, in SI units, then hand to object and object to goal, m, and missing turn.

    A small network needs these three for every move; it would take long to find them in positions and quaternions.
    """
    columns = (
        o.joint_pos, o.joint_vel, o.ee_pos_b, o.ee_quat_b, o.ee_target_pos_b, o.ee_target_quat_b,
        o.gripper_width_m, o.grip_force_n, o.hand_force_b, o.link_force_b, o.previous_action,
        o.object_pos_b, o.object_quat_b, o.object_size_m, o.object_rgb, o.goal_pos_b,
        o.object_pos_b - o.ee_pos_b, o.goal_pos_b - o.object_pos_b,
        missing_turn(o.ee_quat_b, o.object_quat_b).unsqueeze(1),
    )  # fmt: skip
    return torch.cat(columns, dim=1)
