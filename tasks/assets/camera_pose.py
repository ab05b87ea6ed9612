"""Orientation of a camera that looks in a given direction."""

from __future__ import annotations

import torch


def quat_of_view(direction: torch.Tensor) -> torch.Tensor:
    """Quaternions (n, 4), xyzw, of level cameras that look along ``direction`` (n, 3); never straight up or down.

    The camera's own axes are OpenGL's: x to the right of the picture, y up, and it looks along -z.
    """
    forward = torch.nn.functional.normalize(direction, dim=1)
    up = forward.new_tensor([0.0, 0.0, 1.0]).expand_as(forward)
    right = torch.nn.functional.normalize(torch.linalg.cross(forward, up), dim=1)
    above = torch.linalg.cross(right, forward)
    rotation = torch.stack([right, above, -forward], dim=2)
    return _quat_of_matrix(rotation)


def _quat_of_matrix(rotation: torch.Tensor) -> torch.Tensor:
    """Unit quaternions (n, 4), xyzw, of rotation matrices (n, 3, 3) by their largest component."""
    m = rotation
    trace = m[:, 0, 0] + m[:, 1, 1] + m[:, 2, 2]
    # 4 q q^T, whose columns are all multiples of q; the one with the largest diagonal is the safest.
    off = torch.stack([m[:, 2, 1] - m[:, 1, 2], m[:, 0, 2] - m[:, 2, 0], m[:, 1, 0] - m[:, 0, 1]], dim=1)
    outer = torch.zeros(len(m), 4, 4, dtype=m.dtype, device=m.device)
    eye = torch.eye(3, dtype=m.dtype, device=m.device)
    outer[:, :3, :3] = m + m.transpose(1, 2) + (1.0 - trace).reshape(-1, 1, 1) * eye
    outer[:, 3, :3] = outer[:, :3, 3] = off
    outer[:, 3, 3] = 1.0 + trace
    best = outer.diagonal(dim1=1, dim2=2).argmax(dim=1)
    return torch.nn.functional.normalize(outer[torch.arange(len(m), device=m.device), best], dim=1)
