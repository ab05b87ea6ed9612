"""Scripted expert: waypoints in the robot-base frame, followed with the environment's own 7-D actions.

It sees what any agent sees.  What makes it an *informed* expert is the plan: grip, carry clearance and detour that
suit the hazard (``informed_plan``), where the nominal plan is what demonstrations mostly show.  One expert serves
all tasks: they differ in goal, clearance and whether the object is put down or held there.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Self

import torch

from flow_rag_vla.tasks.catalogue.pick_place import TASK as PICK_PLACE
from flow_rag_vla.tasks.catalogue.registry import get_task
from flow_rag_vla.tasks.contract import (
    ACTION_DIM,
    ELONGATED_RATIO,
    MAX_DELTA_POS_M,
    MAX_DELTA_ROT_RAD,
    MAX_GRIP_FORCE_N,
    NOMINAL_GRIP,
    Observation,
)
from flow_rag_vla.tasks.facts.rotation import quat_conjugate, quat_multiply, quat_to_axis_angle, quat_x_axis

if TYPE_CHECKING:
    from flow_rag_vla.tasks.catalogue.task import Task
    from flow_rag_vla.tasks.scenarios.scenario import Scenario

HOVER_M = 0.10
"""Approach and retreat height above the grasp."""

RELEASE_GAP_M = 0.003
"""Height above its support at which the object is let go."""

DETOUR_M = 0.16
"""How far to the side the expert goes round a wall."""

BEFORE_Y_M, PASSED_Y_M = -0.20, 0.11
"""The hand moves aside before the first, and back after the second: it is 0.2 m wide along its fingers' travel."""

FIRM_GRIP, SOFT_GRIP = 0.8, 0.09
"""Grip-force fractions against what slips and for what breaks: 32 N and 3.6 N a finger."""

POST_MARGIN_M = 0.06
"""Clearance above what stands in the way."""

BESIDE_TOWER_M = 0.10
"""An object this close to what it is to be put on (in the table's plane) leaves a finger no room between them."""

ALIGNED_RAD = 0.1
"""Beside a tower the hand descends once it has no more to turn than this."""

HEAVY_KG = 0.4
"""Heavier objects are gripped firmly."""


class Stage(IntEnum):
    """What the expert is at, in the order in which it goes about it."""

    APPROACH = 0
    DESCEND = 1
    CLOSE = 2
    LIFT = 3
    CARRY = 4
    LOWER = 5
    OPEN = 6
    RETREAT = 7


_APPROACH, _DESCEND, _CLOSE, _LIFT, _CARRY, _LOWER, _OPEN, _RETREAT = map(int, Stage)
_ARRIVED_M = (0.02, 0.004, 0.0, 0.015, 0.012, 0.004, 0.0, 0.03)
_MIN_CLOSE_STEPS = 10
_MAX_CLOSE_STEPS = 30
_MAX_LOWER_STEPS = 35
_MIN_OPEN_STEPS = 6
_LOST_STEPS = 4


@dataclass(frozen=True)
class ExpertPlan:
    """How to go about it: one row per environment."""

    grip: torch.Tensor
    """(num_envs,) grip force as a fraction of 40 N a finger."""
    clearance_m: torch.Tensor
    """(num_envs,) height of the object above rest while it is carried."""
    detour_m: torch.Tensor
    """(num_envs,) sideways shift (+x) of the middle of the carry."""
    speed: torch.Tensor
    """(num_envs,) fraction of the speed limit."""
    object_offset_m: torch.Tensor
    """(num_envs, 3) where the object is, seen from where it is perceived."""
    goal_offset_m: torch.Tensor
    """(num_envs, 3) where the goal is, seen from where it is perceived."""
    grasp_offset_m: torch.Tensor
    """(num_envs,) how far along its own x axis the object is grasped off its middle."""
    holds: torch.Tensor
    """(num_envs,) bool: hold the object at the goal rather than put it down."""

    @classmethod
    def nominal(cls, num_envs: int, device: str = "cpu", task: Task = PICK_PLACE) -> Self:
        """10 N grip, the task's nominal clearance, straight, full speed."""

        def full(value: float) -> torch.Tensor:
            return torch.full((num_envs,), value, device=device)

        return cls(
            grip=full(NOMINAL_GRIP),
            clearance_m=full(task.nominal_clearance_m),
            detour_m=full(0.0),
            speed=full(1.0),
            object_offset_m=torch.zeros(num_envs, 3, device=device),
            goal_offset_m=torch.zeros(num_envs, 3, device=device),
            grasp_offset_m=full(0.0),
            holds=full(0.0 if task.releases else 1.0) > 0,
        )

    def replace_rows(self, env_ids: torch.Tensor, other: Self) -> Self:
        """This plan with the rows ``env_ids`` (k,) taken from ``other`` (k rows)."""

        def merged(name: str) -> torch.Tensor:
            column = getattr(self, name).clone()
            column[env_ids] = getattr(other, name)
            return column

        return dataclasses.replace(self, **{f.name: merged(f.name) for f in dataclasses.fields(self)})


def informed_plan(scenarios: Sequence[Scenario], device: str = "cpu") -> ExpertPlan:
    """The plan of an expert who has been told each scenario's hazard; scenarios of one task."""
    task = get_task(scenarios[0].task)

    def column(values: list) -> torch.Tensor:
        return torch.tensor(values, device=device)

    told = [s.parameters for s in scenarios]
    return dataclasses.replace(
        ExpertPlan.nominal(len(scenarios), device, task),
        grip=column([_suitable_grip(p) for p in told]),
        clearance_m=column([_suitable_clearance(p, task) for p in told]),
        detour_m=column([_suitable_detour(p) for p in told]),
        object_offset_m=column([[-p.get(f"object_bias_{axis}_m", 0.0) for axis in "xyz"] for p in told]),
        goal_offset_m=column([[-p.get(f"goal_bias_{axis}_m", 0.0) for axis in "xyz"] for p in told]),
        grasp_offset_m=column([p.get("com_offset_m", 0.0) for p in told]),
    )


def _suitable_grip(p: Mapping[str, float]) -> float:
    heavy = p.get("object_mass_kg", 0.0) > HEAVY_KG
    pushed = p.get("push_force_n", 0.0) > 0 or p.get("push_side_n", 0.0) > 0
    if heavy or pushed or p.get("object_friction", 1.0) < 0.5 or p.get("grip_scale", 1.0) < 1.0:
        return FIRM_GRIP
    breakable = p.get("crush_force_n", math.inf) < 2 * NOMINAL_GRIP * MAX_GRIP_FORCE_N
    return SOFT_GRIP if breakable else NOMINAL_GRIP


def _suitable_clearance(p: Mapping[str, float], task: Task) -> float:
    if p.get("beam_bottom_m", 0.0) > 0:
        return task.low_clearance_m
    tallest = max(p.get("post_top_m", 0.0), p.get("rim_top_m", 0.0))
    return max(task.nominal_clearance_m, tallest + POST_MARGIN_M)


def _suitable_detour(p: Mapping[str, float]) -> float:
    if "wall_left_edge_m" in p:
        return DETOUR_M
    return -DETOUR_M if "wall_right_edge_m" in p else 0.0


class ScriptedExpert:
    """Approach, descend, close, lift, carry, lower, open, retreat; starts over when the object is lost."""

    def __init__(self, num_envs: int, device: str = "cpu") -> None:
        """Nominal plan for every environment until ``reset``."""
        self._rows = torch.arange(num_envs, device=device)
        self.plan = ExpertPlan.nominal(num_envs, device)
        self.stage = torch.zeros(num_envs, dtype=torch.long, device=device)
        """(num_envs,) int64 ``Stage``."""
        self._in_stage = torch.zeros(num_envs, dtype=torch.long, device=device)
        self._lost = torch.zeros(num_envs, dtype=torch.long, device=device)
        self._pick_pos, self._goal_pos, self._along = (torch.zeros(num_envs, 3, device=device) for _ in range(3))
        self._grasp_quat = torch.zeros(num_envs, 4, device=device)
        self._arrived = torch.tensor(_ARRIVED_M, device=device)
        self._down = torch.tensor([1.0, 0.0, 0.0, 0.0], device=device)

    def reset(self, env_ids: torch.Tensor, plan: ExpertPlan) -> None:
        """Start ``env_ids`` (k,) over with ``plan`` (k rows)."""
        self.plan = self.plan.replace_rows(env_ids, plan)
        self.stage[env_ids] = _APPROACH
        self._in_stage[env_ids] = 0
        self._lost[env_ids] = 0

    def act(self, observation: Observation) -> torch.Tensor:
        """Actions (num_envs, 7) for one control step."""
        o = observation
        plan = self.plan
        approaching = (self.stage <= _DESCEND).unsqueeze(1)
        along = quat_x_axis(o.object_quat_b) * plan.grasp_offset_m.unsqueeze(1)
        self._along = torch.where(approaching, along, self._along)
        self._pick_pos = torch.where(approaching, o.object_pos_b + plan.object_offset_m + along, self._pick_pos)
        # The hand goes where the part that it grasped is when the object's middle is at the goal.
        goal = o.goal_pos_b + plan.goal_offset_m + self._along
        self._goal_pos = torch.where((self.stage <= _LOWER).unsqueeze(1), goal, self._goal_pos)
        aligned = self._aligned_grasp(o)
        first = (self.stage == _APPROACH) & (self._in_stage == 0)
        self._grasp_quat = torch.where(first.unsqueeze(1), aligned, self._grasp_quat)

        waypoint = self._waypoint(o)
        speed = plan.speed * torch.where((self.stage == _DESCEND) | (self.stage == _LOWER), 0.5, 1.0)
        action = torch.zeros(len(self._rows), ACTION_DIM, device=waypoint.device)
        action[:, :3] = _limited(waypoint - o.ee_target_pos_b, speed * MAX_DELTA_POS_M)
        turn = quat_to_axis_angle(quat_multiply(self._grasp_quat, quat_conjugate(o.ee_target_quat_b)))
        action[:, 3:6] = _limited(turn, speed * MAX_DELTA_ROT_RAD)
        closed = (self.stage >= _CLOSE) & (self.stage <= _LOWER)
        action[:, 6] = torch.where(closed, -plan.grip, NOMINAL_GRIP)
        self._advance(o, waypoint, turn.norm(dim=1))
        return action

    def _aligned_grasp(self, o: Observation) -> torch.Tensor:
        """Hand down, fingers across the nearest pair of faces, of a long object across its width: (num_envs, 4)."""
        yaw = 2.0 * torch.atan2(o.object_quat_b[:, 2], o.object_quat_b[:, 3])
        # A long object has one way to be grasped, others two: beside a tower, that with no finger between them.
        elongated = o.object_size_m[:, 0] > ELONGATED_RATIO * o.object_size_m[:, 1]
        period = torch.where(elongated, torch.pi, torch.pi / 2)
        yaw = torch.remainder(yaw + period / 2, period) - period / 2
        between = ~elongated & self._beside_tower(o) & _goal_between_fingers(o, yaw)
        yaw = torch.where(between, yaw - torch.copysign(yaw.new_tensor(torch.pi / 2), yaw), yaw)
        spin = torch.zeros_like(o.object_quat_b)
        spin[:, 2], spin[:, 3] = torch.sin(yaw / 2), torch.cos(yaw / 2)
        return quat_multiply(spin, self._down.expand_as(spin))

    def _beside_tower(self, o: Observation) -> torch.Tensor:
        """(num_envs,) bool: the object has fallen beside what it is to be put on."""
        to_goal = o.goal_pos_b - o.object_pos_b
        higher = to_goal[:, 2] > 0.5 * o.object_size_m[:, 2]
        return ~self.plan.holds & higher & (to_goal[:, :2].norm(dim=1) < BESIDE_TOWER_M)

    def _waypoint(self, o: Observation) -> torch.Tensor:
        """Where the fingertip centre should go next: (num_envs, 3)."""
        pick, goal, plan = self._pick_pos, self._goal_pos, self.plan

        def up(height_m: torch.Tensor | float) -> torch.Tensor:
            offset = torch.zeros_like(pick)
            offset[:, 2] = height_m
            return offset

        rise = up(plan.clearance_m)
        over = torch.where(self._detouring(o).unsqueeze(1), self._beside(o, pick, goal), goal + rise)
        holds = plan.holds.unsqueeze(1)
        lifted = torch.where(holds, goal, pick + rise)
        over = torch.where(holds, goal, over)
        gap = up(RELEASE_GAP_M)
        points = [pick + up(HOVER_M), pick, pick, lifted, over, goal + gap, goal + gap, goal + up(HOVER_M)]
        return torch.stack(points, dim=1)[self._rows, self.stage]

    def _detouring(self, o: Observation) -> torch.Tensor:
        """(num_envs,) bool: has to go round something that it has not passed yet."""
        return (self.plan.detour_m != 0) & (o.ee_target_pos_b[:, 1] < PASSED_Y_M)

    def _beside(self, o: Observation, pick: torch.Tensor, goal: torch.Tensor) -> torch.Tensor:
        """Next point (num_envs, 3) of the way round: to the side first, then along."""
        x = (pick[:, 0] + goal[:, 0]) / 2 + self.plan.detour_m
        aside = (o.ee_target_pos_b[:, 0] - x).abs() < 0.02
        y = torch.where(aside, PASSED_Y_M + 0.01, torch.minimum(o.ee_target_pos_b[:, 1], x.new_tensor(BEFORE_Y_M)))
        z = torch.maximum(pick[:, 2], goal[:, 2]) + self.plan.clearance_m
        return torch.stack([x, y, z], dim=1)

    def _advance(self, o: Observation, waypoint: torch.Tensor, turn: torch.Tensor) -> None:
        """Move on where the stage's condition is met; go back to the approach where the object was lost.

        ``turn`` (num_envs,) is what the hand's target still has to turn, rad.
        """
        near = (waypoint - o.ee_pos_b).norm(dim=1) < self._arrived[self.stage]
        # Fingers that come down askew beside a tower land on the object.
        near &= (self.stage != _APPROACH) | (turn < ALIGNED_RAD) | ~self._beside_tower(o)
        self._in_stage += 1
        pressed = o.grip_force_n[:, 0] > 0.8 * self.plan.grip * MAX_GRIP_FORCE_N
        gripped = (self._in_stage >= _MIN_CLOSE_STEPS) & (pressed | (self._in_stage >= _MAX_CLOSE_STEPS))
        opened = self._in_stage >= _MIN_OPEN_STEPS
        ready = torch.where(self.stage == _CLOSE, gripped, torch.where(self.stage == _OPEN, opened, near))
        over_goal = (o.ee_pos_b - self._goal_pos)[:, :2].norm(dim=1) < 0.012
        # An arm that sags, or an object that already stands on what it is lowered to, never arrives.
        ready |= (self.stage == _LOWER) & over_goal & (self._in_stage >= _MAX_LOWER_STEPS)
        ready &= (self.stage != _CARRY) | (over_goal & ~self.plan.holds)
        following = torch.where(ready & (self.stage < _RETREAT), self.stage + 1, self.stage)

        holding = (self.stage >= _LIFT) & (self.stage <= _LOWER)
        empty = holding & (o.grip_force_n[:, 0] < 0.5)
        self._lost = torch.where(empty, self._lost + 1, 0)
        following = torch.where(self._lost >= _LOST_STEPS, _APPROACH, following)
        misplaced = (o.object_pos_b - o.goal_pos_b)[:, :2].norm(dim=1) > 0.025
        retry = (self.stage == _RETREAT) & near & misplaced
        following = torch.where(retry, _APPROACH, following)

        self._in_stage = torch.where(following != self.stage, 0, self._in_stage)
        self._lost = torch.where(following == _APPROACH, 0, self._lost)
        self.stage = following


def _goal_between_fingers(o: Observation, yaw: torch.Tensor) -> torch.Tensor:
    """(num_envs,) bool: a finger of a hand with this ``yaw`` (num_envs,) would come down towards the goal."""
    to_goal = o.goal_pos_b - o.object_pos_b
    along_fingers = to_goal[:, 1] * torch.cos(yaw) - to_goal[:, 0] * torch.sin(yaw)
    across_fingers = to_goal[:, 0] * torch.cos(yaw) + to_goal[:, 1] * torch.sin(yaw)
    return along_fingers.abs() > across_fingers.abs()


def _limited(vector: torch.Tensor, limit: torch.Tensor) -> torch.Tensor:
    """``vector`` (num_envs, 3) shortened to at most ``limit`` (num_envs,)."""
    length = vector.norm(dim=1).clamp(min=1e-9)
    return vector * (limit / length).clamp(max=1.0).unsqueeze(1)
