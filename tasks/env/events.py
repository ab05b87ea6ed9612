"""Truth about an episode: events from contacts and poses, and the first one that caused a failure.

Grasp and drop events do not end an episode (the policy may try again); a collision and a deliberate release off the
goal do.  Thresholds are in physical units and apply to peaks over the physics substeps but where they say else.
``LABELS.md`` defines every label and holds the audit against constructed episodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from flow_rag_vla.tasks.contract import (
    FAILURE_TYPES,
    INVALID_REASONS,
    PHASES,
    EpisodeTruth,
    FailureType,
    InvalidReason,
    Phase,
)
from flow_rag_vla.tasks.facts.step_facts import goal_height_error_m, goal_offset_m

if TYPE_CHECKING:
    from flow_rag_vla.tasks.catalogue.task import Task
    from flow_rag_vla.tasks.facts.step_facts import StepFacts

COLLISION_FORCE_N = 40.0
"""Force between the obstacle and the robot or the carried object that ends the episode."""

CONTACT_FORCE_N = 0.5
"""A finger that presses harder than this touches the object."""

LIFTED_M = 0.04
"""An object raised by this much has been lifted; losing it later is a drop, before that a failed grasp."""

MOVED_M = 0.03
"""An object this far from where it lay has been carried away."""

RAISED_M = 0.01
"""An object raised by this much is being lifted; a hand that closes askew raises it by up to 7 mm."""

NEAR_GOAL_M = 0.06
TOUCHED_FORCE_N = 1.0
RESTING_SPEED_M_S = 0.05

HELD_STEPS = 3
"""Control steps of two-finger contact that make a grasp."""

LOST_STEPS = 3
"""Control steps without two-finger contact that undo it."""

MISSED_STEPS = 24
"""Control steps of closing without ever grasping (0.8 s) that count as a missed grasp."""

SETTLED_STEPS = 18
"""Control steps (0.6 s) that a released object may rest off the goal before it counts as misplaced."""

SWUNG_RAD = 0.5
"""A held object whose tilt has changed by more than this since it was grasped has swung in the fingers."""

PRESSED_FORCE_N = 10.0
PRESSED_STEPS = 24
"""A finger that has stood on the object with this force for this long (0.8 s) has missed the grasp."""

_NO_EVENT = -1


@dataclass
class _Moment:
    """When and where something happened, per environment."""

    step: torch.Tensor
    phase: torch.Tensor
    object_pos_b: torch.Tensor

    def replace_where(self, mask: torch.Tensor, other: _Moment) -> None:
        """Take over ``other`` where ``mask`` (num_envs,)."""
        self.step = torch.where(mask, other.step, self.step)
        self.phase = torch.where(mask, other.phase, self.phase)
        self.object_pos_b = torch.where(mask.unsqueeze(1), other.object_pos_b, self.object_pos_b)


def _type_id(failure: FailureType) -> int:
    return FAILURE_TYPES.index(failure)


def _phase_id(phase: Phase) -> int:
    return PHASES.index(phase)


class EventTracker:
    """Latches events and the outcome of ``num_envs`` episodes."""

    def __init__(self, task: Task, num_envs: int, max_steps: int, device: str) -> None:
        """Track episodes of ``task`` of at most ``max_steps``."""
        self._task = task
        self.max_steps = max_steps

        def flag() -> torch.Tensor:
            return torch.zeros(num_envs, dtype=torch.bool, device=device)

        def counter(value: int = 0) -> torch.Tensor:
            return torch.full((num_envs,), value, dtype=torch.long, device=device)

        self._initial = {
            "done": flag(), "success": flag(), "invalid": flag(), "fault_fired": flag(),
            "failure_type": counter(_NO_EVENT), "failure_phase": counter(_NO_EVENT),
            "failure_step": counter(_NO_EVENT), "steps": counter(), "invalid_reason": counter(_NO_EVENT),
            "failure_pos_b": torch.zeros(num_envs, 3, device=device),
            "peak_obstacle_force_n": torch.zeros(num_envs, device=device),
            "peak_grip_force_n": torch.zeros(num_envs, device=device),
            "penetration_m": torch.zeros(num_envs, device=device),
            "peak_penetration_m": torch.zeros(num_envs, device=device),
        }  # fmt: skip
        self._latched = {name: value.clone() for name, value in self._initial.items()}
        self.held, self.released = flag(), flag()
        """(num_envs,) bool: the object is in the hand; it has been let go deliberately."""
        self.phase = counter()
        """(num_envs,) true phase of the last step, an index into ``PHASES``."""
        self._grasped, self._lifted = flag(), flag()
        self._brushing, self._loss_unwanted, self._loss_brushed = flag(), flag(), flag()
        self._touching_steps, self._lost_steps, self._closing_steps = counter(), counter(), counter()
        self._settled_steps, self._goal_steps, self._pressed_steps = counter(), counter(), counter()
        self._start = torch.zeros(num_envs, 3, device=device)
        self._loss = _Moment(counter(), counter(), torch.zeros(num_envs, 3, device=device))
        """The first control step without two-finger contact; its phase is that of the last step with it."""
        self._grasped_tilt_rad = torch.zeros(num_envs, device=device)
        self._grasped_pos_b = torch.zeros(num_envs, 3, device=device)
        """Tilt and place at which the object was grasped."""

    def reset(self, env_ids: torch.Tensor, object_pos_b: torch.Tensor) -> None:
        """Forget ``env_ids``; their objects lie at ``object_pos_b`` (k, 3)."""
        for name, value in self._initial.items():
            self._latched[name][env_ids] = value[env_ids]
        for state in (
            self.held, self.released, self.phase, self._grasped, self._lifted, self._brushing, self._loss_unwanted,
            self._loss_brushed, self._grasped_tilt_rad, self._touching_steps, self._lost_steps, self._closing_steps,
            self._settled_steps, self._goal_steps, self._pressed_steps,
        ):  # fmt: skip
            state[env_ids] = 0
        self._start[env_ids] = object_pos_b

    @property
    def truth(self) -> EpisodeTruth:
        """The episodes so far (a copy)."""
        return EpisodeTruth(**{name: value.clone() for name, value in self._latched.items()})

    @property
    def done(self) -> torch.Tensor:
        """(num_envs,) bool: ended episodes."""
        return self._latched["done"]

    @property
    def rest_height_m(self) -> torch.Tensor:
        """(num_envs,) height of the object's centre where it lay, m."""
        return self._start[:, 2]

    def update(self, facts: StepFacts, intact: torch.Tensor) -> None:
        """Take in one control step; ``intact`` (num_envs,) says which objects are whole."""
        state = self._latched
        running = ~state["done"]
        state["steps"] += running
        for name, value in (
            ("peak_obstacle_force_n", facts.obstacle_force_n),
            ("peak_grip_force_n", facts.finger_force_n.amax(dim=1)),
            ("penetration_m", facts.penetration_m),
            ("peak_penetration_m", facts.peak_penetration_m),
        ):
            state[name] = torch.where(running, torch.maximum(state[name], value), state[name])
        at_goal = self._task.at_goal(facts)
        touching = (facts.finger_force_n > CONTACT_FORCE_N).all(dim=1)
        lost = self._track_grasp(facts, touching)
        self.phase = self._phase(facts)
        now = _Moment(state["steps"], self.phase, facts.object_pos_b)
        causes_before = state["failure_type"].clone()

        self._record(facts.broke, FailureType.GRASP_FAILURE, now)
        collided = facts.obstacle_force_n > COLLISION_FORCE_N
        timed_out = state["steps"] >= self.max_steps
        # What ends the episode may come before a loss has lasted long enough to be one.
        ends_it = (collided | timed_out) & (self._lost_steps > 0)
        self._record_loss((lost | ends_it) & ~(collided & self._loss_brushed), at_goal)
        self._let_go(lost)
        self._record(collided, FailureType.COLLISION, now)
        missed = (self._closing_steps == MISSED_STEPS) | (self._pressed_steps == PRESSED_STEPS)
        swung = self.held & ((facts.object_tilt_rad - self._grasped_tilt_rad).abs() > SWUNG_RAD)
        self._record(missed | swung, FailureType.GRASP_FAILURE, now)
        misplaced = self._track_release(facts, touching, at_goal, timed_out)
        self._record(misplaced, FailureType.MISALIGNMENT, self._loss)

        succeeded = self._track_success(facts, touching, at_goal & intact & ~collided)
        self._record(timed_out & ~succeeded, FailureType.TIMEOUT, now)
        caused = (state["failure_type"] != causes_before) & facts.latent
        fired = facts.broke | facts.pushed | facts.forced_open | facts.actuation_altered | caused
        state["fault_fired"] |= (fired | (facts.obstacle_force_n > TOUCHED_FORCE_N)) & running
        broken = (facts.invalid_reason != _NO_EVENT) & running
        state["invalid_reason"] = torch.where(broken, facts.invalid_reason, state["invalid_reason"])
        state["invalid"] |= broken
        state["success"] |= succeeded & running & ~state["invalid"]
        state["done"] |= succeeded | collided | misplaced | timed_out | state["invalid"]

    def invalidate(self, rows: torch.Tensor, reason: InvalidReason) -> None:
        """End those running episodes of ``rows`` (num_envs,) bool as invalid, because of ``reason``."""
        state = self._latched
        broken = rows & ~state["done"]
        index = INVALID_REASONS.index(reason)
        state["invalid_reason"] = torch.where(broken, index, state["invalid_reason"])
        state["invalid"] |= broken
        state["done"] |= broken

    def _phase(self, facts: StepFacts) -> torch.Tensor:
        moved = (facts.object_pos_b - self._grasped_pos_b)[:, :2].norm(dim=1) > MOVED_M
        arriving = goal_offset_m(facts) < NEAR_GOAL_M
        if not self._task.releases:
            arriving &= goal_height_error_m(facts).abs() < NEAR_GOAL_M / 2
        phase = torch.full_like(self.phase, _phase_id(Phase.APPROACH))
        # Letting go and drawing back belong to placing, wherever the object was put.
        phase[self.released] = _phase_id(Phase.PLACE)
        phase[facts.commanded_closed] = _phase_id(Phase.GRASP)
        phase[self._grasped & self._is_raised(facts, RAISED_M)] = _phase_id(Phase.LIFT)
        phase[self._grasped & moved] = _phase_id(Phase.CARRY)
        phase[self._grasped & arriving] = _phase_id(Phase.PLACE)
        return phase

    def _is_raised(self, facts: StepFacts, height_m: float) -> torch.Tensor:
        return facts.object_pos_b[:, 2] > self.rest_height_m + height_m

    def _record(self, event: torch.Tensor, failure: FailureType | torch.Tensor, moment: _Moment) -> None:
        """Latch ``event`` where no causal event happened before."""
        state = self._latched
        first = event & (state["failure_type"] == _NO_EVENT) & ~state["done"]
        kind = failure if isinstance(failure, torch.Tensor) else _type_id(failure)
        state["failure_type"] = torch.where(first, kind, state["failure_type"])
        state["failure_phase"] = torch.where(first, moment.phase, state["failure_phase"])
        state["failure_step"] = torch.where(first, moment.step, state["failure_step"])
        state["failure_pos_b"] = torch.where(first.unsqueeze(1), moment.object_pos_b, state["failure_pos_b"])

    def _track_grasp(self, facts: StepFacts, touching: torch.Tensor) -> torch.Tensor:
        """Update grasp counters; returns where a grasp was just lost."""
        self._touching_steps = torch.where(touching, self._touching_steps + 1, 0)
        self.held = self._touching_steps >= HELD_STEPS
        grasped = self._grasped
        self._grasped_tilt_rad = torch.where(grasped, self._grasped_tilt_rad, facts.object_tilt_rad)
        self._grasped_pos_b = torch.where(grasped.unsqueeze(1), self._grasped_pos_b, facts.object_pos_b)
        self._grasped |= self.held
        self._lifted |= self._grasped & self._is_raised(facts, LIFTED_M)
        self._lost_steps = torch.where(self._grasped & ~touching, self._lost_steps + 1, 0)
        self._track_loss(facts)
        standing = ~self._grasped & (facts.finger_lift_n > PRESSED_FORCE_N)
        self._pressed_steps = torch.where(standing, self._pressed_steps + 1, 0)
        never_held = facts.gripper_closed & ~self._grasped
        self._closing_steps = torch.where(never_held, self._closing_steps + 1, 0)
        return self._lost_steps == LOST_STEPS

    def _track_loss(self, facts: StepFacts) -> None:
        """Note when a grasp began to be lost, whether anybody wanted it, and whether the obstacle was in it."""
        begins = self._lost_steps == 1
        self._loss.replace_where(begins, _Moment(self._latched["steps"], self.phase, facts.object_pos_b))
        unwanted = facts.commanded_closed | facts.forced_open
        if not self._task.releases:
            # Nothing in the task asks for letting go of an object in the air.
            unwanted |= self._is_raised(facts, LIFTED_M)
        self._loss_unwanted = torch.where(begins, unwanted, self._loss_unwanted)
        brushing = facts.obstacle_force_n > TOUCHED_FORCE_N
        self._loss_brushed = torch.where(begins, brushing | self._brushing, self._loss_brushed)
        self._brushing = brushing

    def _record_loss(self, lost: torch.Tensor, at_goal: torch.Tensor) -> None:
        """A grasp that ends although the hand should be closed is a failure, unless the object lies at the goal."""
        kind = torch.where(self._lifted, _type_id(FailureType.DROP), _type_id(FailureType.GRASP_FAILURE))
        harmless = at_goal if self._task.releases else torch.zeros_like(at_goal)
        self._record(lost & self._loss_unwanted & ~harmless, kind, self._loss)

    def _let_go(self, lost: torch.Tensor) -> None:
        self.released = torch.where(lost, ~self._loss_unwanted, self.released & ~self.held)
        # A release on purpose is part of placing.
        self._loss.phase = torch.where(lost & self.released, _phase_id(Phase.PLACE), self._loss.phase)
        self._lifted &= ~lost
        self._grasped &= ~lost

    def _track_release(
        self, facts: StepFacts, touching: torch.Tensor, at_goal: torch.Tensor, timed_out: torch.Tensor
    ) -> torch.Tensor:
        """Where an object that was let go deliberately has come to rest off the goal."""
        moved = (facts.object_pos_b - self._start)[:, :2].norm(dim=1) > MOVED_M
        resting = facts.object_speed < RESTING_SPEED_M_S
        misplaced = self.released & ~touching & resting & moved & ~at_goal
        self._settled_steps = torch.where(misplaced, self._settled_steps + 1, 0)
        settled = (self._settled_steps == SETTLED_STEPS) | (timed_out & misplaced)
        return settled & self._task.releases

    def _track_success(self, facts: StepFacts, touching: torch.Tensor, good: torch.Tensor) -> torch.Tensor:
        """Where the object has been at its goal for long enough, let go and still, or held, as the task wants it."""
        still = facts.object_speed < RESTING_SPEED_M_S
        free = (facts.finger_force_n < CONTACT_FORCE_N).all(dim=1) & ~facts.commanded_closed & still
        self._goal_steps = torch.where(good & (free if self._task.releases else touching), self._goal_steps + 1, 0)
        return self._goal_steps >= self._task.success_steps
