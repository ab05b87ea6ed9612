"""Where object and goal may lie: lanes, one behind the other, that run from a pick side to a place side.

The lane of a layout is what a robot can see of *where* it works; sites hang region hazards on lanes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flow_rag_vla.tasks.facts.keyed_draws import KeyedDraws

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
type Column = npt.NDArray[np.float64]
type Columns = tuple[Column, Column]


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
    return sample_layouts([layout_seed], [lane], area)[0]


def sample_layouts(layout_seeds: Sequence[int], lanes: Sequence[int], area: Area) -> list[Layout]:
    """The layouts that ``layout_seeds`` name, each in its lane of ``area``."""
    draws = KeyedDraws(("layout", seed) for seed in layout_seeds)
    centres = np.array(LANE_CENTRES_X_M)[np.asarray(lanes, dtype=np.int64)]
    object_x = centres + draws.uniform(-SAMPLE_HALF_WIDTH_M, SAMPLE_HALF_WIDTH_M)
    goal_x = centres + draws.uniform(-SAMPLE_HALF_WIDTH_M, SAMPLE_HALF_WIDTH_M)
    object_y = draws.uniform(*area.pick_y_m)
    yaws = draws.uniform(-MAX_YAW_RAD, MAX_YAW_RAD)
    goal_y = draws.uniform(*area.place_y_m)
    heights = draws.uniform(*area.goal_height_m)
    return _layouts(lanes, (object_x, object_y), yaws, (goal_x, goal_y), heights, area)


def displace_layouts(layouts: Sequence[Layout], seeds: Sequence[int], area: Area) -> list[Layout]:
    """Each of ``layouts`` moved by up to ``NEAR_POSITION_M`` and turned by up to ``NEAR_YAW_RAD``, in the same lane."""
    draws = KeyedDraws(("near", seed) for seed in seeds)
    shifts = [draws.uniform(-NEAR_POSITION_M, NEAR_POSITION_M) for _ in range(4)]
    turns = draws.uniform(-NEAR_YAW_RAD, NEAR_YAW_RAD)
    lanes = [layout.lane for layout in layouts]
    centres = np.array(LANE_CENTRES_X_M)[np.array(lanes, dtype=np.int64)]
    lane_x = centres - LANE_HALF_WIDTH_M, centres + LANE_HALF_WIDTH_M
    object_x, object_y = np.array([layout.object_xy_m for layout in layouts]).reshape(-1, 2).T
    goal_x, goal_y = np.array([layout.goal_xy_m for layout in layouts]).reshape(-1, 2).T
    moved_object = (
        np.clip(object_x + shifts[0], *lane_x),
        np.clip(object_y + shifts[1], *_widened(area.pick_y_m)),
    )
    moved_goal = (
        np.clip(goal_x + shifts[2], *lane_x),
        np.clip(goal_y + shifts[3], *_widened(area.place_y_m)),
    )
    yaws = np.array([layout.object_yaw_rad for layout in layouts]) + turns
    heights = np.array([layout.goal_height_m for layout in layouts])
    return _layouts(lanes, moved_object, yaws, moved_goal, heights, area)


def _layouts(
    lanes: Sequence[int], object_xy_m: Columns, yaws_rad: Column, goal_xy_m: Columns, heights_m: Column, area: Area
) -> list[Layout]:
    objects = list(zip(*(column.tolist() for column in object_xy_m), strict=True))
    goals = objects if area.goal_above_object else list(zip(*(column.tolist() for column in goal_xy_m), strict=True))
    rows = zip(lanes, objects, yaws_rad.tolist(), goals, heights_m.tolist(), strict=True)
    return [Layout(*row) for row in rows]


def _widened(limits: Range) -> Range:
    return (limits[0] - NEAR_POSITION_M, limits[1] + NEAR_POSITION_M)
