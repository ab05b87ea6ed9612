"""What a robot can do differently: a short list of corrections, and how each changes an action chunk.

The list extends the implementation guide's rules (grip x1.3, speed x0.8, lift +0.05 m) to their neighbours.  Some act
on the observation instead (``observation_correction``): the policy then acts on other positions than it perceives.
Which of them helps against which failure is learned from outcomes; ``priors`` says where to start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch

from flow_rag_vla.agents.policy.features import constant, constant_like, held, none_of
from flow_rag_vla.tasks.contract import (
    GRIP_DEADBAND,
    MAX_DELTA_POS_M,
    NOMINAL_GRIP,
    Observation,
    named,
)


@dataclass(frozen=True)
class CorrectionCandidate:
    """One way to act differently; the defaults change nothing."""

    name: str
    grip_scale: float = 1.0
    """Grip force of closing commands, in multiples of the nominal one."""
    height_offset_m: float = 0.0
    """Carry at least this much higher than nominal."""
    stay_low: bool = False
    """Carry just above the table."""
    lateral_offset_m: float = 0.0
    """Carry around, this far to the side (+x of the robot base)."""
    speed_scale: float = 1.0
    """Scale of every displacement and turn."""
    object_offset_m: float = 0.0
    """An object that is not held lies this far along +y of the robot base from where it is perceived."""
    goal_offset_m: float = 0.0
    """The goal lies this far along +y of the robot base from where it is perceived."""
    grasp_offset_m: float = 0.0
    """Grasp an elongated object this far from its centre along its long axis."""

    @property
    def corrects_observation(self) -> bool:
        """It acts through what the policy perceives."""
        return self.object_offset_m != 0 or self.goal_offset_m != 0 or self.grasp_offset_m != 0

    @property
    def corrects_chunks(self) -> bool:
        """It acts on the chunk; a candidate may do both."""
        return self.grip_scale != 1.0 or self.speed_scale != 1.0 or self.reroutes

    @property
    def reroutes(self) -> bool:
        """It changes where a held object is carried along."""
        return self.stay_low or self.height_offset_m > 0 or self.lateral_offset_m != 0


GRIP_STEP = 1.3
"""The guide's grip factor."""

DETOUR_M = 0.16
OBJECT_OFFSET_M = 0.03
GOAL_OFFSET_M = 0.05
GRASP_OFFSET_M = 0.05

_FIRMER = tuple(CorrectionCandidate(f"grip_up_{k}", grip_scale=GRIP_STEP**k) for k in (1, 2, 3, 4))
_SOFTER = tuple(CorrectionCandidate(f"grip_down_{k}", grip_scale=GRIP_STEP**-k) for k in (1, 2, 3))
_HIGHER = tuple(CorrectionCandidate(f"lift_{cm}cm", height_offset_m=cm / 100) for cm in (5, 10, 15))

CANDIDATES: tuple[CorrectionCandidate, ...] = (
    CorrectionCandidate("none"),
    *_FIRMER,
    *_SOFTER,
    *_HIGHER,
    CorrectionCandidate("stay_low", stay_low=True),
    CorrectionCandidate("detour_plus", lateral_offset_m=DETOUR_M),
    CorrectionCandidate("detour_minus", lateral_offset_m=-DETOUR_M),
    CorrectionCandidate("slower", speed_scale=0.8),
    CorrectionCandidate("object_plus", object_offset_m=OBJECT_OFFSET_M),
    CorrectionCandidate("object_minus", object_offset_m=-OBJECT_OFFSET_M),
    CorrectionCandidate("goal_plus", goal_offset_m=GOAL_OFFSET_M),
    CorrectionCandidate("goal_minus", goal_offset_m=-GOAL_OFFSET_M),
    CorrectionCandidate("grasp_plus", grasp_offset_m=GRASP_OFFSET_M),
    CorrectionCandidate("grasp_minus", grasp_offset_m=-GRASP_OFFSET_M),
    CorrectionCandidate("goal_plus_half", goal_offset_m=0.5 * GOAL_OFFSET_M),
    CorrectionCandidate("goal_minus_half", goal_offset_m=-0.5 * GOAL_OFFSET_M),
    CorrectionCandidate("grasp_plus_firm", grasp_offset_m=GRASP_OFFSET_M, grip_scale=GRIP_STEP**4),
    CorrectionCandidate("grasp_minus_firm", grasp_offset_m=-GRASP_OFFSET_M, grip_scale=GRIP_STEP**4),
)
"""All corrections; index 0 is to change nothing."""

_REROUTES = tuple(candidate.reroutes for candidate in CANDIDATES)
_CORRECTS_CHUNKS = tuple(candidate.corrects_chunks for candidate in CANDIDATES)
_ON_CHUNKS = tuple(
    zip(
        *((c.grip_scale, c.speed_scale, c.height_offset_m, c.lateral_offset_m, c.stay_low) for c in CANDIDATES),
        strict=True,
    )
)
"""What each candidate does to chunks, one row for each column of ``_CandidateTable``."""

CANDIDATE_NAMES: tuple[str, ...] = tuple(candidate.name for candidate in CANDIDATES)

_INDICES = {name: index for index, name in enumerate(CANDIDATE_NAMES)}


def candidate_index(name: str) -> int:
    """Index into ``CANDIDATES`` of the correction called ``name``.

    Raises:
        UnknownNameError: naming the corrections that exist.
    """
    return named(_INDICES, name, "correction")


NOMINAL_CLEARANCE_M = 0.12
"""Height above the goal's at which the object is carried by default."""

LOW_CLEARANCE_M = 0.05
"""The same when staying low: the lowest that demonstrations show."""

NEAR_GOAL_M = 0.08
"""Closer to the goal than this (in the table's plane) heights and detours leave the chunk alone: it sets down."""

ARRIVED_M = 0.015
"""Too low by more than this, the hand rises before it moves on; a detour's corner counts as reached this close."""

LIFTED_M = 0.01
"""An object this far above where it rests is off the table."""

STARTS_LIFTING_M = 0.002
"""An upward displacement command larger than this begins the lift."""

DETOUR_END_M = 0.09
"""A detour rejoins the straight way this far (along y) before the goal: past what stands in the middle of the way."""


def reroutes(candidate: torch.Tensor) -> torch.Tensor:
    """(num_envs,) bool: where ``candidate`` (num_envs,) changes where a held object is carried along."""
    return constant(_REROUTES, candidate.device, torch.bool)[candidate]


def corrects_chunks(candidate: torch.Tensor) -> torch.Tensor:
    """(num_envs,) bool: where ``candidate`` (num_envs,) changes the chunk."""
    return constant(_CORRECTS_CHUNKS, candidate.device, torch.bool)[candidate]


def apply_correction(
    candidate: torch.Tensor, chunk: torch.Tensor, observation: Observation, *, reroute: bool = True
) -> torch.Tensor:
    """Chunks (num_envs, horizon, 7) with the corrections ``candidate`` applied.

    Rows of candidate 0, and of candidates that act on the observation alone, keep their bits.
    Grip sets closing commands to a multiple of the nominal force, so that repeated corrections do not add up.  Height
    and detour act on a held object on its way: never on the approach or the grasp (until the chunk itself starts to
    lift), never near the goal.  They follow the pose target, which displacements move, from where it is now.

    Args:
        candidate: (num_envs,) int64 index into ``CANDIDATES``.
        chunk: (num_envs, horizon, 7) the policy's chunk.
        observation: What the chunk was decided on.
        reroute: False where the caller knows that no row's candidate does, which saves most of the work; to ask the
            device would be to wait for it.
    """
    table = _CandidateTable.select(candidate, chunk)
    corrected = chunk.clone()
    grip = chunk[:, :, 6]
    closing = grip <= -GRIP_DEADBAND
    force = -(NOMINAL_GRIP * table.grip_scale).clamp(max=1.0).unsqueeze(1)
    corrected[:, :, 6] = torch.where(closing & (table.grip_scale != 1.0).unsqueeze(1), force, grip)
    corrected[:, :, :6] *= table.speed_scale.reshape(-1, 1, 1)
    if reroute:
        corrected[:, :, :3] = _reroute(table, corrected, observation)
    return torch.where((candidate > 0).reshape(-1, 1, 1), corrected, chunk)


@dataclass(frozen=True)
class _CandidateTable:
    """Columns (num_envs,) of the chosen candidates."""

    grip_scale: torch.Tensor
    speed_scale: torch.Tensor
    height_offset_m: torch.Tensor
    lateral_offset_m: torch.Tensor
    stay_low: torch.Tensor
    reroutes: torch.Tensor

    @classmethod
    def select(cls, candidate: torch.Tensor, like: torch.Tensor) -> Self:
        grip, speed, height, lateral, stay_low = constant_like(_ON_CHUNKS, like)[:, candidate]
        return cls(grip, speed, height, lateral, stay_low > 0, reroutes(candidate))


def _reroute(table: _CandidateTable, chunk: torch.Tensor, o: Observation) -> torch.Tensor:
    """Displacements (num_envs, horizon, 3) that follow the candidate's height or detour.

    What does not follow from where the target has come by then is computed for all actions at once.
    """
    displacements = chunk[:, :, :3]
    target, goal = o.ee_target_pos_b, o.goal_pos_b
    holding = held(o) & table.reroutes
    if none_of(holding):
        return displacements
    raised = (o.object_pos_b[:, 2] > goal[:, 2] + LIFTED_M).unsqueeze(1)
    raised = raised | ((displacements[:, :, 2] > STARTS_LIFTING_M).cumsum(dim=1) > 0)
    carries = holding.unsqueeze(1) & raised & (chunk[:, :, 6] < GRIP_DEADBAND)
    if none_of(carries):
        return displacements
    higher, sideways = table.height_offset_m > 0, table.lateral_offset_m != 0
    no_height, no_detour = none_of(holding & ~sideways), none_of(holding & sideways)
    clearance = torch.where(table.stay_low, LOW_CLEARANCE_M, NOMINAL_CLEARANCE_M + table.height_offset_m)
    height = goal[:, 2] + clearance
    speeds = _length(displacements)
    # A policy that wants to change height (which is not granted) would otherwise wait there for ever.
    straight = (_length(displacements[:, :, :2]) < 0.5 * speeds) | table.stay_low.unsqueeze(1)
    deltas = []
    for k in range(chunk.shape[1]):
        delta, speed = displacements[:, k], speeds[:, k]
        to_goal = goal[:, :2] - target[:, :2]
        distance = _length(to_goal)
        on_the_way = carries[:, k] & (distance > NEAR_GOAL_M)
        if not none_of(on_the_way):
            rerouted = delta
            if not no_height:
                gap = height - target[:, 2]
                climb = gap.clamp(-MAX_DELTA_POS_M, MAX_DELTA_POS_M)
                # "At least this high": a policy that carries higher still need not come down.
                dz = torch.where(table.stay_low, climb, torch.maximum(delta[:, 2], climb))
                lateral = torch.where(straight[:, k].unsqueeze(1), _towards(to_goal, distance, speed), delta[:, :2])
                lateral = torch.where((higher & (gap > ARRIVED_M)).unsqueeze(1), 0.0, lateral)
                room = (MAX_DELTA_POS_M**2 - dz**2).clamp(min=0.0).sqrt()
                lateral = lateral * (room / _length(lateral).clamp(min=1e-9)).clamp(max=1.0).unsqueeze(1)
                rerouted = torch.cat([lateral, dz.unsqueeze(1)], dim=1)
            if not no_detour:
                rerouted = torch.where(sideways.unsqueeze(1), _detour(table, delta, to_goal, speed), rerouted)
            delta = torch.where(on_the_way.unsqueeze(1), rerouted, delta)
        deltas.append(delta)
        target = target + delta
    return torch.stack(deltas, dim=1)


def _detour(table: _CandidateTable, delta: torch.Tensor, to_goal: torch.Tensor, speed: torch.Tensor) -> torch.Tensor:
    """Displacements (num_envs, 3) to the side first, then along, until a point beside the way is passed."""
    aside_m = to_goal[:, 0] + table.lateral_offset_m
    along_m = to_goal[:, 1] - to_goal[:, 1].sign() * DETOUR_END_M
    ahead = to_goal[:, 1].abs() > DETOUR_END_M + ARRIVED_M
    along_m = torch.where(aside_m.abs() < ARRIVED_M, along_m, 0.0)
    # Keep the policy's own height profile; turn only what it moves in the table's plane.
    pace = (speed**2 - delta[:, 2] ** 2).clamp(min=0.0).sqrt()
    corner = torch.stack([aside_m, along_m], dim=1)
    turned = torch.cat([_towards(corner, _length(corner), pace), delta[:, 2:]], dim=1)
    return torch.where(ahead.unsqueeze(1), turned, delta)


def _length(vectors: torch.Tensor) -> torch.Tensor:
    """(...,) of ``vectors`` (..., k)."""
    return torch.linalg.vector_norm(vectors, dim=-1)


def _towards(offset: torch.Tensor, distance: torch.Tensor, speed: torch.Tensor) -> torch.Tensor:
    """Steps (num_envs, 2) of length ``speed`` (num_envs,) along ``offset`` (num_envs, 2), not past its end.

    ``distance`` (num_envs,) is the offset's length.
    """
    return offset * (speed / distance.clamp(min=1e-9)).clamp(max=1.0).unsqueeze(1)
