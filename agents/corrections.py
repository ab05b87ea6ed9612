"""What a robot can do differently: a short list of corrections, and how each changes an action chunk.

The list extends the implementation guide's rules (grip x1.3, speed x0.8, lift +0.05 m) to their neighbours.  Which of
them helps against which failure is learned from outcomes; ``candidate_priors`` says where to start.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from flow_rag_vla.agents.features import held
from flow_rag_vla.tasks.contract import (
    GRIP_DEADBAND,
    MAX_DELTA_POS_M,
    NOMINAL_GRIP,
    FailureType,
    Observation,
    Phase,
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


GRIP_STEP = 1.3
"""The guide's grip factor."""

DETOUR_M = 0.16

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
)
"""All corrections; index 0 is to change nothing."""

CANDIDATE_NAMES: tuple[str, ...] = tuple(candidate.name for candidate in CANDIDATES)

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

DETOUR_END_M = 0.18
"""A detour rejoins the straight way this far (along y) before the goal."""


def apply_correction(candidate: torch.Tensor, chunk: torch.Tensor, observation: Observation) -> torch.Tensor:
    """Chunks (num_envs, horizon, 7) with the corrections ``candidate`` applied; rows of candidate 0 keep their bits.

    Grip sets closing commands to a multiple of the nominal force, so that repeated corrections do not add up.  Height
    and detour act on a held object on its way: never on the approach or the grasp (until the chunk itself starts to
    lift), never near the goal.  They follow the pose target, which displacements move, from where it is now.

    Args:
        candidate: (num_envs,) int64 index into ``CANDIDATES``.
        chunk: (num_envs, horizon, 7) the policy's chunk.
        observation: What the chunk was decided on.
    """
    table = _CandidateTable.select(candidate, chunk)
    corrected = chunk.clone()
    grip = chunk[:, :, 6]
    closing = grip <= -GRIP_DEADBAND
    force = -(NOMINAL_GRIP * table.grip_scale).clamp(max=1.0).unsqueeze(1)
    corrected[:, :, 6] = torch.where(closing & (table.grip_scale != 1.0).unsqueeze(1), force, grip)
    corrected[:, :, :6] *= table.speed_scale.reshape(-1, 1, 1)
    if bool(table.reroutes.any()):
        corrected[:, :, :3] = _reroute(table, corrected, observation)
    return torch.where((candidate > 0).reshape(-1, 1, 1), corrected, chunk)


@dataclass(frozen=True)
class _CandidateTable:
    """Columns (num_envs,) of the chosen candidates."""

    grip_scale: torch.Tensor
    height_offset_m: torch.Tensor
    stay_low: torch.Tensor
    lateral_offset_m: torch.Tensor
    speed_scale: torch.Tensor

    @classmethod
    def select(cls, candidate: torch.Tensor, like: torch.Tensor) -> _CandidateTable:
        def column(values: list[float]) -> torch.Tensor:
            return like.new_tensor(values)[candidate]

        return cls(
            column([c.grip_scale for c in CANDIDATES]),
            column([c.height_offset_m for c in CANDIDATES]),
            column([float(c.stay_low) for c in CANDIDATES]) > 0,
            column([c.lateral_offset_m for c in CANDIDATES]),
            column([c.speed_scale for c in CANDIDATES]),
        )

    @property
    def reroutes(self) -> torch.Tensor:
        return self.stay_low | (self.height_offset_m > 0) | (self.lateral_offset_m != 0)


def _reroute(table: _CandidateTable, chunk: torch.Tensor, o: Observation) -> torch.Tensor:
    """Displacements (num_envs, horizon, 3) that follow the candidate's height or detour."""
    target = o.ee_target_pos_b
    goal = o.goal_pos_b
    raised = o.object_pos_b[:, 2] > goal[:, 2] + LIFTED_M
    holding = held(o) & table.reroutes
    higher, sideways = table.height_offset_m > 0, table.lateral_offset_m != 0
    clearance = torch.where(table.stay_low, LOW_CLEARANCE_M, NOMINAL_CLEARANCE_M + table.height_offset_m)
    height = goal[:, 2] + clearance
    deltas = []
    for k in range(chunk.shape[1]):
        delta = chunk[:, k, :3]
        to_goal = goal[:, :2] - target[:, :2]
        raised = raised | (delta[:, 2] > STARTS_LIFTING_M)
        on_the_way = holding & raised & (chunk[:, k, 6] < GRIP_DEADBAND) & (to_goal.norm(dim=1) > NEAR_GOAL_M)

        speed = delta.norm(dim=1)
        gap = height - target[:, 2]
        climb = gap.clamp(-MAX_DELTA_POS_M, MAX_DELTA_POS_M)
        # "At least this high": a policy that carries higher still need not come down.
        dz = torch.where(table.stay_low, climb, torch.maximum(delta[:, 2], climb))
        # A policy that wants to change height (which is not granted) would otherwise wait there for ever.
        lateral = torch.where(
            (delta[:, :2].norm(dim=1) < 0.5 * speed).unsqueeze(1), _towards(to_goal, speed), delta[:, :2]
        )
        lateral = torch.where(table.stay_low.unsqueeze(1), _towards(to_goal, speed), lateral)
        lateral = torch.where((higher & (gap > ARRIVED_M)).unsqueeze(1), 0.0, lateral)
        room = (MAX_DELTA_POS_M**2 - dz**2).clamp(min=0.0).sqrt()
        lateral = lateral * (room / lateral.norm(dim=1).clamp(min=1e-9)).clamp(max=1.0).unsqueeze(1)
        rerouted = torch.cat([lateral, dz.unsqueeze(1)], dim=1)

        rerouted = torch.where(sideways.unsqueeze(1), _detour(table, delta, to_goal, speed), rerouted)
        delta = torch.where(on_the_way.unsqueeze(1), rerouted, delta)
        deltas.append(delta)
        target = target + delta
    return torch.stack(deltas, dim=1)


def _detour(table: _CandidateTable, delta: torch.Tensor, to_goal: torch.Tensor, speed: torch.Tensor) -> torch.Tensor:
    """Displacements (num_envs, 3) towards a point beside the way, until that point is passed."""
    ahead = to_goal[:, 1].abs() > DETOUR_END_M + ARRIVED_M
    beside = torch.stack(
        [to_goal[:, 0] + table.lateral_offset_m, to_goal[:, 1] - to_goal[:, 1].sign() * DETOUR_END_M], dim=1
    )
    # Keep the policy's own height profile; turn only what it moves in the table's plane.
    pace = (speed**2 - delta[:, 2] ** 2).clamp(min=0.0).sqrt()
    turned = torch.cat([_towards(beside, pace), delta[:, 2:]], dim=1)
    return torch.where(ahead.unsqueeze(1), turned, delta)


def _towards(offset: torch.Tensor, speed: torch.Tensor) -> torch.Tensor:
    """Steps (num_envs, 2) along ``offset`` (num_envs, 2) of length ``speed`` (num_envs,), not past its end."""
    distance = offset.norm(dim=1).clamp(min=1e-9)
    return offset * (speed / distance).clamp(max=1.0).unsqueeze(1)


@dataclass(frozen=True)
class FailureSignature:
    """What was felt around a failure, besides its type and phase."""

    link_contact: bool = False
    """A contact was felt on the arm's links rather than on the hand."""
    load_n: float = 0.0
    """Largest sustained pull of the held object on the hand, N, downward."""


HEAVY_LOAD_N = 2.0
"""An object that pulled harder than this slid under its own weight."""

PRIOR_TRIALS = 2.0
"""Pseudo-trials of each candidate: one real failure lets the next candidate of the ranking pass."""

_BEST_MEAN = 0.6
_RANK_DROP = 0.05
_NONE_MEAN = 0.25
_UNLIKELY_MEAN = 0.1

_MORE_GRIP = ("grip_up_4", "grip_up_3", "grip_up_2", "grip_up_1")
_LESS_GRIP = ("grip_down_3", "grip_down_2", "grip_down_1")
_GO_OVER = ("lift_10cm", "lift_15cm", "lift_5cm")
_GO_ROUND = ("detour_plus", "detour_minus")


def candidate_priors(
    failure_type: str, phase: str, signature: FailureSignature | None = None
) -> npt.NDArray[np.float32]:
    """Beta pseudo-counts (num_candidates, 2), helped and not helped, before anything was tried.

    Generic manipulation knowledge, the same at every site; it only ranks, outcomes decide.  What slips is held more
    firmly (the guide's grip rule; the strongest first, since it also helps against every milder slip); what gives way
    without ever having pulled on the hand is held more softly first; what the hand or the object
    runs into is passed higher (the guide's lift rule), what the arm behind it runs into, lower.

    Args:
        failure_type: One of ``FAILURE_TYPES``.
        phase: One of ``PHASES``.
        signature: What was felt; nothing by default.

    Raises:
        ValueError: an unknown failure type or phase.
    """
    means = np.full(len(CANDIDATES), _UNLIKELY_MEAN)
    means[0] = _NONE_MEAN
    ranking = _ranking(FailureType(failure_type), Phase(phase), signature or FailureSignature())
    for rank, name in enumerate(ranking):
        means[CANDIDATE_NAMES.index(name)] = max(_BEST_MEAN - _RANK_DROP * rank, _NONE_MEAN + 0.01)
    return (PRIOR_TRIALS * np.stack([means, 1.0 - means], axis=1)).astype(np.float32)


def _ranking(failure_type: FailureType, phase: Phase, signature: FailureSignature) -> tuple[str, ...]:
    """Names of the candidates worth trying, best first."""
    if failure_type is FailureType.GRASP_FAILURE:
        gave_way = phase is not Phase.LIFT and signature.load_n < HEAVY_LOAD_N
        return _LESS_GRIP + _MORE_GRIP if gave_way else _MORE_GRIP + _LESS_GRIP
    if failure_type is FailureType.DROP:
        return (*_MORE_GRIP, "lift_5cm", "slower")
    if failure_type is FailureType.COLLISION:
        return ("stay_low", *_GO_ROUND, *_GO_OVER) if signature.link_contact else (*_GO_OVER, *_GO_ROUND, "stay_low")
    if failure_type is FailureType.MISALIGNMENT:
        return ("slower",)
    return ()
