"""The obstacle box as a post, a beam, a wall, the raised rim of a bin, or parked out of the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from flow_rag_vla.tasks.catalogue.bin_transport import BIN_WALL_HEIGHT_M, BIN_WALL_THICKNESS_M, BIN_X_M, BIN_Y_M
from flow_rag_vla.tasks.catalogue.registry import get_task
from flow_rag_vla.tasks.facts.layout import LANE_CENTRES_X_M
from flow_rag_vla.tasks.physics.properties import set_box_half_extents

if TYPE_CHECKING:
    from isaaclab.assets import RigidObject

    from flow_rag_vla.tasks.catalogue.task import Task
    from flow_rag_vla.tasks.hazards.state import HazardState
    from flow_rag_vla.tasks.scenarios.scenario import Scenario

OBSTACLE_Y_M = -0.03
"""Posts, beams and walls stand here, between the pick side and the place side."""

MAX_HALF_EXTENTS_M = (0.26, 0.02, 0.20)
"""The obstacle is built at this size and shrunk."""

_TABLE_GAP_M = 0.001
_PARKED_B = (0.60, 1.20, -0.50)
_POST_HALF_X_M = 0.20
_BEAM_HALF_M = (0.16, 0.02, 0.012)
_BEAM_OVERHANG_M = 0.02
_WALL_HALF_M = (0.11, 0.02)
_WALL_ABOVE_CARRY_M = 0.18
"""Walls end this much above the table, goal height and nominal clearance together: not to be carried over."""


def wall_top_m(task: Task) -> float:
    """Height of the walls in ``task`` above the table: higher where it carries higher, and no higher than the arm."""
    return _WALL_ABOVE_CARRY_M + task.area.goal_height_m[1] + task.nominal_clearance_m


def obstacle_boxes(
    value: dict[str, torch.Tensor], lane_x: torch.Tensor, wall_top: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Centre (k, 3) and half extents (k, 3) of the obstacle in the base frame, m.

    Args:
        value: Hazard parameter to (k,).
        lane_x: (k,) middle of the lane.
        wall_top: (k,) ``wall_top_m`` of the task.
    """
    centre = lane_x.new_tensor(_PARKED_B).repeat(len(lane_x), 1)
    half = lane_x.new_tensor(_BEAM_HALF_M).repeat(len(lane_x), 1)
    top, bottom, rim = value["post_top_m"], value["beam_bottom_m"], value["rim_top_m"]

    post = top > 0
    half[post, 0] = _POST_HALF_X_M
    half[post, 2] = (top[post] - _TABLE_GAP_M) / 2
    centre[post, 0] = lane_x[post]
    centre[post, 1] = OBSTACLE_Y_M
    centre[post, 2] = (top[post] + _TABLE_GAP_M) / 2

    # The arm reaches in from behind the hand, so a beam it can pass under starts at the hand and points away.
    beam = bottom > 0
    centre[beam, 0] = lane_x[beam] - _BEAM_OVERHANG_M + _BEAM_HALF_M[0]
    centre[beam, 1] = OBSTACLE_Y_M
    centre[beam, 2] = bottom[beam] + _BEAM_HALF_M[2]

    for name, side in (("wall_left_edge_m", -1.0), ("wall_right_edge_m", 1.0)):
        edge = value[name]
        wall = torch.isfinite(edge)
        half[wall, :2] = lane_x.new_tensor(_WALL_HALF_M)
        half[wall, 2] = (wall_top[wall] - _TABLE_GAP_M) / 2
        centre[wall, 0] = lane_x[wall] + side * (_WALL_HALF_M[0] - edge[wall])
        centre[wall, 1] = OBSTACLE_Y_M
        centre[wall, 2] = (wall_top[wall] + _TABLE_GAP_M) / 2

    # On top of the near wall, all along it.
    raised = rim > 0
    half[raised, 0] = (BIN_X_M[1] - BIN_X_M[0]) / 2
    half[raised, 1] = BIN_WALL_THICKNESS_M / 2
    half[raised, 2] = (rim[raised] - BIN_WALL_HEIGHT_M).clamp(min=2 * _TABLE_GAP_M) / 2
    centre[raised, 0] = sum(BIN_X_M) / 2
    centre[raised, 1] = BIN_Y_M[0] - BIN_WALL_THICKNESS_M / 2
    centre[raised, 2] = BIN_WALL_HEIGHT_M + half[raised, 2] + _TABLE_GAP_M
    return centre, half


def place_obstacles(
    obstacle: RigidObject,
    state: HazardState,
    env_ids: torch.Tensor,
    scenarios: Sequence[Scenario],
    env_origins: torch.Tensor,
) -> None:
    """Put the obstacle of ``env_ids[i]`` where the hazard of ``scenarios[i]`` wants it."""
    device = env_origins.device
    lane_x = torch.tensor([LANE_CENTRES_X_M[s.layout.lane] for s in scenarios], device=device)
    wall_top = torch.tensor([wall_top_m(get_task(s.task)) for s in scenarios], device=device)
    centre, half = obstacle_boxes({name: v[env_ids] for name, v in state.value.items()}, lane_x, wall_top)
    pose = torch.zeros(len(env_ids), 7, device=device)
    pose[:, :3] = centre + env_origins[env_ids]
    pose[:, 6] = 1.0
    obstacle.write_root_pose_to_sim_index(root_pose=pose, env_ids=env_ids.to(torch.int32))
    set_box_half_extents(obstacle, env_ids, half)
