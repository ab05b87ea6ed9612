"""What the open hand presses on the table with, beside what the limits of the arm's joints give.

The hand comes down until it touches, its pose target goes on for another 5 cm and stays there: twice as far as the
environment lets it go near the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from flow_rag_vla.benchmark.contacts.running import load_aside, refuse_ended
from flow_rag_vla.benchmark.contacts.statics import at_point, pressable_n, pressable_with_friction_n, torques_of
from flow_rag_vla.tasks.contract import ACTION_DIM, MAX_DELTA_POS_M, Observation
from flow_rag_vla.tasks.env.play import PlayedStep, play
from flow_rag_vla.tasks.facts.contact_parameters import LEASH_M

if TYPE_CHECKING:
    from flow_rag_vla.tasks.env.manipulation_env import ManipulationEnv

ARM = r"panda_joint[1-7]$"
HAND, TABLE = r"_panda_(hand|leftfinger|rightfinger)$", r"/Table/"
PRESSED_M = 0.05
"""How far below contact the pose target is."""

TOLERANCE = 0.20
"""The force is what the joints give where it takes this close to all of what one of them has."""

LIMIT_TOLERANCE = 0.01
"""A drive that exerts more than its limit by this share has none."""

TABLE_FRICTION = 1.0
HOVER_M, TOUCH_N = 0.06, 1.0
MOVE_STEPS, DESCEND_STEPS, PRESS_STEPS, MEAN_STEPS = 60, 45, 60, 30
"""Control steps: over the place, down to the table, pressing, and the last of them that are averaged."""

NUM_STEPS = MOVE_STEPS + DESCEND_STEPS + PRESS_STEPS
PLACES: tuple[tuple[float, float], ...] = tuple((x, y) for x in (0.39, 0.53, 0.67) for y in (-0.25, 0.0, 0.25))
"""x and y in front of the robot's base, m."""


@dataclass(frozen=True)
class Press:
    """The hand at one place, pressing; means of the last second."""

    place_m: tuple[float, float]
    touched: bool
    force_n: tuple[float, float, float]
    """Of the hand on the table, as its contacts measure it; world axes."""
    point_m: tuple[float, float, float]
    """Where its contacts press, off the middle between the fingertips; world axes."""
    predicted_nm: tuple[float, ...]
    """The joint torques that this force takes at this point, ``J^T f``; nothing of the drives is in them."""
    torques_nm: tuple[float, ...]
    """Of the arm's drives, as the engine applies them."""
    limits_nm: tuple[float, ...]
    vertical_n: float
    """What the joint limits give straight down at the middle between the fingertips."""
    with_friction_n: float
    """The same with what side force the table's friction bears."""

    @property
    def pressed_n(self) -> float:
        """Downward part of the measured force."""
        return -self.force_n[2]

    @property
    def predicted_shares(self) -> tuple[float, ...]:
        """Share of its limit that the force takes of each joint."""
        return _shares(self.predicted_nm, self.limits_nm)

    @property
    def utilisation(self) -> tuple[float, ...]:
        """Share of its limit that each joint's drive exerts."""
        return _shares(self.torques_nm, self.limits_nm)

    @property
    def keeps_limits(self) -> bool:
        """No drive exerts more than its limit."""
        return all(share <= 1.0 + LIMIT_TOLERANCE for share in self.utilisation)

    @property
    def takes_all(self) -> bool:
        """The force takes what the joint has that it takes most of, within ``TOLERANCE``."""
        return self.touched and abs(max(self.predicted_shares) - 1.0) <= TOLERANCE

    @property
    def meets_limits(self) -> bool:
        """The hand presses with what the joints give: the contact says so, and the drives do not contradict."""
        return self.takes_all and self.keeps_limits


def _shares(torques_nm: Sequence[float], limits_nm: Sequence[float]) -> tuple[float, ...]:
    return tuple(abs(t) / limit for t, limit in zip(torques_nm, limits_nm, strict=True))


def measure_pressing(
    env: ManipulationEnv,
    places: Sequence[tuple[float, float]] = PLACES,
    on_step: Callable[[int], None] | None = None,
    descent_lead_m: float = LEASH_M,
) -> list[Press]:
    """Press on the table at ``places``, one for each environment of ``env``, side by side.

    Args:
        env: A fleet of as many environments.
        places: x and y in front of the robot's base, m.
        on_step: Told how many of ``NUM_STEPS`` are done.
        descent_lead_m: How far the pose target may be below the fingertip centre near the table; as far as
            anywhere by default, to press with what the joints give.

    Raises:
        ValueError: not one place for each environment.
        RuntimeError: an episode ended meanwhile.
    """
    load_aside(env, len(places))
    hands = _Hands(env, places)

    def after_step(step: PlayedStep) -> None:
        hands.watch(step)
        if on_step is not None:
            on_step(step.index + 1)

    usual, env.cfg.descent_lead_m = env.cfg.descent_lead_m, descent_lead_m
    try:
        play(env, hands.act, after_step=after_step, num_steps=NUM_STEPS)
    finally:
        env.cfg.descent_lead_m = usual
    refuse_ended(env.done, "pressing")
    return hands.results()


class _Hands:
    """Moves the open hands and watches them."""

    def __init__(self, env: ManipulationEnv, places: Sequence[tuple[float, float]]) -> None:
        self._places, n, device = places, len(places), str(env.device)
        self._over = torch.tensor([(*place, HOVER_M) for place in places], device=device)
        self._touched = torch.zeros(n, dtype=torch.bool, device=device)
        self._target_z = torch.zeros(n, device=device)
        # Loads the simulator, which who only reads results does not need.
        from flow_rag_vla.tasks.env.end_effector import EndEffectorControl
        from flow_rag_vla.tasks.physics.contacts import ContactForces
        from flow_rag_vla.tasks.physics.loads import drive_torques, pressed_points

        self._contacts, robot, self._origins = ContactForces(), env.scene["robot"], env.scene.env_origins
        self._drive_torques, self._pressed_points = drive_torques, pressed_points
        self._arm = EndEffectorControl(robot, self._origins)
        self._limits = robot.data.joint_effort_limits.torch[:, self._arm.joint_ids].cpu().double().numpy()
        self._force_n, self._point_m = torch.zeros(2, n, 3, device=device)
        self._torques_nm = torch.zeros(n, 7)

    def act(self, o: Observation, step: int, running: torch.Tensor) -> torch.Tensor:
        """Over the place, slowly down, and on when the hand has touched."""
        action = torch.zeros(len(self._places), ACTION_DIM, device=o.ee_pos_b.device)
        action[:, 6] = 1.0
        waypoint = self._over.clone()
        # A hand that has not touched yet sinks by 1.7 mm a step.
        down = torch.where(self._touched, self._target_z, o.ee_target_pos_b[:, 2] - 0.1 * MAX_DELTA_POS_M)
        if step >= MOVE_STEPS:
            waypoint[:, 2] = down
        action[:, :3] = waypoint - o.ee_target_pos_b
        return action

    def watch(self, step: PlayedStep) -> None:
        """Take in one control step."""
        force_n = -self._contacts.mean()["hand"]
        touches = (force_n[:, 2] < -TOUCH_N) & ~self._touched & (step.index >= MOVE_STEPS)
        self._target_z = torch.where(touches, step.observation.ee_pos_b[:, 2] - PRESSED_M, self._target_z)
        self._touched |= touches
        if step.index >= NUM_STEPS - MEAN_STEPS:
            self._force_n += force_n / MEAN_STEPS
            self._torques_nm += self._drive_torques(ARM) / MEAN_STEPS
            middle = self._arm.tcp_pose_b()[0] + self._origins
            self._point_m += (self._pressed_points(HAND, TABLE).to(middle.device) - middle) / MEAN_STEPS

    def results(self) -> list[Press]:
        """One for each place."""
        hand_pos, _ = self._arm.hand_pose_b()
        offsets = (self._arm.tcp_pose_b()[0] - hand_pos).cpu().double().numpy()
        jacobians = self._arm.hand_jacobian().cpu().double().numpy()
        presses = []
        for i, place in enumerate(self._places):
            jacobian, limits = at_point(jacobians[i], offsets[i]), self._limits[i]
            force, point = (t[i].cpu().double().numpy() for t in (self._force_n, self._point_m))
            presses.append(
                Press(
                    place_m=place,
                    touched=bool(self._touched[i]),
                    force_n=_triple(force),
                    point_m=_triple(point),
                    predicted_nm=tuple(torques_of(at_point(jacobian, point), force).tolist()),
                    torques_nm=tuple(self._torques_nm[i].double().tolist()),
                    limits_nm=tuple(limits.tolist()),
                    vertical_n=pressable_n(jacobian, limits),
                    with_friction_n=pressable_with_friction_n(jacobian, limits, TABLE_FRICTION),
                )
            )
        return presses


def _triple(vector: np.ndarray) -> tuple[float, float, float]:
    x, y, z = vector.tolist()
    return (x, y, z)
