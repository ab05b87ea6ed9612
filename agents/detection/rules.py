"""Notices failures in what a robot senses: rules on gripper width, squeeze force, contact force and perceived poses.

One small state machine per environment.  The simulator's truth is never consulted; how often the two agree is measured
by the benchmark.
"""

from __future__ import annotations

import torch

from flow_rag_vla.agents.detection.alarm import FailureAlarm
from flow_rag_vla.agents.detection.hand_contact import contact_side, distance_to_body, stands_on_object
from flow_rag_vla.agents.policy.features import HELD_FORCE_N, long_axis
from flow_rag_vla.tasks.contract import CONTROL_HZ, FAILURE_TYPES, NOTHING, PHASES, FailureType, Observation, Phase

UNKNOWN = "unknown"
"""Answer of ``classify_failure`` where no rule applies (the implementation guide's word)."""

LOST_FORCE_N = 0.3
"""Squeeze force below which closed fingers hold nothing."""

LOST_CHECKS = 2
"""Updates in a row that must agree that the object is gone."""

EMPTY_WIDTH = 0.3
"""Fingers closer than this share of the object's narrowest edge do not have it between them.

Well below 1: a firm grip on a slippery object lets the sensed width chatter.
"""

SLID_M = 0.04
"""An object whose middle is this far from the fingertips is not in the hand, whatever the fingers feel."""

LIFTED_M = 0.04
"""Losing an object that has been this high above where it rested is a drop, before that a failed grasp."""

RAISED_M = 0.005
MOVED_M = 0.03
NEAR_GOAL_M = 0.06
GOAL_TOLERANCE_M = 0.03

COLLISION_FORCE_N = 30.0
"""Contact force on hand or links that counts as a collision."""

SUPPORT_HEIGHT_M = 0.015
"""A held object less than this above the goal's level may be pressed onto what it is put down on."""

CLOSING_S = 0.7
"""Closing for longer than this without ever holding anything is a missed grasp."""

PRESSED_S = 0.3
"""Standing on the object for longer than this is a missed grasp too: the fingers do not get around it."""

TOUCH_STEPS = 4
"""Control steps after a touch in which it shows which finger touched; later the hand has slipped."""

SETTLED_S = 0.5
"""A released object is judged after this time."""

SWUNG_SINE = 0.3
"""A held object whose long axis pitches by more than this (sine of the angle) swings in the fingers."""

LOAD_MEMORY = 0.7
"""One-step memory of the smoothed pull of the object on the hand."""


def _type_id(failure: FailureType) -> int:
    return FAILURE_TYPES.index(failure)


def _phase_id(phase: Phase) -> int:
    return PHASES.index(phase)


def collided(o: Observation) -> torch.Tensor:
    """(num_envs,) bool: contact force on hand or links beyond what carrying, pushes and placing explain.

    While the hand holds something, a downward force may be its load or a push on it (which ends in up to 50 N where
    the object is stripped from the fingers), and an upward one the table on which it is put down, or the top of
    what it reaches around: neither counts.
    Nor does the force on a hand that stands on the object, which is a failed grasp.
    """
    hand = o.hand_force_b
    holding = _closed(o) & (o.grip_force_n[:, 0] > HELD_FORCE_N)
    low = o.object_pos_b[:, 2] < o.goal_pos_b[:, 2] + SUPPORT_HEIGHT_M
    # Around a low object, the palm may touch its top: a tall one leaves it a few millimetres.
    placing = (holding | ~_slid_out(o)) & low
    down, up = hand[:, 2].clamp(max=0.0), hand[:, 2].clamp(min=0.0)
    vertical = torch.where(holding, 0.0, down) + torch.where(placing, 0.0, up)
    unexplained = torch.cat([hand[:, :2], vertical.unsqueeze(1)], dim=1).norm(dim=1)
    hit = (unexplained > COLLISION_FORCE_N) & ~stands_on_object(o)
    return hit | (o.link_force_b.norm(dim=1) > COLLISION_FORCE_N)


def _closed(o: Observation) -> torch.Tensor:
    return o.previous_action[:, 6] < 0


def _holding(o: Observation) -> torch.Tensor:
    # A finger that stands on the object feels a force as well.
    squeezed = (o.grip_force_n[:, 0] > HELD_FORCE_N) & ~stands_on_object(o)
    return _closed(o) & squeezed & ~_shut(o) & ~_slid_out(o)


def _shut(o: Observation) -> torch.Tensor:
    return o.gripper_width_m[:, 0] < EMPTY_WIDTH * o.object_size_m[:, :2].amin(dim=1)


def _slid_out(o: Observation) -> torch.Tensor:
    return distance_to_body(o.ee_pos_b - o.object_pos_b, o).norm(dim=1) > SLID_M


def _gone(o: Observation) -> torch.Tensor:
    return (o.grip_force_n[:, 0] < LOST_FORCE_N) | _shut(o) | _slid_out(o)


def goal_offset(o: Observation) -> torch.Tensor:
    """(num_envs,) distance of the object from its goal in the table's plane, m."""
    return (o.object_pos_b - o.goal_pos_b)[:, :2].norm(dim=1)


class RuleDetector:
    """Follows ``num_envs`` episodes; ``update`` after every control step, or after every few.

    ``first`` keeps the first alarm of each episode; ``update`` also returns the later ones.
    """

    def __init__(self, num_envs: int, max_steps: int = 200, device: str = "cpu") -> None:
        """Episodes end after ``max_steps`` control steps."""
        self.max_steps = max_steps
        self._device = device
        self._num_envs = num_envs

        def flag() -> torch.Tensor:
            return torch.zeros(num_envs, dtype=torch.bool, device=device)

        def number() -> torch.Tensor:
            return torch.zeros(num_envs, device=device)

        def counter() -> torch.Tensor:
            return torch.zeros(num_envs, dtype=torch.long, device=device)

        self.first = FailureAlarm.none(num_envs, device)
        self._grasped, self._lifted, self._released, self._fresh = flag(), flag(), flag(), ~flag()
        self._missed, self._colliding, self._swinging = flag(), flag(), flag()
        self._gone_checks, self._closing_steps, self._released_steps, self._step = (counter() for _ in range(4))
        self._pressed_steps = counter()
        self._load, self._peak_load, self._side, self._tilt = (number() for _ in range(4))
        self._start = torch.zeros(num_envs, 3, device=device)

    def reset(self, env_ids: torch.Tensor) -> None:
        """Forget the episodes of ``env_ids`` (k,); the next update says where their objects lie."""
        for state in (
            self._grasped, self._lifted, self._released, self._missed, self._colliding, self._gone_checks,
            self._closing_steps, self._released_steps, self._step, self._load, self._peak_load, self._pressed_steps,
            self._side, self._tilt, self._swinging,
        ):  # fmt: skip
            state[env_ids] = 0
        self._fresh[env_ids] = True
        rows = torch.zeros(self._num_envs, dtype=torch.bool, device=self._device)
        rows[env_ids] = True
        self.first = self.first.where(rows, FailureAlarm.none(self._num_envs, self._device))

    def phase(self, observation: Observation) -> torch.Tensor:
        """Sensed phase (num_envs,) as an index into ``PHASES``."""
        o = observation
        moved = self._moved(o)
        raised = o.object_pos_b[:, 2] > self._start[:, 2] + RAISED_M
        phase = torch.full_like(self._step, _phase_id(Phase.APPROACH))
        phase[_closed(o)] = _phase_id(Phase.GRASP)
        phase[self._grasped & raised] = _phase_id(Phase.LIFT)
        phase[self._grasped & moved] = _phase_id(Phase.CARRY)
        phase[self._grasped & (goal_offset(o) < NEAR_GOAL_M)] = _phase_id(Phase.PLACE)
        return phase

    def update(self, observation: Observation, steps: int = 1, running: torch.Tensor | None = None) -> FailureAlarm:
        """Take in what is sensed ``steps`` control steps after the last update; returns what is noticed now.

        Args:
            observation: What is sensed now.
            steps: Control steps since the last update (or the reset).
            running: (num_envs,) bool: episodes that have not ended; others keep their state and raise no alarm.
        """
        o = observation
        running = torch.ones_like(self._fresh) if running is None else running
        self._start = torch.where(self._fresh.unsqueeze(1), o.object_pos_b, self._start)
        self._fresh &= ~running
        self._step = torch.where(running, self._step + steps, self._step)
        holding = _holding(o)
        # A new grasp begins: forget the load of the last one.
        begins = holding & ~self._grasped & running
        self._peak_load = torch.where(begins, 0.0, self._peak_load)
        self._load = torch.where(holding, LOAD_MEMORY * self._load - (1 - LOAD_MEMORY) * o.hand_force_b[:, 2], 0.0)
        self._peak_load = torch.where(running, torch.maximum(self._peak_load, self._load), self._peak_load)
        self._tilt = torch.where(begins, 0.0, self._tilt)
        self._grasped |= holding & running
        pitch = long_axis(o)[:, 2]
        steeper = self._grasped & running & (pitch.abs() > self._tilt.abs())
        self._tilt = torch.where(steeper, pitch, self._tilt)
        high = o.object_pos_b[:, 2] > self._start[:, 2] + LIFTED_M
        self._lifted |= self._grasped & high & running

        phase = self.phase(o)
        kind = torch.full_like(self._step, NOTHING)
        # In order of rising precedence.
        kind[self._timed_out(o)] = _type_id(FailureType.TIMEOUT)
        misplaced = self._misplaced(o, steps, running)
        kind[misplaced] = _type_id(FailureType.MISALIGNMENT)
        missed = self._missed_grasp(o, steps, running)
        kind[missed] = _type_id(FailureType.GRASP_FAILURE)
        phase[missed] = _phase_id(Phase.GRASP)
        lost = self._lost_grasp(o, running)
        was_lifted = torch.where(self._lifted, _type_id(FailureType.DROP), _type_id(FailureType.GRASP_FAILURE))
        kind = torch.where(lost, was_lifted, kind)
        hit = collided(o)
        kind[hit & ~self._colliding] = _type_id(FailureType.COLLISION)
        self._colliding = torch.where(running, hit, self._colliding)
        # A bar that swings down hits the table with its end: the swing is the cause.
        swings = self._grasped & holding & (pitch.abs() > SWUNG_SINE)
        kind[swings & ~self._swinging] = _type_id(FailureType.GRASP_FAILURE)
        self._swinging = torch.where(running, swings, self._swinging)
        self._grasped &= ~lost
        self._lifted &= ~lost

        mask = (kind != NOTHING) & running
        alarm = FailureAlarm(
            mask=mask,
            failure_type=torch.where(mask, kind, NOTHING),
            phase=torch.where(mask, phase, NOTHING),
            link_contact=mask & hit & (o.link_force_b.norm(dim=1) > o.hand_force_b.norm(dim=1)),
            load_n=self._peak_load.clone(),
            step=torch.where(mask, self._step, NOTHING),
            missed=missed & mask,
            side_y=self._side.clone(),
            offset_y_m=torch.where(misplaced & mask, (o.object_pos_b - o.goal_pos_b)[:, 1], 0.0),
            tilt=self._tilt.clone(),
        )
        self.first = self.first.where(mask & ~self.first.mask, alarm)
        return alarm

    def _lost_grasp(self, o: Observation, running: torch.Tensor) -> torch.Tensor:
        """Where an object that should be in the closed hand has been gone for ``LOST_CHECKS`` updates."""
        placed = (goal_offset(o) < GOAL_TOLERANCE_M) & (o.object_pos_b[:, 2] < o.goal_pos_b[:, 2] + RAISED_M)
        gone = self._grasped & _closed(o) & _gone(o)
        self._gone_checks = torch.where(running, torch.where(gone, self._gone_checks + 1, 0), self._gone_checks)
        lost = (self._gone_checks >= LOST_CHECKS) & running
        self._gone_checks = torch.where(lost, 0, self._gone_checks)
        # The hand may close on nothing over an object that lies where it should.
        self._grasped &= ~(lost & placed)
        self._lifted &= ~(lost & placed)
        return lost & ~placed

    def _missed_grasp(self, o: Observation, steps: int, running: torch.Tensor) -> torch.Tensor:
        """Where the gripper has been closing, or standing on the object, for long without ever holding; once."""
        trying = _closed(o) & ~self._grasped
        self._closing_steps = torch.where(
            running, torch.where(trying, self._closing_steps + steps, 0), self._closing_steps
        )
        pressed = stands_on_object(o) & ~self._grasped
        self._pressed_steps = torch.where(
            running, torch.where(pressed, self._pressed_steps + steps, 0), self._pressed_steps
        )
        touching = pressed & (self._pressed_steps <= max(TOUCH_STEPS, steps)) & running
        begins = touching & (self._pressed_steps <= steps)
        self._side = torch.where(touching, torch.where(begins, 0.0, self._side) + contact_side(o), self._side)
        long = (self._closing_steps > CLOSING_S * CONTROL_HZ) | (self._pressed_steps > PRESSED_S * CONTROL_HZ)
        missed = long & ~self._missed
        self._missed = torch.where(running, long, self._missed)
        return missed

    def _misplaced(self, o: Observation, steps: int, running: torch.Tensor) -> torch.Tensor:
        """Where an object was carried, let go deliberately and rests off the goal; once per release.

        A short new squeeze does not make up for it, lifting the object again does.
        """
        let_go = self._grasped & ~_closed(o) & running
        self._released |= let_go & self._moved(o)
        self._grasped &= ~let_go
        self._lifted &= ~let_go
        self._released &= ~self._lifted
        self._released_steps = torch.where(self._released, self._released_steps + steps * running, 0)
        settled = self._released & (self._released_steps >= SETTLED_S * CONTROL_HZ)
        self._released &= ~settled
        return settled & (goal_offset(o) > GOAL_TOLERANCE_M)

    def _moved(self, o: Observation) -> torch.Tensor:
        return (o.object_pos_b - self._start)[:, :2].norm(dim=1) > MOVED_M

    def _timed_out(self, o: Observation) -> torch.Tensor:
        """Where the time is up and the object does not lie free at the goal."""
        placed = (goal_offset(o) < GOAL_TOLERANCE_M) & ~_closed(o)
        return (self._step >= self.max_steps) & ~placed


def classify_failure(before: Observation, after: Observation, action: torch.Tensor) -> list[str]:
    """Failure type of each environment from one pair of observations, ``unknown`` where no rule applies.

    The implementation guide's interface, which knows nothing of the episode: an object that was in the hand high above
    the goal's level and is not any more was dropped, low above it the grasp failed.

    Args:
        before: Sensed before ``action``.
        after: Sensed after it.
        action: (num_envs, 7), or the last of a chunk (num_envs, horizon, 7).
    """
    last = action[:, -1] if action.ndim == 3 else action
    closing = last[:, 6] < 0
    lost = _holding(before) & closing & _gone(after)
    high = torch.maximum(before.object_pos_b[:, 2], after.object_pos_b[:, 2]) > before.goal_pos_b[:, 2] + LIFTED_M
    empty = closing & ~_holding(before) & _shut(after)
    released = _holding(before) & ~closing & (goal_offset(after) > GOAL_TOLERANCE_M)
    kind = torch.full_like(closing, NOTHING, dtype=torch.long)
    kind[released] = _type_id(FailureType.MISALIGNMENT)
    kind[empty | (lost & ~high)] = _type_id(FailureType.GRASP_FAILURE)
    kind[lost & high] = _type_id(FailureType.DROP)
    kind[collided(after)] = _type_id(FailureType.COLLISION)
    return [UNKNOWN if k == NOTHING else FAILURE_TYPES[k] for k in kind.tolist()]
