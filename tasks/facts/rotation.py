"""Quaternion helpers (xyzw) in plain torch, for code that must not import the simulator."""

from __future__ import annotations

import torch


def quat_multiply(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Hamilton product ``a b`` of quaternions (..., 4): rotate by ``b``, then by ``a``."""
    av, aw = a[..., :3], a[..., 3:]
    bv, bw = b[..., :3], b[..., 3:]
    vector = aw * bv + bw * av + torch.linalg.cross(av, bv)
    return torch.cat([vector, aw * bw - (av * bv).sum(dim=-1, keepdim=True)], dim=-1)


def quat_conjugate(q: torch.Tensor) -> torch.Tensor:
    """Inverse of unit quaternions (..., 4)."""
    return torch.cat([-q[..., :3], q[..., 3:]], dim=-1)


def quat_to_axis_angle(q: torch.Tensor) -> torch.Tensor:
    """Rotation vectors (..., 3), rad, of at most pi, of unit quaternions (..., 4)."""
    q = torch.where(q[..., 3:] < 0, -q, q)
    length = q[..., :3].norm(dim=-1, keepdim=True)
    angle = 2.0 * torch.atan2(length, q[..., 3:])
    return q[..., :3] / length.clamp(min=1e-9) * angle


def quat_tilt(q: torch.Tensor) -> torch.Tensor:
    """Angle (...,), rad, between the z axis of frames with unit orientations ``q`` (..., 4) and the vertical."""
    return torch.acos((1.0 - 2.0 * (q[..., 0] ** 2 + q[..., 1] ** 2)).clamp(-1.0, 1.0))


def quat_x_axis(q: torch.Tensor) -> torch.Tensor:
    """The x axis (..., 3) of frames with unit orientations ``q`` (..., 4)."""
    x, y, z, w = q.unbind(dim=-1)
    return torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w)], dim=-1)


def quat_rotate_inverse(q: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Vectors ``v`` (..., 3) of the world in frames with unit orientations ``q`` (..., 4)."""
    axis, w = -q[..., :3], q[..., 3:]
    turn = 2.0 * torch.linalg.cross(axis, v)
    return v + w * turn + torch.linalg.cross(axis, turn)
