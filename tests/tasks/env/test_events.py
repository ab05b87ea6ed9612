"""Truth labels from hand-made facts: every label, its phase and moment, and what goes before what."""

from __future__ import annotations

import pytest
import torch

from flow_rag_vla.tasks.contract import InvalidReason
from flow_rag_vla.tasks.env.events import (
    COLLISION_FORCE_N,
    LOST_STEPS,
    MISSED_STEPS,
    PRESSED_STEPS,
    SETTLED_STEPS,
    SWUNG_RAD,
)
from flow_rag_vla.tasks.env.validity import Validity

START = (0.5, -0.25, 0.025)
GOAL = (0.5, 0.20, 0.025)
ON_THE_WAY = (0.5, 0.0, 0.15)
HELD = {"force": 10.0, "closed": True}
OPEN = {"force": 0.0, "closed": False}
SLIPPED = {"force": 0.0, "closed": True}


def test_a_hand_that_closes_without_the_object_has_missed_it_after_24_steps(begin):
    episode = begin().steps(MISSED_STEPS - 1, closed=True)
    assert episode.label is None
    episode.steps(1, closed=True)
    assert (episode.label, episode.phase, episode.step) == ("grasp_failure", "grasp", MISSED_STEPS)
    assert not episode.done


def test_a_hand_that_is_told_to_close_but_does_not_has_missed_nothing(begin):
    assert begin().steps(60, closed=True, gripper_closed=False).label is None


def test_one_finger_on_the_object_is_no_grasp(begin):
    assert begin().steps(MISSED_STEPS, closed=True, force=(10.0, 0.0)).label == "grasp_failure"


def test_a_finger_that_stands_on_the_object_has_missed_it(begin):
    episode = begin().steps(PRESSED_STEPS, standing=11.0)
    assert (episode.label, episode.phase) == ("grasp_failure", "approach")
    assert begin().steps(60, standing=9.0).label is None


def test_a_broken_object_is_a_grasp_failure_and_never_a_success(begin):
    episode = begin().carried().steps(1, broke=True, **HELD).steps(3, GOAL, broke=True, **HELD)
    episode.steps(20, broke=True, **OPEN)
    assert (episode.label, episode.phase, episode.success) == ("grasp_failure", "carry", False)


def test_an_object_that_swings_in_the_hand_is_a_grasp_failure(begin):
    episode = begin().steps(3, **HELD).steps(1, (0.5, -0.25, 0.06), tilt=SWUNG_RAD + 0.1, **HELD)
    assert (episode.label, episode.phase) == ("grasp_failure", "lift")


def test_an_object_that_was_knocked_over_before_it_was_grasped_has_not_swung(begin):
    episode = begin().steps(5, tilt=1.57).steps(10, tilt=1.57, **HELD).steps(3, ON_THE_WAY, tilt=1.6, **HELD)
    assert episode.label is None


def test_an_object_lost_before_it_was_lifted_is_a_grasp_failure(begin):
    episode = begin().steps(4, **HELD).steps(2, (0.5, -0.25, 0.05), **HELD).steps(LOST_STEPS, START, **SLIPPED)
    assert (episode.label, episode.phase, episode.step) == ("grasp_failure", "lift", 7)


def test_an_object_lost_on_the_way_is_a_drop_that_dates_from_the_first_step_without_contact(begin):
    episode = begin().carried().steps(1, (0.5, 0.0, 0.14), **SLIPPED).steps(1, (0.5, 0.0, 0.1), **SLIPPED)
    assert episode.label is None
    episode.steps(1, (0.5, 0.0, 0.05), **SLIPPED)
    assert (episode.label, episode.phase, episode.step) == ("drop", "carry", 10)
    assert episode.tracker.truth.failure_pos_b[0].tolist() == pytest.approx([0.5, 0.0, 0.14])
    assert not episode.done


def test_a_contact_that_flickers_is_no_loss(begin):
    episode = begin().carried()
    for _ in range(10):
        episode.steps(LOST_STEPS - 1, **SLIPPED).steps(1, **HELD)
    assert episode.label is None


def test_a_policy_that_opens_its_hand_after_the_slip_has_still_dropped_the_object(begin):
    episode = begin().carried().steps(1, **SLIPPED).steps(LOST_STEPS - 1, (0.5, 0.0, 0.03), **OPEN)
    assert (episode.label, episode.phase) == ("drop", "carry")


def test_a_gripper_that_is_forced_open_drops_the_object(begin):
    assert begin().carried().steps(LOST_STEPS, forced_open=True, **OPEN).label == "drop"


def test_a_dropped_object_that_is_picked_up_again_and_placed_is_a_success_with_a_drop(begin):
    episode = begin().carried().steps(LOST_STEPS, (0.5, 0.0, 0.025), **SLIPPED).steps(20, **OPEN)
    episode.steps(3, **HELD).steps(3, ON_THE_WAY, **HELD).steps(3, GOAL, **HELD).steps(1, **OPEN)
    assert (episode.label, episode.success) == ("drop", True)


def test_a_collision_ends_the_episode_and_what_stays_below_does_not(begin):
    episode = begin().carried().steps(1, obstacle=COLLISION_FORCE_N - 1, **HELD)
    assert not episode.done
    episode.steps(1, obstacle=COLLISION_FORCE_N + 1, **HELD)
    assert (episode.label, episode.phase, episode.done) == ("collision", "carry", True)


def test_an_empty_hand_collides_on_its_approach(begin):
    episode = begin().steps(5).steps(1, obstacle=60.0)
    assert (episode.label, episode.phase) == ("collision", "approach")


def test_a_drop_before_a_collision_counts_as_a_drop(begin):
    episode = begin().carried().steps(LOST_STEPS, **SLIPPED).steps(1, obstacle=100.0, closed=True)
    assert (episode.label, episode.done) == ("drop", True)


def test_a_slip_that_a_collision_cuts_short_came_first(begin):
    episode = begin().carried().steps(1, **SLIPPED).steps(1, obstacle=100.0, **SLIPPED)
    assert (episode.label, episode.step) == ("drop", 10)


def test_an_object_that_the_obstacle_knocks_out_of_the_hand_is_a_collision(begin):
    episode = begin().carried().steps(1, obstacle=20.0, **HELD).steps(1, obstacle=20.0, **SLIPPED)
    episode.steps(1, obstacle=100.0, **SLIPPED)
    assert episode.label == "collision"


def test_only_a_deliberate_release_off_the_goal_is_misaligned_and_ends_the_episode(begin):
    off = (0.5, 0.10, 0.025)
    episode = begin().carried().steps(3, off, **HELD).steps(LOST_STEPS + SETTLED_STEPS - 2, **OPEN)
    assert episode.label is None
    episode.steps(1, **OPEN)
    assert (episode.label, episode.phase, episode.step, episode.done) == ("misalignment", "place", 13, True)
    dropped = begin().carried().steps(3, off, **HELD).steps(LOST_STEPS + SETTLED_STEPS + 20, **SLIPPED)
    assert (dropped.label, dropped.done) == ("drop", False)


def test_an_object_put_back_where_it_lay_is_not_misaligned(begin):
    episode = begin().steps(3, **HELD).steps(3, (0.5, -0.25, 0.1), **HELD).steps(3, START, **HELD).steps(60, **OPEN)
    assert episode.label is None


def test_an_object_still_rolling_is_not_misaligned_yet(begin):
    off = (0.5, 0.10, 0.025)
    episode = begin().carried().steps(3, off, **HELD).steps(80, speed=0.1, **OPEN)
    assert episode.label is None


@pytest.mark.parametrize(("steps", "label"), [(10, "timeout"), (11, "drop"), (12, "drop")])
def test_a_slip_in_the_last_steps_goes_before_the_time_limit(begin, steps: int, label: str):
    episode = begin(max_steps=steps).carried().steps(1, **HELD).steps(steps - 10, **SLIPPED)
    assert (episode.label, episode.done) == (label, True)


def test_a_misplaced_release_goes_before_the_time_limit(begin):
    episode = begin(max_steps=20).carried().steps(3, (0.5, 0.10, 0.025), **HELD).steps(8, **OPEN)
    assert (episode.label, episode.done) == ("misalignment", True)


def test_judging_a_step_never_waits_for_the_device(begin, waits):
    episode, validity = begin().steps(4, **HELD), Validity(1, "cpu")
    with waits() as waited:
        episode.steps(2, ON_THE_WAY, **HELD)
        nothing = torch.zeros(1)
        validity.reason(torch.tensor([True]), torch.tensor([-1]), torch.tensor([[0.5, 0.0, -0.3]]), nothing, nothing)
        episode.tracker.invalidate(torch.tensor([True]), InvalidReason.NON_FINITE_ACTION)
    assert waited == []
