from __future__ import annotations

import pytest
import torch

from flow_rag_vla.tasks.assets.camera_pose import quat_of_view


def rotated(quat: torch.Tensor, vector: list[float]) -> list[float]:
    """``vector`` turned by the unit quaternion (4,), xyzw."""
    v, axis, w = torch.tensor(vector), quat[:3], quat[3]
    return (v + 2.0 * torch.linalg.cross(axis, torch.linalg.cross(axis, v) + w * v)).tolist()


@pytest.mark.parametrize("direction", [(1.0, 0.0, 0.0), (-0.7, 0.0, -0.7), (0.3, -0.9, 0.2), (-1.0, 1e-3, 0.0)])
def test_the_camera_looks_along_the_direction_and_stays_level(direction):
    quat = quat_of_view(torch.tensor([direction]))[0]
    unit = torch.nn.functional.normalize(torch.tensor(direction), dim=0).tolist()
    assert rotated(quat, [0.0, 0.0, -1.0]) == pytest.approx(unit, abs=1e-5)
    assert rotated(quat, [1.0, 0.0, 0.0])[2] == pytest.approx(0.0, abs=1e-6)
    assert rotated(quat, [0.0, 1.0, 0.0])[2] > 0
    assert quat.norm().item() == pytest.approx(1.0)
