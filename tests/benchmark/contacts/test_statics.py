"""What joints can press with, against arms whose statics are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from flow_rag_vla.benchmark.contacts.statics import at_point, pressable_n, pressable_with_friction_n, torques_of


def planar_arm(*joints_xz: tuple[float, float]) -> np.ndarray:
    """The Jacobian (6, n) at the origin of joints at ``joints_xz`` that turn about y."""
    columns = []
    for x, z in joints_xz:
        arm = -np.array([x, 0.0, z])
        columns.append([*np.cross([0.0, 1.0, 0.0], arm), 0.0, 1.0, 0.0])
    return np.array(columns).T


def test_a_lever_presses_with_torque_over_arm():
    assert pressable_n(planar_arm((-0.5, 0.0)), np.array([87.0])) == pytest.approx(174.0)


def test_the_weakest_joint_decides():
    arm = planar_arm((-0.5, 0.3), (0.088, 0.2))
    assert pressable_n(arm, np.array([87.0, 12.0])) == pytest.approx(12.0 / 0.088)
    assert pressable_n(arm, np.array([30.0, 12.0])) == pytest.approx(60.0)


def test_a_joint_right_above_does_not_limit():
    assert pressable_n(planar_arm((0.0, 0.4)), np.array([1.0])) == np.inf


def test_without_friction_the_programme_gives_the_closed_form():
    arm, limits = planar_arm((-0.5, 0.3), (0.088, 0.2)), np.array([87.0, 12.0])
    assert pressable_with_friction_n(arm, limits, 0.0) == pytest.approx(pressable_n(arm, limits))


def test_a_side_force_relieves_a_joint_as_far_as_friction_goes():
    # Torque of f about a joint 0.1 m in front and 0.2 m above: 0.1 f_z - 0.2 f_x with f_x <= mu f_z.
    arm = planar_arm((0.1, 0.2))
    assert pressable_with_friction_n(arm, np.array([12.0]), 0.25) == pytest.approx(12.0 / (0.1 - 0.2 * 0.25))
    assert pressable_with_friction_n(arm, np.array([12.0]), 0.5) == np.inf


def test_a_jacobian_moves_with_its_point():
    moved = at_point(planar_arm((-0.5, 0.0)), np.array([0.1, 0.0, -0.2]))
    assert moved == pytest.approx(planar_arm((-0.6, 0.2)))


def test_a_force_takes_torques_by_its_arms():
    # Pressing down with 130 N at a point 0.5 m in front of one joint and 0.088 m behind the other.
    arm = planar_arm((-0.5, 0.3), (0.088, 0.2))
    assert torques_of(arm, np.array([0.0, 0.0, -130.0])) == pytest.approx([65.0, -11.44])


def test_a_force_that_acts_under_a_joint_takes_nothing_of_it():
    arm = at_point(planar_arm((0.088, 0.2)), np.array([0.088, 0.0, 0.0]))
    assert torques_of(arm, np.array([0.0, 0.0, -130.0])) == pytest.approx([0.0])
