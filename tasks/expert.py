"""Scripted expert: waypoints in the robot-base frame, followed with the environment's own 7-D actions.

It sees what any agent sees.  What makes it an *informed* expert is the plan: grip, carry clearance and detour that
suit the hazard (``informed_plan``), where the nominal plan is what demonstrations mostly show.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch

from flow_rag_vla.tasks.contract import (
    ACTION_DIM,
    MAX_DELTA_POS_M,
    MAX_DELTA_ROT_RAD,
    MAX_GRIP_FORCE_N,
    NOMINAL_GRIP,
    Observation,
)
from flow_rag_vla.tasks.rotation import quat_conjugate, quat_multiply, quat_to_axis_angle

if TYPE_CHECKING:
    from flow_rag_vla.tasks.scenario import Scenario

NOMINAL_CLEARANCE_M = 0.12
"""Carry height of the object above where it rests."""

LOW_CLEARANCE_M = 0.06
"""Carry height that passes under a beam."""

HOVER_M = 0.10
"""Approach and retreat height above the grasp."""

RELEASE_GAP_M = 0.003
"""Height above the table at which the object is let go."""

_APPROACH, _DESCEND, _CLOSE, _LIFT, _CARRY, _LOWER, _OPEN, _RETREAT = range(8)
_ARRIVED_M = (0.02, 0.004, 0.0, 0.015, 0.012, 0.004, 0.0, 0.03)
_SLOW = (_DESCEND, _LOWER)
_MIN_CLOSE_STEPS = 10
_MAX_CLOSE_STEPS = 30
_MIN_OPEN_STEPS = 6
_LOST_STEPS = 4


@dataclass(frozen=True)
class ExpertPlan:
    """How to carry: one row per environment."""

    grip: torch.Tensor
    """(num_envs,) grip force as a fraction of 40 N a finger."""
    clearance_m: torch.Tensor
    """(num_envs,) height of the object above rest while it is carried."""
    detour_m: torch.Tensor
    """(num_envs,) sideways shift (+x) of the middle of the carry."""
    speed: torch.Tensor
    """(num_envs,) fraction of the speed limit."""

    @classmethod
    def nominal(cls, num_envs: int, device: str = "cpu") -> Self:
        """10 N grip, 0.12 m clearance, straight, full speed."""

        def full(value: float) -> torch.Tensor:
            return torch.full((num_envs,), value, device=device)

        return cls(full(NOMINAL_GRIP), full(NOMINAL_CLEARANCE_M), full(0.0), full(1.0))

    def replace_rows(self, env_ids: torch.Tensor, other: Self) -> Self:
        """This plan with the rows ``env_ids`` (k,) taken from ``other`` (k rows)."""

        def merged(name: str) -> torch.Tensor:
            column = getattr(self, name).clone()
            column[env_ids] = getattr(other, name)
            return column

        return dataclasses.replace(self, **{f.name: merged(f.name) for f in dataclasses.fields(self)})


def informed_plan(scenarios: Sequence[Scenario], device: str = "cpu") -> ExpertPlan:
    """The plan of an expert who has been told each scenario's hazard."""
    grip, clearance = [], []
    for scenario in scenarios:
        p = scenario.parameters
        firm = p.get("object_friction", 1.0) < 0.5 or p.get("push_force_n", 0.0) > 0
        soft = p.get("crush_force_n", 1e6) < 2 * NOMINAL_GRIP * MAX_GRIP_FORCE_N
        grip.append(0.8 if firm else 0.125 if soft else NOMINAL_GRIP)
        post, beam = p.get("post_top_m", 0.0), p.get("beam_bottom_m", 0.0)
        clearance.append(LOW_CLEARANCE_M if beam > 0 else max(NOMINAL_CLEARANCE_M, post + 0.06))
    plan = ExpertPlan.nominal(len(scenarios), device)
    return dataclasses.replace(
        plan,
        grip=torch.tensor(grip, device=device),
        clearance_m=torch.tensor(clearance, device=device),
    )


class ScriptedExpert:
    """Approach, descend, close, lift, carry, lower, open, retreat; starts over when the object is lost."""

    def __init__(self, num_envs: int, device: str = "cpu") -> None:
        """Nominal plan for every environment until ``reset``."""
        self._rows = torch.arange(num_envs, device=device)
        self.plan = ExpertPlan.nominal(num_envs, device)
        self.stage = torch.zeros(num_envs, dtype=torch.long, device=device)
        self._in_stage = torch.zeros(num_envs, dtype=torch.long, device=device)
        self._lost = torch.zeros(num_envs, dtype=torch.long, device=device)
        self._pick_pos = torch.zeros(num_envs, 3, device=device)
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
        approaching = self.stage <= _DESCEND
        self._pick_pos = torch.where(approaching.unsqueeze(1), o.object_pos_b, self._pick_pos)
        aligned = self._aligned_grasp(o)
        first = (self.stage == _APPROACH) & (self._in_stage == 0)
        self._grasp_quat = torch.where(first.unsqueeze(1), aligned, self._grasp_quat)

        waypoint = self._waypoint(o)
        speed = self.plan.speed * torch.where((self.stage == _DESCEND) | (self.stage == _LOWER), 0.5, 1.0)
        action = torch.zeros(len(self._rows), ACTION_DIM, device=waypoint.device)
        action[:, :3] = _limited(waypoint - o.ee_target_pos_b, speed * MAX_DELTA_POS_M)
        turn = quat_to_axis_angle(quat_multiply(self._grasp_quat, quat_conjugate(o.ee_target_quat_b)))
        action[:, 3:6] = _limited(turn, speed * MAX_DELTA_ROT_RAD)
        closed = (self.stage >= _CLOSE) & (self.stage <= _LOWER)
        action[:, 6] = torch.where(closed, -self.plan.grip, NOMINAL_GRIP)
        self._advance(o, waypoint)
        return action

    def _aligned_grasp(self, o: Observation) -> torch.Tensor:
        """Hand down, fingers across the object's nearest pair of faces: (num_envs, 4)."""
        yaw = 2.0 * torch.atan2(o.object_quat_b[:, 2], o.object_quat_b[:, 3])
        quarter = torch.pi / 2
        yaw = torch.remainder(yaw + quarter / 2, quarter) - quarter / 2
        spin = torch.zeros_like(o.object_quat_b)
        spin[:, 2], spin[:, 3] = torch.sin(yaw / 2), torch.cos(yaw / 2)
        return quat_multiply(spin, self._down.expand_as(spin))

    def _waypoint(self, o: Observation) -> torch.Tensor:
        """Where the fingertip centre should go next: (num_envs, 3)."""
        pick, goal, clearance = self._pick_pos, o.goal_pos_b, self.plan.clearance_m
        rise = torch.zeros_like(pick)
        rise[:, 2] = clearance
        hover = torch.zeros_like(pick)
        hover[:, 2] = HOVER_M
        gap = torch.zeros_like(pick)
        gap[:, 2] = RELEASE_GAP_M
        # Aim a little past the middle with the detour until the object has passed it.
        over = goal + rise
        before_middle = o.ee_target_pos_b[:, 1] < (pick[:, 1] + goal[:, 1]) / 2 - 0.01
        middle = (pick + goal) / 2 + rise
        middle[:, 0] += self.plan.detour_m
        detouring = (self.plan.detour_m != 0) & before_middle
        carry = torch.where(detouring.unsqueeze(1), middle, over)
        points = torch.stack(
            [pick + hover, pick, pick, pick + rise, carry, goal + gap, goal + gap, goal + hover], dim=1
        )
        return points[self._rows, self.stage]

    def _advance(self, o: Observation, waypoint: torch.Tensor) -> None:
        """Move on where the stage's condition is met; go back to the approach where the object was lost."""
        near = (waypoint - o.ee_pos_b).norm(dim=1) < self._arrived[self.stage]
        self._in_stage += 1
        pressed = o.grip_force_n[:, 0] > 0.8 * self.plan.grip * MAX_GRIP_FORCE_N
        gripped = (self._in_stage >= _MIN_CLOSE_STEPS) & (pressed | (self._in_stage >= _MAX_CLOSE_STEPS))
        opened = self._in_stage >= _MIN_OPEN_STEPS
        ready = torch.where(self.stage == _CLOSE, gripped, torch.where(self.stage == _OPEN, opened, near))
        over_goal = (o.ee_pos_b[:, :2] - o.goal_pos_b[:, :2]).norm(dim=1) < 0.012
        ready &= (self.stage != _CARRY) | over_goal
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


def _limited(vector: torch.Tensor, limit: torch.Tensor) -> torch.Tensor:
    """``vector`` (num_envs, 3) shortened to at most ``limit`` (num_envs,)."""
    length = vector.norm(dim=1).clamp(min=1e-9)
    return vector * (limit / length).clamp(max=1.0).unsqueeze(1)
