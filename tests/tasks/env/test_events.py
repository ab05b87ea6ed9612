"""Truth labels from hand-made facts: every label, its phase and moment, and what goes before what."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from flow_rag_vla.tasks.catalogue.registry import get_task
from flow_rag_vla.tasks.contract import FAILURE_TYPES, INVALID_REASONS, PHASES, InvalidReason
from flow_rag_vla.tasks.env.events import (
    COLLISION_FORCE_N,
    LOST_STEPS,
    MISSED_STEPS,
    PRESSED_STEPS,
    SETTLED_STEPS,
    SWUNG_RAD,
    TOUCHED_FORCE_N,
    EventTracker,
)
from flow_rag_vla.tasks.facts.step_facts import StepFacts

START = (0.5, -0.25, 0.025)
GOAL = (0.5, 0.20, 0.025)
LIFT_GOAL = (0.5, -0.25, 0.20)
ON_THE_WAY = (0.5, 0.0, 0.15)
HELD = {"force": 10.0, "closed": True}
OPEN = {"force": 0.0, "closed": False}
SLIPPED = {"force": 0.0, "closed": True}


class Episode:
    """One environment, told step by step what the simulator says."""

    def __init__(self, task: str = "pick_place", max_steps: int = 200, goal: tuple[float, float, float] = GOAL) -> None:
        self.tracker = EventTracker(get_task(task), 1, max_steps, "cpu")
        self.tracker.reset(torch.tensor([0]), torch.tensor([START]))
        self.goal = goal
        self.at = START

    def steps(
        self,
        count: int,
        at: tuple[float, float, float] | None = None,
        *,
        force: float | tuple[float, float] = 0.0,
        closed: bool = False,
        gripper_closed: bool | None = None,
        obstacle: float = 0.0,
        tilt: float = 0.0,
        speed: float = 0.0,
        standing: float = 0.0,
        broke: bool = False,
        pushed: bool = False,
        forced_open: bool = False,
        actuation_altered: bool = False,
        latent: bool = False,
        invalid: InvalidReason | None = None,
    ) -> Episode:
        self.at = at or self.at
        left, right = force if isinstance(force, tuple) else (force, force)

        def flag(value: float) -> torch.Tensor:
            return torch.tensor([value])

        facts = StepFacts(
            object_pos_b=torch.tensor([self.at]),
            object_speed=flag(speed),
            object_tilt_rad=flag(tilt),
            goal_pos_b=torch.tensor([self.goal]),
            ee_pos_b=torch.tensor([self.at]),
            finger_force_n=torch.tensor([[left, right]]),
            finger_lift_n=flag(standing),
            obstacle_force_n=flag(obstacle),
            commanded_closed=flag(closed),
            gripper_closed=flag(closed if gripper_closed is None else gripper_closed),
            broke=flag(broke),
            pushed=flag(pushed),
            forced_open=flag(forced_open),
            actuation_altered=flag(actuation_altered),
            latent=flag(latent),
            invalid_reason=flag(-1 if invalid is None else INVALID_REASONS.index(invalid)),
        )
        for _ in range(count):
            self.tracker.update(facts, intact=flag(not broke))
        return self

    def carried(self) -> Episode:
        """Grasped, lifted and on the way: nine steps."""
        self.steps(3, **HELD)
        self.steps(3, (0.5, -0.25, 0.15), **HELD)
        return self.steps(3, ON_THE_WAY, **HELD)

    @property
    def label(self) -> str | None:
        kind = int(self.tracker.truth.failure_type)
        return None if kind < 0 else FAILURE_TYPES[kind]

    @property
    def phase(self) -> str | None:
        phase = int(self.tracker.truth.failure_phase)
        return None if phase < 0 else PHASES[phase]

    @property
    def step(self) -> int:
        return int(self.tracker.truth.failure_step)

    @property
    def done(self) -> bool:
        return bool(self.tracker.truth.done)

    @property
    def success(self) -> bool:
        return bool(self.tracker.truth.success)

    @property
    def fired(self) -> bool:
        return bool(self.tracker.truth.fault_fired)


def test_an_object_put_down_at_the_goal_is_a_success_without_event():
    episode = Episode().carried().steps(3, GOAL, **HELD).steps(1, **OPEN)
    assert episode.success
    assert episode.done
    assert episode.label is None


def test_a_hand_that_closes_without_the_object_has_missed_it_after_24_steps():
    episode = Episode().steps(MISSED_STEPS - 1, closed=True)
    assert episode.label is None
    episode.steps(1, closed=True)
    assert (episode.label, episode.phase, episode.step) == ("grasp_failure", "grasp", MISSED_STEPS)
    assert not episode.done


def test_a_hand_that_is_told_to_close_but_does_not_has_missed_nothing():
    assert Episode().steps(60, closed=True, gripper_closed=False).label is None


def test_one_finger_on_the_object_is_no_grasp():
    assert Episode().steps(MISSED_STEPS, closed=True, force=(10.0, 0.0)).label == "grasp_failure"


def test_a_finger_that_stands_on_the_object_has_missed_it():
    episode = Episode().steps(PRESSED_STEPS, standing=11.0)
    assert (episode.label, episode.phase) == ("grasp_failure", "approach")
    assert Episode().steps(60, standing=9.0).label is None


def test_a_broken_object_is_a_grasp_failure_and_never_a_success():
    episode = Episode().carried().steps(1, broke=True, **HELD).steps(3, GOAL, broke=True, **HELD)
    episode.steps(20, broke=True, **OPEN)
    assert (episode.label, episode.phase, episode.success) == ("grasp_failure", "carry", False)


def test_an_object_that_swings_in_the_hand_is_a_grasp_failure():
    episode = Episode().steps(3, **HELD).steps(1, (0.5, -0.25, 0.06), tilt=SWUNG_RAD + 0.1, **HELD)
    assert (episode.label, episode.phase) == ("grasp_failure", "lift")


def test_an_object_that_was_knocked_over_before_it_was_grasped_has_not_swung():
    episode = Episode().steps(5, tilt=1.57).steps(10, tilt=1.57, **HELD).steps(3, ON_THE_WAY, tilt=1.6, **HELD)
    assert episode.label is None


def test_an_object_lost_before_it_was_lifted_is_a_grasp_failure():
    episode = Episode().steps(4, **HELD).steps(2, (0.5, -0.25, 0.05), **HELD).steps(LOST_STEPS, START, **SLIPPED)
    assert (episode.label, episode.phase, episode.step) == ("grasp_failure", "lift", 7)


def test_an_object_lost_on_the_way_is_a_drop_that_dates_from_the_first_step_without_contact():
    episode = Episode().carried().steps(1, (0.5, 0.0, 0.14), **SLIPPED).steps(1, (0.5, 0.0, 0.1), **SLIPPED)
    assert episode.label is None
    episode.steps(1, (0.5, 0.0, 0.05), **SLIPPED)
    assert (episode.label, episode.phase, episode.step) == ("drop", "carry", 10)
    assert episode.tracker.truth.failure_pos_b[0].tolist() == pytest.approx([0.5, 0.0, 0.14])
    assert not episode.done


def test_a_drop_while_lifting_keeps_its_phase_though_the_object_lies_by_then():
    episode = Episode().steps(3, **HELD).steps(3, (0.5, -0.25, 0.08), **HELD).steps(LOST_STEPS, START, **SLIPPED)
    assert (episode.label, episode.phase) == ("drop", "lift")


def test_a_contact_that_flickers_is_no_loss():
    episode = Episode().carried()
    for _ in range(10):
        episode.steps(LOST_STEPS - 1, **SLIPPED).steps(1, **HELD)
    assert episode.label is None


def test_a_policy_that_opens_its_hand_after_the_slip_has_still_dropped_the_object():
    episode = Episode().carried().steps(1, **SLIPPED).steps(LOST_STEPS - 1, (0.5, 0.0, 0.03), **OPEN)
    assert (episode.label, episode.phase) == ("drop", "carry")


def test_a_gripper_that_is_forced_open_drops_the_object():
    assert Episode().carried().steps(LOST_STEPS, forced_open=True, **OPEN).label == "drop"


def test_a_dropped_object_that_is_picked_up_again_and_placed_is_a_success_with_a_drop():
    episode = Episode().carried().steps(LOST_STEPS, (0.5, 0.0, 0.025), **SLIPPED).steps(20, **OPEN)
    episode.steps(3, **HELD).steps(3, ON_THE_WAY, **HELD).steps(3, GOAL, **HELD).steps(1, **OPEN)
    assert (episode.label, episode.success) == ("drop", True)


def test_a_collision_ends_the_episode_and_what_stays_below_does_not():
    episode = Episode().carried().steps(1, obstacle=COLLISION_FORCE_N - 1, **HELD)
    assert not episode.done
    episode.steps(1, obstacle=COLLISION_FORCE_N + 1, **HELD)
    assert (episode.label, episode.phase, episode.done) == ("collision", "carry", True)


def test_an_empty_hand_collides_on_its_approach():
    episode = Episode().steps(5).steps(1, obstacle=60.0)
    assert (episode.label, episode.phase) == ("collision", "approach")


def test_a_drop_before_a_collision_counts_as_a_drop():
    episode = Episode().carried().steps(LOST_STEPS, **SLIPPED).steps(1, obstacle=100.0, closed=True)
    assert (episode.label, episode.done) == ("drop", True)


def test_a_slip_that_a_collision_cuts_short_came_first():
    episode = Episode().carried().steps(1, **SLIPPED).steps(1, obstacle=100.0, **SLIPPED)
    assert (episode.label, episode.step) == ("drop", 10)


def test_an_object_that_the_obstacle_knocks_out_of_the_hand_is_a_collision():
    episode = Episode().carried().steps(1, obstacle=20.0, **HELD).steps(1, obstacle=20.0, **SLIPPED)
    episode.steps(1, obstacle=100.0, **SLIPPED)
    assert episode.label == "collision"


def test_only_a_deliberate_release_off_the_goal_is_misaligned_and_ends_the_episode():
    off = (0.5, 0.10, 0.025)
    episode = Episode().carried().steps(3, off, **HELD).steps(LOST_STEPS + SETTLED_STEPS - 2, **OPEN)
    assert episode.label is None
    episode.steps(1, **OPEN)
    assert (episode.label, episode.phase, episode.step, episode.done) == ("misalignment", "place", 13, True)
    dropped = Episode().carried().steps(3, off, **HELD).steps(LOST_STEPS + SETTLED_STEPS + 20, **SLIPPED)
    assert (dropped.label, dropped.done) == ("drop", False)


def test_an_object_put_back_where_it_lay_is_not_misaligned():
    episode = Episode().steps(3, **HELD).steps(3, (0.5, -0.25, 0.1), **HELD).steps(3, START, **HELD).steps(60, **OPEN)
    assert episode.label is None


def test_an_object_still_rolling_is_not_misaligned_yet():
    off = (0.5, 0.10, 0.025)
    episode = Episode().carried().steps(3, off, **HELD).steps(80, speed=0.1, **OPEN)
    assert episode.label is None


def test_the_time_limit_without_event_is_a_time_out():
    episode = Episode(max_steps=50).steps(50)
    assert (episode.label, episode.phase, episode.step, episode.done) == ("timeout", "approach", 50, True)
    kept = Episode(max_steps=50).carried().steps(41, GOAL, **HELD)
    assert (kept.label, kept.phase) == ("timeout", "place")


@pytest.mark.parametrize(("steps", "label"), [(10, "timeout"), (11, "drop"), (12, "drop")])
def test_a_slip_in_the_last_steps_goes_before_the_time_limit(steps: int, label: str):
    episode = Episode(max_steps=steps).carried().steps(1, **HELD).steps(steps - 10, **SLIPPED)
    assert (episode.label, episode.done) == (label, True)


def test_a_misplaced_release_goes_before_the_time_limit():
    episode = Episode(max_steps=20).carried().steps(3, (0.5, 0.10, 0.025), **HELD).steps(8, **OPEN)
    assert (episode.label, episode.done) == ("misalignment", True)


def test_a_success_in_the_last_step_is_no_time_out():
    episode = Episode(max_steps=13).carried().steps(3, GOAL, **HELD).steps(1, **OPEN)
    assert (episode.success, episode.label) == (True, None)


@pytest.mark.parametrize("task", ["stack", "bin_transport", "lift"])
def test_a_success_takes_as_many_steps_as_the_task_asks_for(task: str):
    wanted = get_task(task).success_steps
    goal = {"stack": (0.5, 0.20, 0.075), "bin_transport": (0.5, 0.25, 0.025), "lift": LIFT_GOAL}[task]
    episode = Episode(task, goal=goal)
    if task == "lift":
        episode.steps(3, **HELD).steps(wanted - 1, goal, **HELD)
    else:
        episode.carried().steps(3, goal, **HELD).steps(wanted - 1, **OPEN)
    assert not episode.success
    episode.steps(1, **(HELD if task == "lift" else OPEN))
    assert episode.success


def test_counting_towards_a_success_starts_anew_after_an_interruption():
    episode = Episode("lift", goal=LIFT_GOAL).steps(3, **HELD).steps(14, LIFT_GOAL, **HELD)
    episode.steps(1, (0.5, -0.25, 0.15), **HELD).steps(14, LIFT_GOAL, **HELD)
    assert not episode.success


def test_lifting_letting_go_in_the_air_is_a_drop_and_on_the_table_nothing():
    lifted = Episode("lift", goal=LIFT_GOAL).steps(3, **HELD).steps(3, LIFT_GOAL, **HELD).steps(LOST_STEPS, **OPEN)
    assert (lifted.label, lifted.phase, lifted.done) == ("drop", "place", False)
    regrasped = Episode("lift", goal=LIFT_GOAL).steps(3, **HELD).steps(40, **OPEN)
    assert regrasped.label is None


def test_lifting_an_object_held_too_low_times_out_while_lifting():
    episode = Episode("lift", max_steps=60, goal=LIFT_GOAL).steps(3, **HELD).steps(57, (0.5, -0.25, 0.12), **HELD)
    assert (episode.label, episode.phase) == ("timeout", "lift")


@pytest.mark.parametrize("act", ["pushed", "broke", "forced_open", "actuation_altered"])
def test_a_hazard_that_acts_has_fired_for_the_rest_of_the_episode(act: str):
    acting: dict[str, Any] = {act: True}
    episode = Episode().carried()
    assert not episode.fired
    episode.steps(1, **HELD, **acting)
    assert episode.fired
    assert episode.steps(1, **HELD).fired


def test_an_obstacle_fires_when_it_is_touched_and_not_by_the_noise_of_a_contact():
    assert not Episode().steps(5, obstacle=TOUCHED_FORCE_N).fired
    assert Episode().steps(1, obstacle=TOUCHED_FORCE_N + 0.1).fired


def test_a_latent_hazard_fires_with_the_failure_that_it_causes_and_not_before():
    episode = Episode().steps(3, latent=True, **HELD).steps(3, ON_THE_WAY, latent=True, **HELD)
    episode.steps(LOST_STEPS - 1, latent=True, **SLIPPED)
    assert not episode.fired
    episode.steps(1, latent=True, **SLIPPED)
    assert (episode.label, episode.fired) == ("drop", True)


def test_a_latent_hazard_that_the_policy_got_round_has_not_fired():
    episode = Episode().steps(3, latent=True, **HELD).steps(3, ON_THE_WAY, latent=True, **HELD)
    episode.steps(3, GOAL, latent=True, **HELD).steps(1, latent=True, **OPEN)
    assert (episode.success, episode.fired) == (True, False)


def test_a_failure_without_a_hazard_fires_nothing():
    episode = Episode().carried().steps(LOST_STEPS, **SLIPPED)
    assert (episode.label, episode.fired) == ("drop", False)


def test_broken_physics_ends_the_episode_as_invalid_with_its_reason():
    episode = Episode().carried().steps(1, invalid=InvalidReason.RUNAWAY_SPEED, **HELD)
    episode.steps(1, invalid=InvalidReason.OBJECT_IN_TABLE, **HELD)
    truth = episode.tracker.truth
    assert (bool(truth.invalid), episode.done, episode.success) == (True, True, False)
    assert INVALID_REASONS[int(truth.invalid_reason)] == "runaway_speed"


def test_nothing_changes_after_the_end():
    episode = Episode().steps(1, obstacle=60.0)
    before = episode.tracker.truth
    episode.steps(LOST_STEPS, invalid=InvalidReason.NON_FINITE_STATE, **SLIPPED).steps(100, obstacle=500.0, force=80.0)
    for name, value in vars(episode.tracker.truth).items():
        assert torch.equal(value, getattr(before, name)), name


def test_a_reset_forgets_the_episode():
    episode = Episode().carried().steps(1, obstacle=60.0)
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
