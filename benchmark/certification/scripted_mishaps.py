"""What a hand can do wrong on purpose, as edits of the scripted expert's actions.

A script sees what any agent sees and what the expert is at; it never asks the simulator what has happened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from flow_rag_vla.tasks.contract import MAX_DELTA_POS_M, NOMINAL_GRIP, Observation
from flow_rag_vla.tasks.expert.scripted_expert import Stage

LOOSE_GRIP = 0.06
"""2.4 N a finger: the hand stays closed, but holds at most 0.5 kg at friction 1."""

UNDER_WAY_Y_M = -0.12
"""A hand beyond this has left the pick side, and is far from the goal for another 0.2 m."""

FAR_SIDE_Y_M = 0.20
SHAKE_STEPS = 3


@dataclass(frozen=True)
class Situation:
    """One control step of the k environments that share a script."""

    step: int
    observation: Observation
    action: torch.Tensor
    """(k, 7) what the expert wants to do."""
    stage: torch.Tensor
    """(k,) the expert's ``Stage`` in this step."""
    furthest: torch.Tensor
    """(k,) the latest ``Stage`` that it has reached so far."""
    restarts: torch.Tensor
    """(k,) how often it has begun anew."""
    rest_height_m: torch.Tensor
    """(k,) height of the object's centre where it was first seen, m."""

    @property
    def carrying(self) -> torch.Tensor:
        """(k,) bool: on the way, past the pick side."""
        return (self.stage == Stage.CARRY) & (self.observation.ee_pos_b[:, 1] > UNDER_WAY_Y_M)

    def rising(self, by_m: float) -> torch.Tensor:
        """(k,) bool: the hand is on its way up from where it grasped the object, by this much or more."""
        up = self.observation.ee_pos_b[:, 2] - self.rest_height_m > by_m
        return up & ((self.stage == Stage.LIFT) | (self.stage == Stage.CARRY)) & (self.restarts == 0)


type Script = Callable[[Situation], torch.Tensor]
"""The actions (k, 7) that are carried out instead."""


def _with_grip(s: Situation, where: torch.Tensor, grip: float) -> torch.Tensor:
    action = s.action.clone()
    action[where, 6] = grip
    return action


def keep_still(s: Situation) -> torch.Tensor:
    """Never move."""
    still = torch.zeros_like(s.action)
    still[:, 6] = NOMINAL_GRIP
    return still


def never_close(s: Situation) -> torch.Tensor:
    """Do everything with an open hand."""
    return _with_grip(s, s.stage >= Stage.APPROACH, NOMINAL_GRIP)


def never_open(s: Situation) -> torch.Tensor:
    """Stay at the goal with the object in the hand."""
    arrived = s.furthest >= Stage.OPEN
    action = _with_grip(s, arrived, -NOMINAL_GRIP)
    action[arrived, :6] = 0.0
    return action


def leave_it(s: Situation) -> torch.Tensor:
    """After the release draw back once and do nothing more."""
    over = (s.furthest == Stage.RETREAT) & (s.stage != Stage.RETREAT)
    return torch.where(over.unsqueeze(1), keep_still(s), s.action)


def loosen_under_way(s: Situation) -> torch.Tensor:
    """Relax the grip in the first carry."""
    return _with_grip(s, s.carrying & (s.restarts == 0), -LOOSE_GRIP)


def loosen_when_lifted(s: Situation) -> torch.Tensor:
    """Stop when the object is well off the table, still over its place, and relax the grip."""
    up = s.rising(0.06)
    action = _with_grip(s, up, -LOOSE_GRIP)
    action[up, :6] = 0.0
    return action


def loosen_at_once(s: Situation) -> torch.Tensor:
    """Relax the grip when the object has barely left the table, and go on upwards."""
    return _with_grip(s, s.rising(0.008), -LOOSE_GRIP)


def loosen_at_the_top(s: Situation) -> torch.Tensor:
    """Relax the grip where the object is to be held."""
    return _with_grip(s, (s.stage == Stage.CARRY) & (s.restarts == 0), -LOOSE_GRIP)


def open_at_the_top(s: Situation) -> torch.Tensor:
    """Let go where the object is to be held."""
    return _with_grip(s, (s.stage == Stage.CARRY) & (s.restarts == 0), NOMINAL_GRIP)


def squeeze_under_way(s: Situation) -> torch.Tensor:
    """Press with all that the gripper has in mid-carry."""
    return _with_grip(s, s.carrying, -1.0)


def shake_under_way(s: Situation) -> torch.Tensor:
    """Jerk the hand up and down in mid-carry."""
    action = s.action.clone()
    up = 1.0 if s.step // SHAKE_STEPS % 2 == 0 else -1.0
    action[s.carrying, 2] = up * MAX_DELTA_POS_M
    action[s.carrying, :2] = 0.0
    return action


def sweep_across(s: Situation) -> torch.Tensor:
    """Once down beside the object, cross the table at that height with an open hand."""
    action = _with_grip(s, s.stage >= Stage.APPROACH, NOMINAL_GRIP)
    down = s.furthest >= Stage.CLOSE
    action[down, :6] = 0.0
    behind = s.observation.ee_target_pos_b[:, 1] < FAR_SIDE_Y_M
    action[down & behind, 1] = MAX_DELTA_POS_M
    return action
