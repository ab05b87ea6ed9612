"""Torques of drives and points of contact, of a hand in a simulation without an environment around it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

pytestmark = pytest.mark.sim

PRESETS = ("newton_mujoco", "newton_mjwarp")
LIMITS = [87.0] * 4 + [12.0] * 3


@pytest.mark.parametrize("physics", PRESETS)
def test_drives_of_an_arm_exert_their_limits_and_no_more(make_rig: Callable, physics: str) -> None:
    from flow_rag_vla.tasks.physics.loads import drive_torques

    rig = make_rig(physics, 2)
    way = torch.tensor([[3.0], [-3.0]])
    rig.arm_target += way
    rig.step(1.0)
    expected = torch.tensor(LIMITS) * way.sign()
    assert drive_torques(r"panda_joint[1-7]$") == pytest.approx(expected, rel=1e-5)


def test_limits_are_those_of_each_environment(make_rig: Callable) -> None:
    from isaaclab_newton.physics.newton_manager import NewtonManager

    from flow_rag_vla.tasks.physics.loads import drive_torques

    rig = make_rig("newton_mujoco", 2)
    rig.arm_target += 3.0
    rig.step(1.0)
    weak = NewtonManager._solver._models[1]  # pyright: ignore
    weak.actuator_forcerange[:] /= 2
    weak.jnt_actfrcrange[:] /= 2
    torques = drive_torques(r"panda_joint[1-7]$")
    assert torques[0] == pytest.approx(torch.tensor(LIMITS), rel=1e-5)
    assert torques[1] == pytest.approx(torch.tensor(LIMITS) / 2, rel=1e-5)


@pytest.mark.parametrize("physics", PRESETS)
def test_fingers_press_on_a_cube_from_both_sides_in_the_middle_of_the_hand(make_rig: Callable, physics: str) -> None:
    from flow_rag_vla.tasks.physics.loads import drive_torques, pressed_points

    rig = make_rig(physics, 2)
    tip, orientation = rig.fingertips()
    for t in range(25):
        if t < 15:
            rig.place(rig.object, tip, orientation)
        rig.step(torch.tensor([-0.25, -0.5]))
    forces = drive_torques(r"panda_finger_joint")
    assert forces == pytest.approx(torch.tensor([[-10.0, -10.0], [-20.0, -20.0]]), rel=0.1)
    left, right = (pressed_points(rf"_panda_{side}finger$", r"_Object$") for side in ("left", "right"))
    tip, _ = rig.fingertips()
    assert (left + right) / 2 == pytest.approx(tip, abs=0.005)
    assert (left - right).norm(dim=1) == pytest.approx(torch.full((2,), 0.05), abs=0.002)
    assert pressed_points(r"_panda_hand$", r"/Table/").isnan().all()
