"""Where object and goal may lie: lanes, one behind the other, that run from a pick side to a place side.

The lane of a layout is what a robot can see of *where* it works; sites hang region hazards on lanes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flow_rag_vla.tasks.randomness import keyed_generator

LANE_CENTRES_X_M: tuple[float, ...] = (0.39, 0.46, 0.53, 0.60, 0.67)
"""Lane centres, metres in front of the robot's base."""

LANE_HALF_WIDTH_M = 0.035
"""A layout belongs to the lane whose centre is at most this far away in x."""

SAMPLE_HALF_WIDTH_M = 0.015
"""Fresh layouts stay this close to the lane centre, so that a +-2 cm displacement cannot leave the lane."""

PICK_Y_M = (-0.31, -0.23)
PLACE_Y_M = (0.17, 0.27)
DISPLACED_PICK_Y_M = (-0.33, -0.21)
DISPLACED_PLACE_Y_M = (0.15, 0.29)
MAX_YAW_RAD = np.pi / 4

NEAR_POSITION_M = 0.02
"""NEAR moves object and goal by at most this much along x and y."""

NEAR_YAW_RAD = np.deg2rad(15.0)
"""NEAR turns the object by at most this much."""


@dataclass(frozen=True)
class Layout:
    """Initial object pose and goal on the table, robot-base frame."""

    lane: int
    object_xy_m: tuple[float, float]
    object_yaw_rad: float
    goal_xy_m: tuple[float, float]

    def __post_init__(self) -> None:
        """Check the lane."""
        if not 0 <= self.lane < len(LANE_CENTRES_X_M):
            raise ValueError(f"lane {self.lane} does not exist; there are lanes 0 to {len(LANE_CENTRES_X_M) - 1}")


def sample_layout(layout_seed: int, lane: int) -> Layout:
    """The layout that ``layout_seed`` names in ``lane``."""
    rng = keyed_generator("layout", layout_seed)
    centre = LANE_CENTRES_X_M[lane]
    offset_x = rng.uniform(-SAMPLE_HALF_WIDTH_M, SAMPLE_HALF_WIDTH_M, size=2)
    return Layout(
        lane=lane,
        object_xy_m=(float(centre + offset_x[0]), float(rng.uniform(*PICK_Y_M))),
        object_yaw_rad=float(rng.uniform(-MAX_YAW_RAD, MAX_YAW_RAD)),
        goal_xy_m=(float(centre + offset_x[1]), float(rng.uniform(*PLACE_Y_M))),
    )


def displace_layout(layout: Layout, seed: int) -> Layout:
    """``layout`` moved by up to ``NEAR_POSITION_M`` and turned by up to ``NEAR_YAW_RAD``, in the same lane."""
    rng = keyed_generator("near", seed)
    shift = rng.uniform(-NEAR_POSITION_M, NEAR_POSITION_M, size=4)
    centre = LANE_CENTRES_X_M[layout.lane]

    def clamp(value: float, low: float, high: float) -> float:
        return float(min(max(value, low), high))

    lane_x = (centre - LANE_HALF_WIDTH_M, centre + LANE_HALF_WIDTH_M)
    return Layout(
        lane=layout.lane,
        object_xy_m=(
            clamp(layout.object_xy_m[0] + shift[0], *lane_x),
            clamp(layout.object_xy_m[1] + shift[1], *DISPLACED_PICK_Y_M),
        ),
        object_yaw_rad=layout.object_yaw_rad + float(rng.uniform(-NEAR_YAW_RAD, NEAR_YAW_RAD)),
        goal_xy_m=(
            clamp(layout.goal_xy_m[0] + shift[2], *lane_x),
            clamp(layout.goal_xy_m[1] + shift[3], *DISPLACED_PLACE_Y_M),
        ),
    )
