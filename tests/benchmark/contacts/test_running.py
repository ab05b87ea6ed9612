"""Episodes that end while something is measured in them."""

from __future__ import annotations

import pytest
import torch

from flow_rag_vla.benchmark.contacts.holding import RISE_STEPS, SLOW, Grip, Trial
from flow_rag_vla.benchmark.contacts.opening import NUM_STEPS, measure_opening
from flow_rag_vla.benchmark.contacts.running import refuse_ended
from flow_rag_vla.tasks.catalogue.lift import HOLD_HEIGHT_TOLERANCE_M
from flow_rag_vla.tasks.contract import MAX_DELTA_POS_M


def test_episodes_that_ended_are_refused_by_number():
    refuse_ended(torch.tensor([False, False, False]), "holding")
    with pytest.raises(RuntimeError, match=r"^holding: 2 of 3 episodes ended before .* \[0, 2\]"):
        refuse_ended(torch.tensor([True, False, True]), "holding")


def test_a_gripper_whose_episode_ends_is_no_measurement(fake_fleet):
    runs_on = fake_fleet(NUM_STEPS + 1, NUM_STEPS + 1, max_episode_length=NUM_STEPS + 1)
    assert measure_opening(runs_on).most_mm == 0.0
    with pytest.raises(RuntimeError, match=r"opening: 1 of 2 episodes ended .* \[1\]"):
        measure_opening(fake_fleet(NUM_STEPS + 1, 60, max_episode_length=NUM_STEPS + 1))
    with pytest.raises(RuntimeError, match="enough control steps"):
        measure_opening(fake_fleet(NUM_STEPS + 1, max_episode_length=NUM_STEPS - 1))


def test_a_lift_never_arrives_at_its_goal():
    highest_m = RISE_STEPS * SLOW * MAX_DELTA_POS_M
    goal_m = Trial(Grip("cube", 0.5, 10.0), 0.9).scenario().layout.goal_height_m
    assert goal_m > highest_m + 5 * HOLD_HEIGHT_TOLERANCE_M
