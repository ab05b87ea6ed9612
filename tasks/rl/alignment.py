"""How the fingers stand to the object's sides: the turn that is still missing for a grasp."""

from __future__ import annotations

import torch

from flow_rag_vla.tasks.facts.rotation import quat_x_axis


def missing_turn(ee_quat: torch.Tensor, object_quat: torch.Tensor) -> torch.Tensor:
    """(num_envs,) sine of the turn about the vertical, at most a quarter, that lays the hand's x axis on the object's.

    Args:
        ee_quat: (num_envs, 4) orientation of the hand, which points down; its fingers close along its y axis.
        object_quat: (num_envs, 4) orientation of the object; it is grasped across its y axis, where a bar is narrow.
    """
    hand, wanted = quat_x_axis(ee_quat)[:, :2], quat_x_axis(object_quat)[:, :2]
    sine = hand[:, 0] * wanted[:, 1] - hand[:, 1] * wanted[:, 0]
    # Either end of the object may point forward.
    return torch.where((hand * wanted).sum(dim=1) < 0, -sine, sine)
