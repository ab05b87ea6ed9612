"""What a picture shows: the numbers a vision network is taught, and how they become an observation's fields."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from flow_rag_vla.agents.policy.features import ELONGATED_RATIO, POSITION_SCALE_M, SIZE_SCALE_M, WORKSPACE_CENTRE_M

if TYPE_CHECKING:
    from flow_rag_vla.tasks.contract import Observation

HEADS: tuple[tuple[str, int], ...] = (
    ("object_pos", 3), ("object_spread", 3), ("yaw_4", 2), ("yaw_2", 2), ("pitch", 1), ("size", 3), ("rgb", 3),
    ("goal_xy", 2), ("goal_spread", 2),
)  # fmt: skip
"""Name and width of each output, in order; ``log_spread`` makes logarithms of mean absolute errors of spreads."""

NUM_OUTPUTS = sum(width for _, width in HEADS)


MIN_SPREAD = math.log(0.0005 / POSITION_SCALE_M)
"""The network never claims to be surer than half a millimetre."""


def log_spread(output: torch.Tensor) -> torch.Tensor:
    """Logarithm of an expected error from what the network puts out: softly above ``MIN_SPREAD``."""
    # A hard limit would have no gradient below it: a network that was too sure once would stay so.
    return MIN_SPREAD + functional.softplus(output - MIN_SPREAD)


@dataclass(frozen=True)
class Sighting:
    """What was seen, one row per environment; positions as the camera's calibration has them."""

    object_pos_b: torch.Tensor
    """(num_envs, 3) m."""
    object_spread_m: torch.Tensor
    """(num_envs, 3) mean absolute error that the network expects of ``object_pos_b``."""
    yaw_4: torch.Tensor
    """(num_envs, 2) sine and cosine of four times the object's yaw: a square box repeats every 90 degrees."""
    yaw_2: torch.Tensor
    """(num_envs, 2) of twice the yaw: a long box repeats every 180 degrees."""
    pitch: torch.Tensor
    """(num_envs, 1) how far up the object's long axis points: the sine of the angle."""
    object_size_m: torch.Tensor
    """(num_envs, 3)."""
    object_rgb: torch.Tensor
    """(num_envs, 3)."""
    goal_xy_b: torch.Tensor
    """(num_envs, 2) m; meaningless where no mark shows the goal."""
    goal_spread_m: torch.Tensor
    """(num_envs, 2)."""


@dataclass(frozen=True)
class AgedSighting:
    """A result, what it was made of, and how old that is."""

    sighting: Sighting
    embedding: torch.Tensor
    """(num_envs, embedding_dim)."""
    observation: Observation
    """The one that was looked at: its pictures, and where the arm was when they were taken."""
    age_s: float
    """Seconds since the observation was handed in."""
    age_calls: int
    """Calls since then; 0 if it is this call's own."""


def sighting(outputs: torch.Tensor) -> Sighting:
    """The quantities of network outputs (n, NUM_OUTPUTS)."""
    part = dict(zip((name for name, _ in HEADS), outputs.split([width for _, width in HEADS], dim=1), strict=True))
    centre = outputs.new_tensor(WORKSPACE_CENTRE_M)
    return Sighting(
        object_pos_b=centre + POSITION_SCALE_M * part["object_pos"],
        object_spread_m=POSITION_SCALE_M * log_spread(part["object_spread"]).exp(),
        yaw_4=part["yaw_4"],
        yaw_2=part["yaw_2"],
        pitch=part["pitch"].clamp(-1.0, 1.0),
        object_size_m=(SIZE_SCALE_M * (1.0 + part["size"])).clamp(min=0.005),
        object_rgb=part["rgb"].clamp(0.0, 1.0),
        goal_xy_b=centre[:2] + POSITION_SCALE_M * part["goal_xy"],
        goal_spread_m=POSITION_SCALE_M * log_spread(part["goal_spread"]).exp(),
    )


def yaw_rad(yaw_4: torch.Tensor, yaw_2: torch.Tensor, size_m: torch.Tensor) -> torch.Tensor:
    """(n,) yaw in the range that symmetry leaves: of long boxes from ``yaw_2``, of others from ``yaw_4``."""
    long = size_m[:, 0] > ELONGATED_RATIO * size_m[:, 1]
    half = torch.atan2(yaw_2[:, 0], yaw_2[:, 1]) / 2
    quarter = torch.atan2(yaw_4[:, 0], yaw_4[:, 1]) / 4
    return torch.where(long, half, quarter)


def quat_of(yaw: torch.Tensor, pitch: torch.Tensor) -> torch.Tensor:
    """Quaternions (n, 4), xyzw, turned by ``yaw`` (n,) about z after the x axis was raised to sine ``pitch`` (n,)."""
    # A positive turn about y lowers the x axis.
    about_y = -torch.asin(pitch.clamp(-1.0, 1.0)) / 2
    sy, cy, sz, cz = torch.sin(about_y), torch.cos(about_y), torch.sin(yaw / 2), torch.cos(yaw / 2)
    return torch.stack([-sz * sy, cz * sy, sz * cy, cz * cy], dim=1)
