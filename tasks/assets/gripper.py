"""Grip force control: one signed number per hand becomes position targets for two coupled fingers.

A position drive of stiffness k with target ``q - F/k`` presses with F.  The fingers are coupled, as the real hand's are
(``panda_usd`` keeps the joint that makes the second follow the first), and get the same target, computed from their
mean position, so that the sum of their forces is what is commanded.
"""

from __future__ import annotations

import torch

from flow_rag_vla.tasks.facts.contact_parameters import CLOSING_SPEED_M_S, FINGER_STIFFNESS_N_M, MAX_FORCE_N

DEADBAND = 0.05
"""Smaller commands keep the previous one."""

OPEN_M = 0.04
"""Finger position of the open hand."""


class GripperForce:
    """Remembers command and finger target of ``num_envs`` hands.

    Positive commands open.  Negative ones close with ``|command| x MAX_FORCE_N`` per finger.
    """

    def __init__(self, num_envs: int, device: str, control_step_s: float = 1 / 30) -> None:
        """All hands start open."""
        self._command = torch.ones(num_envs, device=device)
        self._target = torch.full((num_envs,), OPEN_M, device=device)
        self._travel = CLOSING_SPEED_M_S * control_step_s

    def reset(self, env_ids: torch.Tensor) -> None:
        """Open the hands of ``env_ids``."""
        self._command[env_ids] = 1.0
        self._target[env_ids] = OPEN_M

    def targets(self, grip_command: torch.Tensor, finger_pos: torch.Tensor) -> torch.Tensor:
        """Finger joint position targets for one control step.

        Args:
            grip_command: (num_envs,) in [-1, 1].
            finger_pos: (num_envs, 2) measured finger positions, m.

        Returns:
            (num_envs, 2), m; below zero when pressing hard on something thin.
        """
        new = grip_command.abs() >= DEADBAND
        self._command = torch.where(new, grip_command.clamp(-1.0, 1.0), self._command)
        mean = finger_pos.mean(dim=1)
        pressing = mean + self._command * (MAX_FORCE_N / FINGER_STIFFNESS_N_M)
        approaching = torch.minimum(self._target, mean) - self._travel
        closing = torch.maximum(pressing, approaching)
        self._target = torch.where(self._command > 0, OPEN_M, closing)
        return self._target.unsqueeze(1).expand(-1, 2)
