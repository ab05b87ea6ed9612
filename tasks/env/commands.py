"""What an action commands: shape and type are checked, and what is no number is not carried out."""

from __future__ import annotations

import torch

from flow_rag_vla.tasks.contract import ACTION_DIM, GRIP_DEADBAND
from flow_rag_vla.tasks.rl.actions import physical_actions


def checked_actions(actions: torch.Tensor, num_envs: int) -> torch.Tensor:
    """``actions`` (num_envs, 7) in float32, which they may be any real or whole numbers of.

    Raises:
        ValueError: no tensor, another shape, or truth values and complex numbers.
    """
    expected = f"expected a tensor of numbers of shape ({num_envs}, {ACTION_DIM})"
    if not isinstance(actions, torch.Tensor):
        raise ValueError(f"actions are a {type(actions).__name__}; {expected}")
    if actions.shape != (num_envs, ACTION_DIM):
        raise ValueError(f"actions have shape {tuple(actions.shape)}; {expected}")
    if actions.dtype is torch.bool or actions.is_complex():
        raise ValueError(f"actions have dtype {actions.dtype}; {expected}")
    return actions.float()


def commands(
    actions: torch.Tensor, previous: torch.Tensor, scale: tuple[float, ...] | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Commands (num_envs, 7) in m, rad and grip, and the rows (num_envs,) bool whose action is one.

    Args:
        actions: (num_envs, 7).  Where an entry is NaN or infinite, the pose and the grip are held.
        previous: (num_envs, 7) the commands before; a grip within the dead band keeps theirs.
        scale: What an action of 1 means; None for physical actions.
    """
    finite = torch.isfinite(actions).all(dim=1)
    actions = torch.where(finite.unsqueeze(1), actions, 0.0)
    if scale is not None:
        actions = physical_actions(actions, scale)
    grip = actions[:, 6].clamp(-1.0, 1.0)
    grip = torch.where(grip.abs() < GRIP_DEADBAND, previous[:, 6], grip)
    return torch.cat([actions[:, :6], grip.unsqueeze(1)], dim=1), finite
