"""Truth about an episode: events from contacts and poses, and the first one that caused a failure.

Grasp and drop events do not end an episode (the policy may try again); a collision does.  Thresholds are in physical
units and apply to peaks over the physics substeps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from flow_rag_vla.tasks.contract import FAILURE_TYPES, PHASES, EpisodeTruth, FailureType, Phase

COLLISION_FORCE_N = 40.0
"""Force between the obstacle and the robot or the carried object that ends the episode."""

CONTACT_FORCE_N = 0.5
"""A finger that presses harder than this touches the object."""

LIFTED_M = 0.04
"""An object raised by this much has been lifted; losing it later is a drop, before that a failed grasp."""

GOAL_TOLERANCE_M = 0.03
HEIGHT_TOLERANCE_M = 0.01
RESTING_SPEED_M_S = 0.05

HELD_STEPS = 3
"""Control steps of two-finger contact that make a grasp."""

LOST_STEPS = 3
"""Control steps without two-finger contact that undo it."""

MISSED_STEPS = 24
"""Control steps of closing without ever grasping (0.8 s) that count as a missed grasp."""

SETTLED_STEPS = 15
"""Control steps (0.5 s) that a released object may rest off the goal before it counts as misplaced."""

_NO_EVENT = -1


def _type_id(failure: FailureType) -> int:
    return FAILURE_TYPES.index(failure)


def _phase_id(phase: Phase) -> int:
    return PHASES.index(phase)


@dataclass(frozen=True)
class StepFacts:
    """What the simulator says after one control step; ``(num_envs,)`` tensors unless noted."""

    object_pos_b: torch.Tensor
    """(num_envs, 3) m."""
    object_speed: torch.Tensor
    """m/s."""
    goal_pos_b: torch.Tensor
    """(num_envs, 3) m."""
    ee_pos_b: torch.Tensor
    """(num_envs, 3) m."""
    finger_force_n: torch.Tensor
    """(num_envs, 2) peak force of each finger on the object."""
    obstacle_force_n: torch.Tensor
    """Peak force between the obstacle and the robot or the object."""
    commanded_closed: torch.Tensor
    """bool: the policy commands the gripper closed."""
    broke: torch.Tensor
    """bool: the object broke in this step."""
    pushed: torch.Tensor
    """bool: the object is being pushed in this step."""
    forced_open: torch.Tensor
    """bool: the gripper is being forced open in this step."""
    low_friction: torch.Tensor
    """bool: the object's friction is below that of a plain one (the hazard behind a slip)."""
    invalid: torch.Tensor
    """bool: non-finite state or solver overflow."""


class EventTracker:
    """Latches events and the outcome of ``num_envs`` episodes."""

    def __init__(self, num_envs: int, rest_height_m: float, max_steps: int, device: str) -> None:
        """Track episodes of at most ``max_steps``; a resting object's centre is at ``rest_height_m``."""
        self._rest_height = rest_height_m
        self.max_steps = max_steps

        def flag() -> torch.Tensor:
            return torch.zeros(num_envs, dtype=torch.bool, device=device)

        def counter(value: int = 0) -> torch.Tensor:
            return torch.full((num_envs,), value, dtype=torch.long, device=device)

        self._initial = {
            "done": flag(), "success": flag(), "invalid": flag(), "fault_fired": flag(),
            "failure_type": counter(_NO_EVENT), "failure_phase": counter(_NO_EVENT),
            "failure_step": counter(_NO_EVENT), "steps": counter(),
            "failure_pos_b": torch.zeros(num_envs, 3, device=device),
            "peak_obstacle_force_n": torch.zeros(num_envs, device=device),
            "peak_grip_force_n": torch.zeros(num_envs, device=device),
        }  # fmt: skip
        self._latched = {name: value.clone() for name, value in self._initial.items()}
        self.held = flag()
        self._grasped = flag()
        self._lifted = flag()
        self._touching_steps = counter()
        self._lost_steps = counter()
        self._closing_steps = counter()
        self._settled_steps = counter()
        self._start_xy = torch.zeros(num_envs, 2, device=device)

    def reset(self, env_ids: torch.Tensor, object_pos_b: torch.Tensor) -> None:
        """Forget ``env_ids``; their objects lie at ``object_pos_b`` (k, 3)."""
        for name, value in self._initial.items():
            self._latched[name][env_ids] = value[env_ids]
        for state in (self.held, self._grasped, self._lifted):
            state[env_ids] = False
        for count in (self._touching_steps, self._lost_steps, self._closing_steps, self._settled_steps):
            count[env_ids] = 0
        self._start_xy[env_ids] = object_pos_b[:, :2]

    @property
    def truth(self) -> EpisodeTruth:
        """The episodes so far (a copy)."""
        return EpisodeTruth(**{name: value.clone() for name, value in self._latched.items()})

    @property
    def done(self) -> torch.Tensor:
        """(num_envs,) bool: ended episodes."""
        return self._latched["done"]

    def phase(self, facts: StepFacts) -> torch.Tensor:
        """True phase (num_envs,) as an index into ``PHASES``."""
        near_goal = (facts.object_pos_b[:, :2] - facts.goal_pos_b[:, :2]).norm(dim=1) < 0.06
        moved = (facts.object_pos_b[:, :2] - self._start_xy).norm(dim=1) > 0.03
        phase = torch.full_like(self._touching_steps, _phase_id(Phase.APPROACH))
        phase[facts.commanded_closed] = _phase_id(Phase.GRASP)
        phase[self._grasped & self._is_raised(facts, 0.005)] = _phase_id(Phase.LIFT)
        phase[self._grasped & moved] = _phase_id(Phase.CARRY)
        phase[self._grasped & near_goal] = _phase_id(Phase.PLACE)
        return phase

    def _is_raised(self, facts: StepFacts, height_m: float) -> torch.Tensor:
        return facts.object_pos_b[:, 2] > self._rest_height + height_m

    def _at_goal(self, facts: StepFacts) -> torch.Tensor:
        offset = (facts.object_pos_b[:, :2] - facts.goal_pos_b[:, :2]).norm(dim=1)
        resting_height = (facts.object_pos_b[:, 2] - self._rest_height).abs() < HEIGHT_TOLERANCE_M
        return (offset < GOAL_TOLERANCE_M) & resting_height

    def _record(self, event: torch.Tensor, failure: FailureType | torch.Tensor, facts: StepFacts) -> None:
        """Latch ``event`` where no causal event happened before."""
        state = self._latched
        first = event & (state["failure_type"] == _NO_EVENT) & ~state["done"]
        kind = failure if isinstance(failure, torch.Tensor) else _type_id(failure)
        state["failure_type"] = torch.where(first, kind, state["failure_type"])
        state["failure_phase"] = torch.where(first, self.phase(facts), state["failure_phase"])
        state["failure_step"] = torch.where(first, state["steps"], state["failure_step"])
        state["failure_pos_b"] = torch.where(first.unsqueeze(1), facts.object_pos_b, state["failure_pos_b"])

    def update(self, facts: StepFacts, intact: torch.Tensor) -> None:
        """Take in one control step; ``intact`` (num_envs,) says which objects are whole."""
        state = self._latched
        running = ~state["done"]
        state["steps"] += running
        for name, force in (
            ("peak_obstacle_force_n", facts.obstacle_force_n),
            ("peak_grip_force_n", facts.finger_force_n.amax(dim=1)),
        ):
            state[name] = torch.where(running, torch.maximum(state[name], force), state[name])

        self._record(facts.broke, FailureType.GRASP_FAILURE, facts)
        collided = facts.obstacle_force_n > COLLISION_FORCE_N
        self._record(collided, FailureType.COLLISION, facts)
        lost = self._track_grasp(facts)
        lost_type = torch.where(self._lifted, _type_id(FailureType.DROP), _type_id(FailureType.GRASP_FAILURE))
        away = ~self._at_goal(facts)
        dropped = lost & away & (facts.commanded_closed | facts.forced_open)
        self._record(dropped, lost_type, facts)
        self._lifted &= ~lost
        self._grasped &= ~lost

        missed = self._closing_steps == MISSED_STEPS
        self._record(missed, FailureType.GRASP_FAILURE, facts)
        misplaced = self._settled_steps == SETTLED_STEPS
        self._record(misplaced, FailureType.MISALIGNMENT, facts)

        slipped = dropped & facts.low_friction
        fired = facts.broke | facts.pushed | facts.forced_open | slipped | (facts.obstacle_force_n > 1.0)
        state["fault_fired"] |= fired & running

        free = (facts.finger_force_n < CONTACT_FORCE_N).all(dim=1) & ~facts.commanded_closed
        still = facts.object_speed < RESTING_SPEED_M_S
        success = self._at_goal(facts) & free & still & intact & running & ~collided
        timed_out = state["steps"] >= self.max_steps
        self._record(timed_out & ~success, FailureType.TIMEOUT, facts)
        state["invalid"] |= facts.invalid & running
        state["success"] |= success & ~state["invalid"]
        state["done"] |= success | collided | timed_out | state["invalid"]

    def _track_grasp(self, facts: StepFacts) -> torch.Tensor:
        """Update grasp counters; returns where a grasp was just lost."""
        touching = (facts.finger_force_n > CONTACT_FORCE_N).all(dim=1)
        self._touching_steps = torch.where(touching, self._touching_steps + 1, 0)
        self.held = self._touching_steps >= HELD_STEPS
        self._grasped |= self.held
        self._lifted |= self._grasped & self._is_raised(facts, LIFTED_M)
        self._lost_steps = torch.where(self._grasped & ~touching, self._lost_steps + 1, 0)
        never_held = facts.commanded_closed & ~self._grasped
        self._closing_steps = torch.where(never_held, self._closing_steps + 1, 0)
        resting = facts.object_speed < RESTING_SPEED_M_S
        put_down = ~facts.commanded_closed & ~touching & resting & ~self._at_goal(facts)
        moved = (facts.object_pos_b[:, :2] - self._start_xy).norm(dim=1) > GOAL_TOLERANCE_M
        self._settled_steps = torch.where(put_down & moved, self._settled_steps + 1, 0)
        return self._lost_steps == LOST_STEPS
