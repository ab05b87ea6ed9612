"""Rewards of single steps against closed forms, and what they must rank above what."""

from __future__ import annotations

import math

import pytest
import torch

from flow_rag_vla.tasks.catalogue.registry import all_tasks, get_task
from flow_rag_vla.tasks.contract import CONTROL_HZ
from flow_rag_vla.tasks.rl.reward import (
    RewardWeights,
    bringing,
    gripping_in_time,
    holding,
    raising,
    reaching,
    reward_weights,
    task_reward,
)

REST_M = torch.tensor([0.025])
YES, NO = torch.tensor([True]), torch.tensor([False])
TASKS = all_tasks()
REACHED_FROM_10_CM = 1.0 - (math.tanh(0.10 / 0.3) + math.tanh(0.10 / 0.05)) / 3


def paid(task, facts, *, success=NO, effort=0.0, lag_m=0.0, turn=0.0):
    rest = {"effort": effort, "lag_m": lag_m, "missing_turn": turn}
    tensors = {name: torch.tensor([value]) for name, value in rest.items()}
    return task_reward(task, facts, rest_height_m=REST_M, success=success, **tensors).item()


def test_reaching_is_one_at_the_object_and_falls_with_distance(facts):
    assert reaching(facts(ee_pos_b=(0.5, -0.2, 0.025))).item() == 1.0
    assert reaching(facts()).item() == pytest.approx(REACHED_FROM_10_CM)


def test_raising_counts_from_where_the_object_lay_up_to_five_centimetres(facts):
    heights = [0.0, 0.025, 0.05, 0.075, 0.3]
    raised = [raising(facts(object_pos_b=(0.5, -0.2, z)), REST_M).item() for z in heights]
    assert raised == pytest.approx([0.0, 0.0, 0.5, 1.0, 1.0], abs=1e-6)


def test_bringing_is_one_at_the_goal(facts):
    assert bringing(facts(object_pos_b=(0.5, -0.2, 0.175))).item() == 1.0
    assert bringing(facts()).item() == pytest.approx(1.0 - (math.tanh(0.15 / 0.15) + math.tanh(0.15 / 0.03)) / 2)


@pytest.mark.parametrize(
    ("near", "closed", "free", "in_time"),
    [
        (True, True, False, 1.0),
        (True, False, False, 0.0),
        (False, False, False, 0.5),
        (False, True, False, 0.0),
        (True, False, True, 1.0),
        (True, True, True, 0.0),
    ],
)
def test_the_gripper_closes_on_the_object_and_opens_on_the_way_or_to_let_go(facts, near, closed, free, in_time):
    above = 0.0 if near else 0.1
    step = facts(ee_pos_b=(0.5, -0.2, 0.025 + above), commanded_closed=closed)
    assert gripping_in_time(step, torch.tensor([free])).item() == in_time


def test_holding_takes_a_squeeze_from_both_sides_by_closed_fingers(facts):
    for forces, closed, held in [((10.0, 10.0), True, 1.0), ((10.0, 1.0), True, 0.5), ((10.0, 0.0), True, 0.0)]:
        assert holding(facts(finger_force_n=forces, commanded_closed=closed)).item() == held
    assert holding(facts(finger_force_n=(10.0, 10.0), commanded_closed=False)).item() == 0.0


def test_a_step_pays_its_weighted_terms_per_second(facts):
    weights = reward_weights(get_task("lift"))
    expected = (
        weights.reach * REACHED_FROM_10_CM
        + 0.75 * weights.align
        + 0.5 * weights.grip  # open, 10 cm above
        - 0.5 * weights.effort
    ) / CONTROL_HZ
    assert paid(get_task("lift"), facts(), effort=0.5, turn=-0.25) == pytest.approx(expected)


def test_pressing_costs_only_while_the_object_is_in_the_hand(facts):
    task, weights = get_task("lift"), reward_weights(get_task("lift"))
    held = facts(commanded_closed=True, finger_force_n=(10.0, 10.0))
    cost = 0.25 * weights.press / CONTROL_HZ  # 2 cm of lag
    assert paid(task, held) - paid(task, held, lag_m=0.02) == pytest.approx(cost)
    assert paid(task, facts()) == paid(task, facts(), lag_m=0.02)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.slug)
def test_every_stage_of_a_task_pays_more_than_the_one_before(task, facts):
    at_object = {"ee_pos_b": (0.5, -0.2, 0.025)}
    closed = {"commanded_closed": True, "finger_force_n": (10.0, 10.0)}
    up = {"object_pos_b": (0.5, -0.2, 0.10), "ee_pos_b": (0.5, -0.2, 0.10), **closed}
    stages = [
        paid(task, facts(ee_pos_b=(0.5, 0.0, 0.4))),
        paid(task, facts()),
        paid(task, facts(**at_object)),
        paid(task, facts(**at_object, commanded_closed=True)),
        paid(task, facts(**at_object, **closed)),
        paid(task, facts(**up)),
        paid(task, facts(**up, goal_pos_b=(0.5, -0.2, 0.10))),
        paid(task, facts(**up, goal_pos_b=(0.5, -0.2, 0.10)), success=YES),
    ]
    assert stages == sorted(set(stages))


def most_per_step(weights: RewardWeights) -> float:
    """The most that one control step can earn short of success."""
    everything = weights.reach + weights.align + weights.grip + weights.hold + weights.raised + weights.bring
    return everything / CONTROL_HZ


def test_an_object_put_down_at_its_goal_pays_as_if_it_were_still_held(facts):
    delivered = facts(object_pos_b=(0.5, 0.2, 0.025), goal_pos_b=(0.5, 0.2, 0.025), ee_pos_b=(0.5, 0.2, 0.025))
    most = most_per_step(reward_weights(get_task("pick_place")))
    assert paid(get_task("pick_place"), delivered) == pytest.approx(most)


def test_a_pushed_object_earns_nothing_for_being_nearer_the_goal(facts):
    task = get_task("pick_place")
    here, there = {"object_pos_b": (0.5, -0.2, 0.025)}, {"object_pos_b": (0.5, 0.0, 0.025)}
    goal = {"goal_pos_b": (0.5, 0.2, 0.025)}
    first = paid(task, facts(**here, **goal, ee_pos_b=(0.5, -0.2, 0.125)))
    assert paid(task, facts(**there, **goal, ee_pos_b=(0.5, 0.0, 0.125))) == pytest.approx(first)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.slug)
def test_success_pays_more_than_lingering_before_it_for_ever(task):
    from flow_rag_vla.tasks.rl.runner_cfg import GAMMA

    weights = reward_weights(task)
    assert weights.success > most_per_step(weights) / (1.0 - GAMMA)


def test_invalid_physics_pays_nothing_even_where_it_is_not_a_number(facts):
    broken = facts(object_pos_b=(math.nan, math.nan, math.nan), invalid_reason=0)
    assert paid(get_task("lift"), broken, success=YES) == 0.0
