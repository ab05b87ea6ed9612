"""Outcomes for the training log: what became of the last ended episode of each environment."""

from __future__ import annotations

import torch

LIFTED_M = 0.04
"""An object that was held this far above where it lay has been lifted."""


class TrainingLog:
    """Shares over environments, so that short (failed or solved) episodes do not crowd out long ones."""

    def __init__(self, num_envs: int, device: str) -> None:
        """Nothing has ended yet."""
        self._lifted = torch.zeros(num_envs, dtype=torch.bool, device=device)
        self._ended = torch.zeros_like(self._lifted)
        self._last_lifted = torch.zeros_like(self._lifted)
        self._last_success = torch.zeros_like(self._lifted)

    def update(
        self, *, raised_m: torch.Tensor, held: torch.Tensor, success: torch.Tensor, ended: torch.Tensor
    ) -> dict[str, float]:
        """Take in one control step, before ended environments are reset.

        Args:
            raised_m: (num_envs,) height of the object above where it lay, m.
            held: (num_envs,) bool, the object is in the hand.
            success: (num_envs,) bool, the task was completed.
            ended: (num_envs,) bool, the episode ended with this step.

        Returns:
            Shares of successful and of lifting episodes, by name in the training log; empty until an episode has ended.
        """
        self._lifted |= held & (raised_m > LIFTED_M)
        self._last_lifted = torch.where(ended, self._lifted, self._last_lifted)
        self._last_success = torch.where(ended, success, self._last_success)
        self._ended |= ended
        self._lifted &= ~ended
        count = int(self._ended.sum())
        if not count:
            return {}
        return {
            "Episode/success_share": float(self._last_success.sum()) / count,
            "Episode/lifted_share": float(self._last_lifted.sum()) / count,
        }
