"""How an episode ends, from hand-made facts: success, the time limit, broken physics, and a new beginning."""

from __future__ import annotations

import pytest
import torch

from flow_rag_vla.tasks.catalogue.registry import get_task
from flow_rag_vla.tasks.contract import INVALID_REASONS, InvalidReason
from flow_rag_vla.tasks.env.events import LOST_STEPS, EventTracker

START = (0.5, -0.25, 0.025)
GOAL = (0.5, 0.20, 0.025)
LIFT_GOAL = (0.5, -0.25, 0.20)
HELD = {"force": 10.0, "closed": True}
OPEN = {"force": 0.0, "closed": False}
SLIPPED = {"force": 0.0, "closed": True}


def test_an_object_put_down_at_the_goal_is_a_success_without_event(begin):
    episode = begin().carried().steps(3, GOAL, **HELD).steps(1, **OPEN)
    assert episode.success
    assert episode.done
    assert episode.label is None


def test_a_drop_while_lifting_keeps_its_phase_though_the_object_lies_by_then(begin):
    episode = begin().steps(3, **HELD).steps(3, (0.5, -0.25, 0.08), **HELD).steps(LOST_STEPS, START, **SLIPPED)
    assert (episode.label, episode.phase) == ("drop", "lift")


def test_the_time_limit_without_event_is_a_time_out(begin):
    episode = begin(max_steps=50).steps(50)
    assert (episode.label, episode.phase, episode.step, episode.done) == ("timeout", "approach", 50, True)
    kept = begin(max_steps=50).carried().steps(41, GOAL, **HELD)
    assert (kept.label, kept.phase) == ("timeout", "place")


def test_a_success_in_the_last_step_is_no_time_out(begin):
    episode = begin(max_steps=13).carried().steps(3, GOAL, **HELD).steps(1, **OPEN)
    assert (episode.success, episode.label) == (True, None)


@pytest.mark.parametrize("task", ["stack", "bin_transport", "lift"])
def test_a_success_takes_as_many_steps_as_the_task_asks_for(begin, task: str):
    wanted = get_task(task).success_steps
    goal = {"stack": (0.5, 0.20, 0.075), "bin_transport": (0.5, 0.25, 0.025), "lift": LIFT_GOAL}[task]
    episode = begin(task, goal=goal)
    if task == "lift":
        episode.steps(3, **HELD).steps(wanted - 1, goal, **HELD)
    else:
        episode.carried().steps(3, goal, **HELD).steps(wanted - 1, **OPEN)
    assert not episode.success
    episode.steps(1, **(HELD if task == "lift" else OPEN))
    assert episode.success


def test_counting_towards_a_success_starts_anew_after_an_interruption(begin):
    episode = begin("lift", goal=LIFT_GOAL).steps(3, **HELD).steps(14, LIFT_GOAL, **HELD)
    episode.steps(1, (0.5, -0.25, 0.15), **HELD).steps(14, LIFT_GOAL, **HELD)
    assert not episode.success


def test_lifting_letting_go_in_the_air_is_a_drop_and_on_the_table_nothing(begin):
    lifted = begin("lift", goal=LIFT_GOAL).steps(3, **HELD).steps(3, LIFT_GOAL, **HELD).steps(LOST_STEPS, **OPEN)
    assert (lifted.label, lifted.phase, lifted.done) == ("drop", "place", False)
    regrasped = begin("lift", goal=LIFT_GOAL).steps(3, **HELD).steps(40, **OPEN)
    assert regrasped.label is None


def test_lifting_an_object_held_too_low_times_out_while_lifting(begin):
    episode = begin("lift", max_steps=60, goal=LIFT_GOAL).steps(3, **HELD).steps(57, (0.5, -0.25, 0.12), **HELD)
    assert (episode.label, episode.phase) == ("timeout", "lift")


def test_broken_physics_ends_the_episode_as_invalid_with_its_reason(begin):
    episode = begin().carried().steps(1, invalid=InvalidReason.RUNAWAY_SPEED, **HELD)
    episode.steps(1, invalid=InvalidReason.OBJECT_IN_TABLE, **HELD)
    truth = episode.tracker.truth
    assert (bool(truth.invalid), episode.done, episode.success) == (True, True, False)
    assert INVALID_REASONS[int(truth.invalid_reason)] == "runaway_speed"


def test_an_action_that_is_no_number_ends_its_episode_alone_and_only_where_it_runs():
    tracker = EventTracker(get_task("pick_place"), 3, 200, "cpu")
    tracker.reset(torch.arange(3), torch.tensor([START] * 3))
    tracker.invalidate(torch.tensor([False, True, False]), InvalidReason.NON_FINITE_OBSERVATION)
    tracker.invalidate(torch.tensor([False, True, True]), InvalidReason.NON_FINITE_ACTION)
    truth = tracker.truth
    assert truth.done.tolist() == truth.invalid.tolist() == [False, True, True]
    words = [None if index < 0 else INVALID_REASONS[index] for index in truth.invalid_reason.tolist()]
    assert words == [None, "non_finite_observation", "non_finite_action"]
    assert not truth.success.any()


def test_nothing_changes_after_the_end(begin):
    episode = begin().steps(1, obstacle=60.0)
    before = episode.tracker.truth
    episode.steps(LOST_STEPS, invalid=InvalidReason.NON_FINITE_STATE, **SLIPPED).steps(100, obstacle=500.0, force=80.0)
    for name, value in vars(episode.tracker.truth).items():
        assert torch.equal(value, getattr(before, name)), name


def test_a_reset_forgets_the_episode(begin):
    episode = begin().carried().steps(1, obstacle=60.0)
    episode.tracker.reset(torch.tensor([0]), torch.tensor([START]))
    assert (episode.label, episode.done, episode.step) == (None, False, -1)
    assert int(episode.tracker.truth.steps) == 0
    assert episode.steps(LOST_STEPS, START, **SLIPPED).label is None


def test_resetting_one_episode_of_a_fleet_leaves_the_others_alone():
    tracker = EventTracker(get_task("pick_place"), 2, 200, "cpu")
    tracker.reset(torch.arange(2), torch.tensor([START, GOAL]))
    assert tracker.rest_height_m.tolist() == pytest.approx([START[2], GOAL[2]])
    tracker.held[:] = True
    tracker.reset(torch.tensor([1]), torch.tensor([(0.5, 0.0, 0.07)]))
    assert tracker.held.tolist() == [True, False]
    assert tracker.rest_height_m.tolist() == pytest.approx([START[2], 0.07])
