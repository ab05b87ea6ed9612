"""Pushes on the carried object, and what happens to the gripper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from flow_rag_vla.tasks.facts.rotation import quat_rotate_inverse

if TYPE_CHECKING:
    from isaaclab.assets import RigidObject

    from flow_rag_vla.tasks.hazards.state import HazardState


NEAR_M = 0.02
"""An object this near to the middle between the fingertips is between the pads, or just slides out of them."""


def at_fingertips(
    tip_b: torch.Tensor, object_pos_b: torch.Tensor, object_quat_b: torch.Tensor, size_m: torch.Tensor
) -> torch.Tensor:
    """(num_envs,) bool: the middle between the fingertips is in the object's bounding box or within ``NEAR_M`` of it.

    Args:
        tip_b: (num_envs, 3) the middle between the fingertips, m.
        object_pos_b: (num_envs, 3) the object's centre, m.
        object_quat_b: (num_envs, 4) its orientation, xyzw.
        size_m: (num_envs, 3) its edge lengths, m.
    """
    inside = quat_rotate_inverse(object_quat_b, tip_b - object_pos_b)
    return (inside.abs() - size_m / 2).clamp(min=0.0).norm(dim=1) < NEAR_M


def push_object(body: RigidObject, state: HazardState, step: torch.Tensor, in_hand: torch.Tensor) -> torch.Tensor:
    """Apply this step's pushes to objects in the hand; returns the mask (num_envs,) of environments being pushed.

    Args:
        body: The handled object.
        state: Hazard parameters.
        step: (num_envs,) control step.
        in_hand: (num_envs,) bool.  A push does not end because a pad that an object slides along loses touch for a
            moment; it ends where the object has left the hand, or it would drive it through the table.
    """
    active = state.active("push_steps", step) & in_hand
    if not state.can_push:
        return active
    # Nothing is pushed with 0 N: to ask whether anything is would be to wait for the device.
    force = torch.zeros(len(active), 1, 3, device=step.device)
    force[:, 0, 0] = torch.where(active, state.value["push_side_n"], 0.0)
    force[:, 0, 2] = -torch.where(active, state.value["push_force_n"], 0.0)
    body.instantaneous_wrench_composer.add_forces_and_torques_index(
        forces=force, torques=torch.zeros_like(force), is_global=True
    )
    return active & (force[:, 0].abs().amax(dim=1) > 0)


def grip_in_effect(grip: torch.Tensor, state: HazardState, forced_open: torch.Tensor) -> torch.Tensor:
    """(num_envs,) grip commands as the gripper executes them: weakened when closing, overruled when forced open."""
    weakened = torch.where(grip < 0, grip * state.value["grip_scale"], grip)
    return torch.where(forced_open, 1.0, weakened)
