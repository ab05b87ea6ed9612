"""Pinhole geometry of the robot's calibrated camera: places to picture coordinates, and back at a known height."""

from __future__ import annotations

import math

import torch

from flow_rag_vla.tasks.contract import FRONT_VIEW, CameraView


class Projection:
    """Picture coordinates run from -1 to 1, x to the right and y down, edge to edge."""

    def __init__(self, view: CameraView = FRONT_VIEW) -> None:
        """The geometry of ``view``."""
        # On the CPU even where a network is being built without memory (device "meta"): this is no weight.
        eye, target, up = (torch.tensor(v, device="cpu") for v in (view.eye_m, view.target_m, (0.0, 0.0, 1.0)))
        self._eye = eye
        forward = torch.nn.functional.normalize(target - eye, dim=0)
        right = torch.nn.functional.normalize(torch.linalg.cross(forward, up), dim=0)
        self._axes = torch.stack([right, torch.linalg.cross(forward, right), forward])
        self._half_y = math.tan(view.fov_y_rad / 2)
        self._half_x = self._half_y * view.width / view.height

    def to_picture(self, pos_b: torch.Tensor) -> torch.Tensor:
        """Picture coordinates (n, 2) of places (n, 3), m, in front of the camera."""
        seen = (pos_b - self._eye.to(pos_b)) @ self._axes.to(pos_b).T
        x, y, depth = seen.unbind(dim=1)
        return torch.stack([x / (depth * self._half_x), y / (depth * self._half_y)], dim=1)

    def at_height(self, picture: torch.Tensor, height_m: torch.Tensor) -> torch.Tensor:
        """Places (n, 3), m, seen at ``picture`` (n, 2) that are ``height_m`` (n,) above the table."""
        scale = picture.new_tensor([self._half_x, self._half_y])
        ray = torch.cat([picture * scale, torch.ones_like(picture[:, :1])], dim=1) @ self._axes.to(picture)
        # The camera looks down: only rays above the horizon would not slope, and it sees none.
        slope = ray[:, 2].clamp(max=-1e-3)
        eye = self._eye.to(picture)
        return eye + ray * ((height_m - eye[2]) / slope).unsqueeze(1)
