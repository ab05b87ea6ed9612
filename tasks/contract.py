"""The words every other folder shares: dimensions, failure vocabulary, what a robot senses, what the simulator knows.

Suffixes: ``_b`` robot-base frame (the base stands at the origin of its environment), ``_m`` metres, ``_rad``,
``_n`` newtons, ``_s`` seconds.  Quaternions are ``xyzw``.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import torch

ACTION_DIM = 7
"""End-effector delta position (3, m), delta rotation (3, rad, axis-angle, base frame), signed grip (1)."""

CONTROL_HZ = 30.0
"""Control steps a second."""

MAX_STEPS = 260
"""Control steps of a measured episode: leaves room for a recovery (200 in the implementation guide)."""

MAX_GRIP_FORCE_N = 40.0
"""Finger force, newtons a finger, at ``abs(action[6]) == 1``.  Negative commands close, positive commands open."""

NOMINAL_GRIP = 0.25
"""Nominal grip-force fraction: 10 N a finger."""

GRIP_DEADBAND = 0.05
"""Grip commands with a smaller magnitude keep the last gripper state."""

MAX_DELTA_POS_M = 0.5 / CONTROL_HZ
"""Largest end-effector displacement command of one control step (0.5 m/s)."""

MAX_DELTA_ROT_RAD = 2.5 / CONTROL_HZ
"""Largest end-effector rotation command of one control step (2.5 rad/s)."""

ACTION_LIMITS = (MAX_DELTA_POS_M,) * 3 + (MAX_DELTA_ROT_RAD,) * 3 + (1.0,)
"""Largest magnitude of each action entry: m, rad, grip."""

ELONGATED_RATIO = 1.5
"""An object this many times longer (along its x axis) than wide (along y) has a long axis."""

OBSERVATION_WIDTHS: dict[str, int] = {
    "joint_pos": 7, "joint_vel": 7, "ee_pos_b": 3, "ee_quat_b": 4, "ee_target_pos_b": 3, "ee_target_quat_b": 4,
    "gripper_width_m": 1, "grip_force_n": 1, "hand_force_b": 3, "link_force_b": 3, "previous_action": ACTION_DIM,
    "object_pos_b": 3, "object_quat_b": 4, "object_size_m": 3, "object_rgb": 3, "goal_pos_b": 3,
}  # fmt: skip
"""Columns of every field of ``Observation`` that a robot always senses, in its order."""

WORKCELL_DIM = 16
"""Columns of the tag that tells work cells apart."""

NOTHING = -1
"""In columns of indices: no failure, no phase, no case, no candidate."""


class UnknownNameError(KeyError, ValueError):
    """A name that somebody gave and nobody knows; the message, one line, says which names there are."""

    def __str__(self) -> str:
        """The message as it is; ``KeyError`` would quote it."""
        return str(self.args[0])


def named[T](entries: Mapping[str, T], name: str, what: str) -> T:
    """The entry called ``name``.

    Raises:
        UnknownNameError: saying ``what`` it was to be, and the names of the entries.
    """
    if name not in entries:
        raise UnknownNameError(f"unknown {what} {name!r}; available: {', '.join(entries)}")
    return entries[name]


class FailureType(StrEnum):
    """The five failure types of the implementation guide, in its order."""

    GRASP_FAILURE = "grasp_failure"
    COLLISION = "collision"
    DROP = "drop"
    MISALIGNMENT = "misalignment"
    TIMEOUT = "timeout"


FAILURE_TYPES: tuple[str, ...] = tuple(FailureType)


class Phase(StrEnum):
    """Where in a pick-and-place an event happened."""

    APPROACH = "approach"
    GRASP = "grasp"
    LIFT = "lift"
    CARRY = "carry"
    PLACE = "place"


PHASES: tuple[str, ...] = tuple(Phase)


class InvalidReason(StrEnum):
    """Why nothing can be said of how an episode would have ended, what came first first."""

    CONTACT_OVERFLOW = "contact_overflow"
    CONSTRAINT_OVERFLOW = "constraint_overflow"
    SENSOR_OVERFLOW = "sensor_overflow"
    MEMORY_OVERFLOW = "memory_overflow"
    NON_FINITE_STATE = "non_finite_state"
    RUNAWAY_SPEED = "runaway_speed"
    OBJECT_IN_TABLE = "object_in_table"
    PENETRATION = "penetration"
    NON_FINITE_OBSERVATION = "non_finite_observation"
    NON_FINITE_ACTION = "non_finite_action"


INVALID_REASONS: tuple[str, ...] = tuple(InvalidReason)


class FaultClass(StrEnum):
    """What a fault lets one measure (see ``tasks/README.md``)."""

    CLEAN = "clean"
    AVOIDABLE = "avoidable"
    EXOGENOUS = "exogenous"
    CONTROL = "control"


@dataclass(frozen=True)
class CameraView:
    """A camera as its calibration has it: where it stands, what it looks at; metres in the robot-base frame."""

    eye_m: tuple[float, float, float]
    target_m: tuple[float, float, float]
    fov_y_rad: float
    width: int
    """Pixels."""
    height: int


FRONT_VIEW = CameraView((1.24, -0.02, 0.86), (0.51, -0.02, 0.08), math.radians(30.0), 128, 80)
"""Across the table from the robot: the whole workspace, a pixel about 6 mm wide."""


@dataclass(frozen=True)
class Observation:
    """What a real robot could sense, one row per environment; nothing privileged.

    Tensors but ``rgb`` are float32 on the simulation device.  Poses of object and goal are *perceived* poses, which a
    fault may bias.  Forces are totals over contacts with anything, with sensor noise; they never name an obstacle.
    """

    joint_pos: torch.Tensor
    """(num_envs, 7) arm joint positions, rad."""
    joint_vel: torch.Tensor
    """(num_envs, 7) arm joint velocities, rad/s."""
    ee_pos_b: torch.Tensor
    """(num_envs, 3) measured fingertip centre, m."""
    ee_quat_b: torch.Tensor
    """(num_envs, 4) measured hand orientation, xyzw."""
    ee_target_pos_b: torch.Tensor
    """(num_envs, 3) commanded fingertip centre: the pose target that delta actions move, m."""
    ee_target_quat_b: torch.Tensor
    """(num_envs, 4) commanded hand orientation, xyzw."""
    gripper_width_m: torch.Tensor
    """(num_envs, 1) opening between the finger pads, 0 to 0.08 m."""
    grip_force_n: torch.Tensor
    """(num_envs, 1) sensed squeeze force, mean of both fingers, N."""
    hand_force_b: torch.Tensor
    """(num_envs, 3) total external force on hand and fingers (load, pushes, contacts), N."""
    link_force_b: torch.Tensor
    """(num_envs, 3) total external force on the arm's other links, N."""
    previous_action: torch.Tensor
    """(num_envs, 7) the last executed action; its seventh entry is the grip command in force."""
    object_pos_b: torch.Tensor
    """(num_envs, 3) perceived object centre, m."""
    object_quat_b: torch.Tensor
    """(num_envs, 4) perceived object orientation, xyzw."""
    object_size_m: torch.Tensor
    """(num_envs, 3) visible object edge lengths, m."""
    object_rgb: torch.Tensor
    """(num_envs, 3) visible object colour, 0 to 1."""
    goal_pos_b: torch.Tensor
    """(num_envs, 3) perceived goal for the object centre, m."""
    instruction: tuple[str, ...]
    """num_envs instruction texts."""
    rgb: torch.Tensor | None = None
    """(num_envs, height, width, 3) uint8, the camera's pictures; None where none were taken."""
    workcell: torch.Tensor | None = None
    """(num_envs, WORKCELL_DIM) tag of the work cell in which the robot stands: it tells cells apart, as a name does,
    and says nothing of what awaits there; None where nobody tells them apart (what a memory was told with a tag is then
    not found)."""

    @property
    def num_envs(self) -> int:
        """Rows in the batch."""
        return self.joint_pos.shape[0]

    def _map(self, tensor_fn: Callable[[torch.Tensor], torch.Tensor], instruction: tuple[str, ...]) -> Self:
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "instruction"}
        mapped = {name: tensor_fn(value) for name, value in values.items() if value is not None}
        return dataclasses.replace(self, **mapped, instruction=instruction)

    def clone(self) -> Self:
        """A copy that later simulation steps cannot change."""
        return self._map(lambda value: value.clone(), self.instruction)

    def select(self, env_ids: torch.Tensor) -> Self:
        """The rows ``env_ids`` (k,), int64, as a new observation."""
        texts = self.instruction
        # A fleet mostly hears one text; only where it does not, the device is asked whose is whose.
        alike = len(set(texts)) == 1
        heard = texts[:1] * len(env_ids) if alike else tuple(texts[i] for i in env_ids.tolist())
        return self._map(lambda value: value[env_ids], heard)


@dataclass(frozen=True)
class TruthWords:
    """What the simulator knows of one episode so far, in words; None where there is nothing to say."""

    success: bool
    invalid: bool
    invalid_reason: str | None
    """One of ``INVALID_REASONS``."""
    fault_fired: bool
    failure_type: str | None
    """Of the first causal event, also where the episode recovered from it: one of ``FAILURE_TYPES``."""
    failure_phase: str | None
    """One of ``PHASES``."""
    failure_step: int | None
    failure_pos_b: tuple[float, float, float]
    """Object position at that event, m; the origin where none has happened."""
    steps: int
    """Control steps until the episode ended."""
    peak_obstacle_force_n: float
    """NaN or infinite, like the other force, where the physics broke."""
    peak_grip_force_n: float
    penetration_m: float
    peak_penetration_m: float


@dataclass(frozen=True)
class EpisodeTruth:
    """What the simulator knows of each episode so far; for metrics only, never shown to an agent.

    ``(num_envs,)`` tensors.  ``failure_type``, ``failure_phase`` and ``invalid_reason`` index ``FAILURE_TYPES``,
    ``PHASES`` and ``INVALID_REASONS``; -1 where no causal event has happened and the physics holds.
    """

    done: torch.Tensor
    """bool: the episode has ended (success, collision, misplaced release, time-out or invalid)."""
    success: torch.Tensor
    """bool: the task was completed."""
    invalid: torch.Tensor
    """bool: physics, senses or action broke (``InvalidReason``); never counted as the policy's failure."""
    invalid_reason: torch.Tensor
    """int64: why it is invalid."""
    fault_fired: torch.Tensor
    """bool: the scripted hazard acted on this episode."""
    failure_type: torch.Tensor
    """int64: type of the first causal event."""
    failure_phase: torch.Tensor
    """int64: phase of the first causal event."""
    failure_step: torch.Tensor
    """int64: control step of the first causal event, -1 where none."""
    failure_pos_b: torch.Tensor
    """(num_envs, 3) object position at the first causal event, m."""
    steps: torch.Tensor
    """int64: control steps until the episode ended."""
    peak_obstacle_force_n: torch.Tensor
    """largest force between the obstacle and robot or carried object over all substeps."""
    peak_grip_force_n: torch.Tensor
    """largest finger force on the object over all substeps."""
    penetration_m: torch.Tensor
    """deepest that both finger pads together have sunk into the object for the time constant of contacts (7 ms; an
    impact is pushed out again within it) or in the mean of a control step, m; not in the control step that ends with a
    collision."""
    peak_penetration_m: torch.Tensor
    """deepest of all substeps, impacts and collisions included, m."""

    def rows(self) -> list[TruthWords]:
        """The episode of each environment; every column crosses from the device once."""
        columns = self.columns()
        return [TruthWords(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]

    def columns(self) -> dict[str, list[Any]]:
        """The fields of ``rows``: what each says of every environment."""
        columns = {name: column.tolist() for name, column in vars(self).items() if name != "done"}
        for name, words in (
            ("invalid_reason", INVALID_REASONS),
            ("failure_type", FAILURE_TYPES),
            ("failure_phase", PHASES),
        ):
            columns[name] = words_at(words, columns[name])
        columns["failure_step"] = [None if step == NOTHING else step for step in columns["failure_step"]]
        columns["failure_pos_b"] = list(map(tuple, columns["failure_pos_b"]))
        return columns


def words_at(words: Sequence[str], indices: Sequence[int]) -> list[str | None]:
    """The words that ``indices`` stand for; None for ``NOTHING``."""
    by_index: dict[int, str | None] = {NOTHING: None, **{i: str(word) for i, word in enumerate(words)}}
    return [by_index[index] for index in indices]
