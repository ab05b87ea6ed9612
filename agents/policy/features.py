"""What the networks and the memory key see of an observation: task-relevant quantities on fixed scales.

Two views.  ``policy_features`` leaves out everything that could tell sites apart (colour, joint velocities, contact
forces on the arm), so that a policy cannot learn a site by heart; ``retrieval_features`` is what a memory of this
site is looked up by.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from flow_rag_vla.tasks.contract import (
    ACTION_LIMITS,
    ELONGATED_RATIO,
    MAX_GRIP_FORCE_N,
    OBSERVATION_WIDTHS,
    WORKCELL_DIM,
    Observation,
)

HELD_FORCE_N = 0.5
"""Squeeze force above which closed fingers hold something."""

WORKSPACE_CENTRE_M = (0.5, 0.0, 0.2)
POSITION_SCALE_M = 0.2
FINE_SCALE_M = 0.02
"""Offsets are also given as ``tanh(offset / FINE_SCALE_M)``: millimetres matter at the object and at the goal."""

TRACKING_SCALE_M = 0.03
TRACKING_SCALE_RAD = 0.2
GRIP_SCALE_N = 0.5 * MAX_GRIP_FORCE_N
WIDTH_SCALE_M = 0.04
SIZE_SCALE_M = 0.05

POLICY_FEATURE_BLOCKS: tuple[tuple[str, int], ...] = (
    ("ee_pos", 3), ("ee_tracking", 3), ("ee_rotation_6d", 6), ("ee_rotation_tracking", 3),
    ("object_from_ee", 3), ("object_from_ee_fine", 3), ("object_yaw", 2), ("object_long_axis", 2),
    ("goal_from_object", 3), ("goal_from_object_fine", 3), ("goal_from_ee", 3), ("goal_from_target_fine", 3),
    ("gripper_width", 1), ("grip_force", 2), ("previous_action", 7), ("object_size", 3),
)  # fmt: skip
"""Name and width of each block of ``policy_features``, in order."""

NUM_POLICY_FEATURES = sum(width for _, width in POLICY_FEATURE_BLOCKS)


type Numbers = tuple[float, ...] | tuple[tuple[float, ...], ...]


@functools.cache
def constant(values: Numbers, device: torch.device, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """``values`` on ``device``, not to be written to; carried there once, since to copy a list to a GPU is to wait."""
    return torch.tensor(values, dtype=dtype, device=device)


def constant_like(values: Numbers, like: torch.Tensor) -> torch.Tensor:
    """``constant`` where ``like`` lives and of its type."""
    return constant(values, like.device, like.dtype)


def none_of(rows: torch.Tensor) -> bool:
    """No row of ``rows`` (n, ...) bool is set, as far as it is known without waiting: for a GPU, never."""
    return rows.device.type == "cpu" and not bool(rows.any())


_FACTORS = (
    1, 0, 0, 0, 0, 1, 0, 1, 0,
    1, 1, 2, 1, 0, 2, 2, 2, 0,
    2, 2, 1, 2, 2, 0, 1, 0, 1,
    2, 3, 3, 3, 2, 3, 3, 3, 1,
)  # fmt: skip
"""Indices a, b, c and d into xyzw for each of the nine entries, which are made of ``q_a q_b`` and ``q_c q_d``."""
_SIGNS = (1.0, -1.0, 1.0, 1.0, 1.0, -1.0, -1.0, 1.0, 1.0)
_SCALES = (-2.0, 2.0, 2.0, 2.0, -2.0, 2.0, 2.0, 2.0, -2.0)
_OFFSETS = (1.0, -0.0, -0.0, -0.0, 1.0, -0.0, -0.0, -0.0, 1.0)
"""The identity; to add minus zero leaves the sign of a zero.

``constant`` takes zeros of either sign for equal, so nobody else may ask for these with plain ones.
"""


def rotation_matrix(quat: torch.Tensor) -> torch.Tensor:
    """Rotation matrices (n, 3, 3) of unit quaternions (n, 4), xyzw.

    All entries at once, ``offset + scale (q_a q_b + sign q_c q_d)``: a kernel costs as much for one number as for nine.
    """
    a, b, c, d = quat.index_select(1, constant(_FACTORS, quat.device, torch.long)).chunk(4, dim=1)
    products = a * b + c * d * constant_like(_SIGNS, quat)
    return (constant_like(_OFFSETS, quat) + products * constant_like(_SCALES, quat)).reshape(-1, 3, 3)


def policy_features(observation: Observation) -> torch.Tensor:
    """Normalised policy input (num_envs, NUM_POLICY_FEATURES), float32; blocks as in ``POLICY_FEATURE_BLOCKS``.

    The hand's orientation is given by the first two columns of its rotation matrix (Zhou et al. 2019); the object's
    yaw relative to the hand by sine and cosine of four times the angle, since a square box looks the same every 90
    degrees, and, where the object is long, of twice the angle: it looks the same every 180 degrees.
    """
    o = observation
    quats = torch.cat([o.ee_quat_b, o.ee_target_quat_b, o.object_quat_b])
    hand, target, box = rotation_matrix(quats).chunk(3)
    centre = constant_like(WORKSPACE_CENTRE_M, o.ee_pos_b)
    yaw = _yaw(box) - _yaw(target)
    object_from_target = o.object_pos_b - o.ee_target_pos_b
    goal_from_object = o.goal_pos_b - o.object_pos_b
    action_scale = constant_like(ACTION_LIMITS, o.previous_action)
    blocks = (
        (o.ee_pos_b - centre) / POSITION_SCALE_M,
        (o.ee_target_pos_b - o.ee_pos_b) / TRACKING_SCALE_M,
        hand[:, :, :2].transpose(1, 2).reshape(-1, 6),
        _small_rotation(target, hand) / TRACKING_SCALE_RAD,
        (o.object_pos_b - o.ee_pos_b) / POSITION_SCALE_M,
        torch.tanh(object_from_target / FINE_SCALE_M),
        _sine_and_cosine(4.0 * yaw),
        _sine_and_cosine(2.0 * yaw) * elongated(o).unsqueeze(1),
        goal_from_object / POSITION_SCALE_M,
        torch.tanh(goal_from_object / FINE_SCALE_M),
        (o.goal_pos_b - o.ee_pos_b) / POSITION_SCALE_M,
        torch.tanh((o.goal_pos_b - o.ee_target_pos_b) / FINE_SCALE_M),
        o.gripper_width_m / WIDTH_SCALE_M - 1.0,
        torch.cat([(o.grip_force_n / GRIP_SCALE_N).clamp(max=2.5), torch.tanh(o.grip_force_n)], dim=1),
        o.previous_action / action_scale,
        o.object_size_m / SIZE_SCALE_M - 1.0,
    )
    return torch.cat(blocks, dim=1).float()


def _small_rotation(to: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:
    """Axis times sine of the angle (n, 3) that turns ``origin`` into ``to``, both (n, 3, 3), base frame."""
    turn = to @ origin.transpose(1, 2)
    skew = 0.5 * (turn - turn.transpose(1, 2))
    return torch.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], dim=1)


def _yaw(rotation: torch.Tensor) -> torch.Tensor:
    """Angle (n,) about z of ``rotation`` (n, 3, 3)."""
    return torch.atan2(rotation[:, 1, 0], rotation[:, 0, 0])


def _sine_and_cosine(angle: torch.Tensor) -> torch.Tensor:
    """(n, 2) of ``angle`` (n,)."""
    return torch.stack([torch.sin(angle), torch.cos(angle)], dim=1)


def observation_from_fields(fields: Mapping[str, torch.Tensor]) -> Observation:
    """An observation from stored fields, each (n, k); fields that are not stored are NaN, so that using one shows.

    Pictures and the work cell's tag are None where they are not stored.

    Raises:
        KeyError: a name is not a field of ``Observation``.
        ValueError: no field is given.
    """
    known = {*OBSERVATION_WIDTHS, "rgb", "workcell"}
    unknown = sorted(set(fields) - known)
    if unknown:
        raise KeyError(f"not observation fields: {', '.join(unknown)}; available: {', '.join(sorted(known))}")
    if not fields:
        raise ValueError("an observation needs at least one field, got none")
    some = next(iter(fields.values()))
    values = {
        name: fields[name] if name in fields else some.new_full((len(some), width), math.nan)
        for name, width in OBSERVATION_WIDTHS.items()
    }
    unheard = ("",) * len(some)
    return Observation(**values, instruction=unheard, rgb=fields.get("rgb"), workcell=fields.get("workcell"))


@dataclass(frozen=True)
class RetrievalGroup:
    """One group of the memory key."""

    name: str
    width: int
    length_scale: float
    """Distance, in the group's own unit, at which the similarity of two keys falls to exp(-1/2)."""


RETRIEVAL_GROUPS: tuple[RetrievalGroup, ...] = (
    # Names of colours lie about 0.35 apart (red to orange): similarity exp(-2.7).
    RetrievalGroup("object_rgb", 3, 0.15),
    RetrievalGroup("object_size_m", 3, 0.01),
    # Layouts displaced by up to 2 cm stay above 0.97.  A neighbouring lane (7 cm for object and goal) is at 0.92, to
    # count for a quarter: a colour's hazard is looked for there, a place's hazard soon outvoted by what is met there.
    # Layouts within 8 cm for object and goal together are one situation (a duplicate, 0.95).
    RetrievalGroup("object_xy_m", 2, 0.25),
    RetrievalGroup("goal_xy_m", 2, 0.25),
    # A quarter of the fingers' travel tells open from closed on an object from closed on nothing.
    RetrievalGroup("gripper_width_m", 1, 0.02),
    RetrievalGroup("closing", 1, 0.7),
    RetrievalGroup("held", 1, 0.5),
    RetrievalGroup("ee_above_object_m", 1, 0.06),
    RetrievalGroup("object_goal_distance_m", 1, 0.30),
    # What is known of one work cell says nothing of another: tags lie about 5.6 apart.
    RetrievalGroup("workcell", WORKCELL_DIM, 0.3),
)
"""Groups of ``retrieval_features``, in order."""

NUM_RETRIEVAL_FEATURES = sum(group.width for group in RETRIEVAL_GROUPS)


def elongated(observation: Observation) -> torch.Tensor:
    """(num_envs,) bool: the object is clearly longer (along its x axis) than wide (along y)."""
    size = observation.object_size_m
    return size[:, 0] > ELONGATED_RATIO * size[:, 1]


def long_axis(observation: Observation) -> torch.Tensor:
    """(num_envs, 3) unit vector of the object's perceived x axis, base frame."""
    return rotation_matrix(observation.object_quat_b)[:, :, 0]


def held(observation: Observation) -> torch.Tensor:
    """(num_envs,) bool: the gripper is commanded closed and feels something between its fingers."""
    return (observation.previous_action[:, 6] < 0) & (observation.grip_force_n[:, 0] > HELD_FORCE_N)


def retrieval_features(observation: Observation) -> torch.Tensor:
    """Memory-key quantities (num_envs, NUM_RETRIEVAL_FEATURES), float32, in metres, 0 to 1 for colours and flags.

    What the object looks like, where in the workspace the job is, how far it has come, and in which work cell; columns
    as in ``RETRIEVAL_GROUPS``.
    """
    o = observation
    distance = (o.goal_pos_b - o.object_pos_b)[:, :2].norm(dim=1, keepdim=True)
    columns = (
        o.object_rgb,
        o.object_size_m,
        o.object_pos_b[:, :2],
        o.goal_pos_b[:, :2],
        o.gripper_width_m,
        (o.previous_action[:, 6:7] < 0).float(),
        held(o).float().unsqueeze(1),
        (o.ee_pos_b - o.object_pos_b)[:, 2:3],
        distance,
        o.object_rgb.new_zeros(len(distance), WORKCELL_DIM) if o.workcell is None else o.workcell,
    )
    return torch.cat(columns, dim=1).float()
