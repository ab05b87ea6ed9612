"""Where object and goal may lie: lanes, one behind the other, that run from a pick side to a place side.

The lane of a layout is what a robot can see of *where* it works; sites hang region hazards on lanes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flow_rag_vla.tasks.facts.randomness import keyed_generator

LANE_CENTRES_X_M: tuple[float, ...] = (0.39, 0.46, 0.53, 0.60, 0.67)
"""Lane centres, metres in front of the robot's base."""

LANE_HALF_WIDTH_M = 0.035
"""A layout belongs to the lane whose centre is at most this far away in x."""

SAMPLE_HALF_WIDTH_M = 0.015
"""Fresh layouts stay this close to the lane centre, so that a +-2 cm displacement cannot leave the lane."""

MAX_YAW_RAD = np.pi / 4

NEAR_POSITION_M = 0.02
"""NEAR moves object and goal by at most this much along x and y."""

NEAR_YAW_RAD = np.deg2rad(15.0)
"""NEAR turns the object by at most this much."""

type Range = tuple[float, float]


@dataclass(frozen=True)
class Area:
    """Where a task puts object and goal, along y (m) and in height; x is the lane's business."""

    pick_y_m: Range = (-0.31, -0.23)
    place_y_m: Range = (0.17, 0.27)
    goal_height_m: Range = (0.0, 0.0)
    """Height above the table on which the object's underside belongs."""
    goal_above_object: bool = False
    """The goal is straight above where the object lies (lifting), not on the place side."""


@dataclass(frozen=True)
class Layout:
    """Initial object pose and goal on the table, robot-base frame."""

    lane: int
    object_xy_m: tuple[float, float]
    object_yaw_rad: float
    goal_xy_m: tuple[float, float]
    goal_height_m: float = 0.0
    """Height of the object's underside at the goal, above the table."""

    def __post_init__(self) -> None:
        """Check the lane."""
        if not 0 <= self.lane < len(LANE_CENTRES_X_M):
            raise ValueError(f"lane {self.lane} does not exist; there are lanes 0 to {len(LANE_CENTRES_X_M) - 1}")


def sample_layout(layout_seed: int, lane: int, area: Area) -> Layout:
    """The layout that ``layout_seed`` names in ``lane`` of ``area``."""
    rng = keyed_generator("layout", layout_seed)
    centre = LANE_CENTRES_X_M[lane]
    offset_x = rng.uniform(-SAMPLE_HALF_WIDTH_M, SAMPLE_HALF_WIDTH_M, size=2)
    object_xy = (float(centre + offset_x[0]), float(rng.uniform(*area.pick_y_m)))
    yaw = float(rng.uniform(-MAX_YAW_RAD, MAX_YAW_RAD))
    goal_xy = (float(centre + offset_x[1]), float(rng.uniform(*area.place_y_m)))
    return Layout(
        lane=lane,
        object_xy_m=object_xy,
        object_yaw_rad=yaw,
        goal_xy_m=object_xy if area.goal_above_object else goal_xy,
        goal_height_m=float(rng.uniform(*area.goal_height_m)),
    )


def displace_layout(layout: Layout, seed: int, area: Area) -> Layout:
    """``layout`` moved by up to ``NEAR_POSITION_M`` and turned by up to ``NEAR_YAW_RAD``, in the same lane."""
    rng = keyed_generator("near", seed)
    shift = rng.uniform(-NEAR_POSITION_M, NEAR_POSITION_M, size=4)
    yaw = layout.object_yaw_rad + float(rng.uniform(-NEAR_YAW_RAD, NEAR_YAW_RAD))
    centre = LANE_CENTRES_X_M[layout.lane]
    lane_x = (centre - LANE_HALF_WIDTH_M, centre + LANE_HALF_WIDTH_M)
    object_xy = (
        _clamp(layout.object_xy_m[0] + shift[0], *lane_x),
        _clamp(layout.object_xy_m[1] + shift[1], *_widened(area.pick_y_m)),
    )
    goal_xy = (
        _clamp(layout.goal_xy_m[0] + shift[2], *lane_x),
        _clamp(layout.goal_xy_m[1] + shift[3], *_widened(area.place_y_m)),
    )
    return Layout(
        lane=layout.lane,
        object_xy_m=object_xy,
        object_yaw_rad=yaw,
        goal_xy_m=object_xy if area.goal_above_object else goal_xy,
        goal_height_m=layout.goal_height_m,
    )


def _clamp(value: float, low: float, high: float) -> float:
    return float(min(max(value, low), high))


def _widened(limits: Range) -> Range:
    return (limits[0] - NEAR_POSITION_M, limits[1] + NEAR_POSITION_M)
