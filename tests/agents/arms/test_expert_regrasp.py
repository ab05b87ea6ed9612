"""How the expert turns its hand: to the faces that leave its fingers room, and before it descends."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch

from flow_rag_vla.tasks.contract import Observation
from flow_rag_vla.tasks.expert.scripted_expert import HOVER_M, ExpertPlan, ScriptedExpert, Stage

GOAL = (0.5, 0.1, 0.06)


def turn(o: Observation, *, holds: bool = False) -> float:
    """The yaw that the expert's hand takes on, in degrees, from its first actions on ``o``."""
    expert = ScriptedExpert(1)
    plan = ExpertPlan.nominal(1)
    expert.reset(torch.tensor([0]), dataclasses.replace(plan, holds=torch.tensor([holds])))
    action = expert.act(o)
    return math.degrees(action[0, 5].item())


@pytest.mark.parametrize(("x", "y", "z", "turns"), [
    (0.5, 0.05, 0.02, True),
    (0.5, 0.15, 0.02, True),
    (0.45, 0.1, 0.02, False),
    (0.55, 0.1, 0.02, False),
    (0.5, -0.15, 0.02, False),
    (0.5, 0.05, 0.06, False),
])  # fmt: skip
def test_no_finger_goes_between_a_block_and_the_tower(
    observe: Callable[..., Observation], x: float, y: float, z: float, turns: bool
) -> None:
    beside = observe(object_pos_b=[x, y, z], goal_pos_b=GOAL)
    assert (abs(turn(beside)) > 1.0) is turns
    assert turn(beside, holds=True) == pytest.approx(0.0, abs=1e-4)


def test_a_long_object_is_grasped_across_its_width_wherever_it_lies(observe: Callable[..., Observation]) -> None:
    bar = observe(object_pos_b=[0.5, 0.05, 0.02], goal_pos_b=GOAL, object_size_m=[0.14, 0.04, 0.04])
    assert turn(bar) == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize(("goal", "yaw_rad", "descends"), [
    (GOAL, 0.0, True),
    (GOAL, 0.7, False),
    ((0.5, 0.3, 0.06), 0.7, True),
    ((0.5, 0.1, 0.02), 0.7, True),
])  # fmt: skip
def test_beside_a_tower_the_hand_turns_before_it_descends(
    observe: Callable[..., Observation], goal: tuple[float, float, float], yaw_rad: float, descends: bool
) -> None:
    # It hovers over a block whose faces it meets squarely or askew; the tower is along y, or x, or far, or none.
    beside = [0.55, 0.1, 0.02] if yaw_rad == 0.0 else [0.5, 0.05, 0.02]
    quat = [0.0, 0.0, math.sin(yaw_rad / 2), math.cos(yaw_rad / 2)]
    hand = [beside[0], beside[1], beside[2] + HOVER_M]
    hovering = observe(object_pos_b=beside, ee_pos_b=hand, object_quat_b=quat, goal_pos_b=goal)
    expert = ScriptedExpert(1)
    expert.reset(torch.tensor([0]), ExpertPlan.nominal(1))
    expert.act(hovering)
    assert expert.stage.tolist() == [Stage.DESCEND if descends else Stage.APPROACH]
