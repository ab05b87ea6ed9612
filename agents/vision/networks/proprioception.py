"""What the arm feels of itself: input of a vision encoder beside the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from flow_rag_vla.agents.policy.features import POSITION_SCALE_M, WIDTH_SCALE_M, WORKSPACE_CENTRE_M, rotation_matrix

if TYPE_CHECKING:
    from flow_rag_vla.tasks.contract import Observation

NUM_PROPRIOCEPTION = 12

CLOSED = 10
"""Column that says whether the gripper is commanded closed."""


def proprioception(observation: Observation) -> torch.Tensor:
    """(num_envs, NUM_PROPRIOCEPTION): fingertips' place and turn, opening, whether it closes, what it squeezes.

    Nothing of object or goal: those are to be seen.
    """
    o = observation
    centre = o.ee_pos_b.new_tensor(WORKSPACE_CENTRE_M)
    blocks = (
        (o.ee_pos_b - centre) / POSITION_SCALE_M,
        rotation_matrix(o.ee_quat_b)[:, :, :2].transpose(1, 2).reshape(-1, 6),
        o.gripper_width_m / WIDTH_SCALE_M - 1.0,
        (o.previous_action[:, 6:7] < 0).float(),
        torch.tanh(o.grip_force_n),
    )
    return torch.cat(blocks, dim=1).float()
