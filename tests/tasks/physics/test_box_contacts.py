"""MuJoCo Warp finds the contacts between two boxes that native MuJoCo finds, each with its own depth."""

# Warp declares arrays by strings and functions as what they wrap.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false

from __future__ import annotations

import math

import mujoco
import mujoco_warp
import numpy as np
import pytest

from flow_rag_vla.tasks.physics import box_contacts
from flow_rag_vla.tasks.physics.box_contacts import use_depth_per_contact

TABLE_HALF_M, BLOCK_HALF_M = (0.5, 0.6, 0.05), (0.0225, 0.0275, 0.03)


def contacts(depth_m: float, yaw_rad: float, tilt_rad: float) -> tuple[np.ndarray, np.ndarray]:
    """Distances and positions (contacts, 4) of a block on a table, m; native MuJoCo's, then MuJoCo Warp's."""
    spec = mujoco.MjSpec()
    table = spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=TABLE_HALF_M)
    table.pos = [0.5, 0.0, -TABLE_HALF_M[2]]
    block = spec.worldbody.add_body(pos=[0.539, -0.284, BLOCK_HALF_M[2] - depth_m])
    turn, lean = (
        np.array([math.cos(yaw_rad / 2), 0.0, 0.0, math.sin(yaw_rad / 2)]),
        np.array([math.cos(tilt_rad / 2), math.sin(tilt_rad / 2), 0.0, 0.0]),
    )
    mujoco.mju_mulQuat(block.quat, turn, lean)
    block.add_freejoint()
    block.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=BLOCK_HALF_M)
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    native = np.array([[contact.dist, *contact.pos] for contact in data.contact])
    warp_model = mujoco_warp.put_model(model)
    use_depth_per_contact(warp_model)
    warp_data = mujoco_warp.put_data(model, data, nconmax=64)
    mujoco_warp.kinematics(warp_model, warp_data)
    mujoco_warp.collision(warp_model, warp_data)
    count = int(warp_data.nacon.numpy()[0])
    found = warp_data.contact
    warp = np.column_stack([found.dist.numpy()[:count], found.pos.numpy()[:count]])
    return native[np.lexsort(native.round(5).T)], warp[np.lexsort(warp.round(5).T)]


@pytest.mark.parametrize("tilt_rad", [2e-3, 2e-2])
def test_a_leaning_block_is_deeper_on_the_side_to_which_it_leans(tilt_rad: float):
    native, warp = contacts(1e-3, 0.55, tilt_rad)
    assert np.ptp(native[:, 0]) > 0.9 * tilt_rad * 2 * BLOCK_HALF_M[1] * 0.5
    assert warp == pytest.approx(native, abs=2e-6)


@pytest.mark.parametrize("depth_m", [1e-7, 1e-6, 1e-5, 1e-4])
@pytest.mark.parametrize("yaw_rad", [0.0, 0.3, -0.5476])
def test_a_block_that_just_touches_has_no_contact_away_from_it(depth_m: float, yaw_rad: float):
    native, warp = contacts(depth_m, yaw_rad, 0.0)
    assert len(native) == 4
    assert warp == pytest.approx(native, abs=1e-6)


def test_another_version_of_the_function_is_refused(monkeypatch):
    monkeypatch.setattr(box_contacts, "_SLACK_OF_DOUBLES", "separation * 0.9")
    with pytest.raises(RuntimeError, match=r"holds 'separation \* 0.9' 0 times, expected once"):
        box_contacts._with_slack_for_floats(box_contacts.collision_primitive_core.box_box)
