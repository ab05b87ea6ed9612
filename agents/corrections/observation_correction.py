"""Corrections that act on the observation: the policy is shown other positions and does what it can do already.

Where a robot sees an object 3 cm beside its true place, no change of the action chunk is as simple as seeing it right.
"""

from __future__ import annotations

import dataclasses

import torch

from flow_rag_vla.agents.corrections.corrections import CANDIDATES, NEAR_GOAL_M
from flow_rag_vla.agents.policy.features import constant, constant_like, elongated, held, long_axis
from flow_rag_vla.tasks.contract import Observation

_CORRECTS = tuple(candidate.corrects_observation for candidate in CANDIDATES)
_OFFSETS_M = tuple(zip(*((c.object_offset_m, c.goal_offset_m, c.grasp_offset_m) for c in CANDIDATES), strict=True))
_ALONG_Y = (0.0, 1.0, 0.0)


def corrects_observation(candidate: torch.Tensor) -> torch.Tensor:
    """(num_envs,) bool: where ``candidate`` (num_envs,), an index into ``CANDIDATES``, acts on the observation."""
    return constant(_CORRECTS, candidate.device, torch.bool)[candidate]


def apply_observation_correction(candidate: torch.Tensor, observation: Observation) -> Observation:
    """``observation`` as the corrections ``candidate`` want it seen; rows of other candidates keep their bits.

    Offsets of object and goal along y of the base end where the object lies free at the goal: what was put down
    there is seen as it is.  A grasp offset ``d`` moves both object and goal by ``R(object_quat) (d, 0, 0)``, held or
    not: the policy takes the grasped spot for the object, and what it brings to the moved goal is that spot, which
    leaves the object's centre on the true one.

    Args:
        candidate: (num_envs,) int64 index into ``CANDIDATES``.
        observation: What is sensed.
    """
    rows = corrects_observation(candidate)
    o = observation

    object_m, goal_m, grasp_m = constant_like(_OFFSETS_M, o.object_pos_b)[:, candidate].unsqueeze(2)
    in_hand = held(o)
    put_down = ~in_hand & ((o.object_pos_b - o.goal_pos_b).norm(dim=1) < NEAR_GOAL_M)
    along_y = constant_like(_ALONG_Y, o.object_pos_b)
    object_shift = object_m * along_y * ~(in_hand | put_down).unsqueeze(1)
    goal_shift = goal_m * along_y * ~put_down.unsqueeze(1)
    grasp = grasp_m * long_axis(o)
    grasp = torch.where(elongated(o).unsqueeze(1), grasp, 0.0)

    def moved(pos: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        return torch.where(rows.unsqueeze(1), pos + (shift + grasp), pos)

    return dataclasses.replace(
        o, object_pos_b=moved(o.object_pos_b, object_shift), goal_pos_b=moved(o.goal_pos_b, goal_shift)
    )
