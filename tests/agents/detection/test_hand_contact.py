from __future__ import annotations

import math

import pytest
import torch

from flow_rag_vla.agents.detection.hand_contact import contact_side, distance_to_body, stands_on_object

BAR = [0.14, 0.04, 0.04]
CLOSED = [0.0] * 6 + [-0.25]


def test_the_distance_to_a_bar_is_that_to_its_middle_line(observe):
    o = observe(object_size_m=BAR, object_quat_b=[0.0, 0.0, math.sin(math.pi / 4), math.cos(math.pi / 4)])
    for offset, expected in (
        ([0.0, 0.045, 0.0], [0.0, 0.0, 0.0]),
        ([0.0, 0.06, 0.01], [0.0, 0.01, 0.01]),
        ([0.045, 0.0, 0.0], [0.045, 0.0, 0.0]),
    ):
        assert distance_to_body(torch.tensor([offset]), o)[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_the_distance_to_a_cube_is_that_to_its_centre_bit_by_bit(observe):
    offset = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(distance_to_body(offset, observe(5)), offset)


@pytest.mark.parametrize(("hand", "force", "expected"), [
    ((0.5, -0.24, 0.06), [-30.0, 3.0, 90.0], True),
    ((0.5, -0.24, 0.06), [0.0, 0.0, 10.0], False),
    ((0.5, -0.24, 0.06), [50.0, 0.0, 40.0], False),
    ((0.5, -0.27, 0.025), [0.0, 0.0, 40.0], False),
    ((0.5, 0.00, 0.06), [0.0, 0.0, 90.0], False),
])  # fmt: skip
def test_a_hand_stands_on_an_object_that_holds_it_up_from_below(observe, hand, force, expected):
    assert bool(stands_on_object(observe(ee_pos_b=list(hand), hand_force_b=force))[0]) is expected


@pytest.mark.parametrize(("drift", "width", "side"), [
    (-0.01, 0.07, -1), (-0.01, 0.085, 1), (0.01, 0.07, 1), (0.01, 0.085, -1), (0.0, 0.07, 0), (0.01, 0.08, 0),
])  # fmt: skip
@pytest.mark.parametrize("quat", [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
def test_the_finger_that_friction_holds_back_says_on_which_side_the_object_is(observe, drift, width, side, quat):
    hand = [0.5, -0.24, 0.06]
    target = [0.5, -0.24 - drift, 0.04]
    o = observe(ee_pos_b=hand, ee_target_pos_b=target, gripper_width_m=[width], ee_quat_b=quat)
    evidence = contact_side(o)[0].item()
    assert abs(evidence) < 1e-9 if side == 0 else math.copysign(1.0, evidence) == side


def test_closing_fingers_say_nothing_about_the_side(observe):
    o = observe(ee_target_pos_b=[0.5, -0.25, 0.1], gripper_width_m=[0.03], previous_action=CLOSED)
    assert contact_side(o).item() == 0.0
