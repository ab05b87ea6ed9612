"""What the simulator says after one control step: the raw material of outcomes and truth labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class StepFacts:
    """``(num_envs,)`` tensors unless noted; positions in the robot-base frame."""

    object_pos_b: torch.Tensor
    """(num_envs, 3) true object centre, m."""
    object_speed: torch.Tensor
    """Mean over the control step, m/s: an object at rest on a contact may rattle at 0.07 m/s within a millimetre."""
    object_tilt_rad: torch.Tensor
    """Angle between the object's own z axis and the vertical, on which it stood at first."""
    goal_pos_b: torch.Tensor
    """(num_envs, 3) true goal of the object's centre, m."""
    ee_pos_b: torch.Tensor
    """(num_envs, 3) fingertip centre, m."""
    finger_force_n: torch.Tensor
    """(num_envs, 2) peak force between each finger and the object."""
    finger_lift_n: torch.Tensor
    """Upward part of the force with which the object holds up a finger (the larger of both)."""
    penetration_m: torch.Tensor
    """Deepest that both finger pads together sank into the object, as ``EpisodeTruth`` has it, m."""
    peak_penetration_m: torch.Tensor
    """The same of any substep, m."""
    obstacle_force_n: torch.Tensor
    """Peak force between the obstacle and the robot or the object."""
    commanded_closed: torch.Tensor
    """bool: the policy commands the gripper closed."""
    gripper_closed: torch.Tensor
    """bool: the gripper is closed or closing, which a late or ignored command may be behind."""
    broke: torch.Tensor
    """bool: the object broke in this step."""
    pushed: torch.Tensor
    """bool: the object is being pushed in this step."""
    forced_open: torch.Tensor
    """bool: the gripper is being forced open in this step."""
    actuation_altered: torch.Tensor
    """bool: the executed action was not the commanded one in this step."""
    latent: torch.Tensor
    """bool: a hazard that acts without an event of its own (friction, mass, bias, ...) is in force."""
    invalid_reason: torch.Tensor
    """int64 index into ``INVALID_REASONS``, -1 where the physics holds."""


def goal_offset_m(facts: StepFacts) -> torch.Tensor:
    """(num_envs,) distance of the object's centre from the goal in the table's plane, m."""
    return (facts.object_pos_b - facts.goal_pos_b)[:, :2].norm(dim=1)


def goal_height_error_m(facts: StepFacts) -> torch.Tensor:
    """(num_envs,) height of the object's centre above its goal height, m."""
    return facts.object_pos_b[:, 2] - facts.goal_pos_b[:, 2]
