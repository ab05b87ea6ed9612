"""Pushes on the carried object, and what happens to the gripper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from isaaclab.assets import RigidObject

    from flow_rag_vla.tasks.hazards.state import HazardState


def push_object(body: RigidObject, state: HazardState, step: torch.Tensor, held: torch.Tensor) -> torch.Tensor:
    """Apply this step's pushes to held objects; returns the mask (num_envs,) of environments being pushed.

    Args:
        body: The handled object.
        state: Hazard parameters.
        step: (num_envs,) control step.
        held: (num_envs,) bool.  Pushing on after it has let go would drive an object through the table.
    """
    active = state.active("push_steps", step) & held
    if not bool(active.any()):
        return active
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
