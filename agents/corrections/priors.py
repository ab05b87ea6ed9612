"""Where to start: which corrections generic knowledge suggests for a failure, before any outcome is known."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from flow_rag_vla.agents.corrections.corrections import CANDIDATES, candidate_index
from flow_rag_vla.tasks.contract import FailureType, Phase


@dataclass(frozen=True)
class FailureSignature:
    """What was felt and seen around a failure, besides its type and phase; the defaults stand for nothing."""

    link_contact: bool = False
    """A contact was felt on the arm's links rather than on the hand."""
    load_n: float = 0.0
    """Largest sustained pull of the held object on the hand, N, downward."""
    missed: bool = False
    """A grasp that never held anything: the fingers closed on nothing, or the hand stood on the object."""
    side_y: float = 0.0
    """Of a missed grasp: its sign says towards which side (along y of the base) the object lay."""
    offset_y_m: float = 0.0
    """Of a misplaced object: how far from the goal it came to rest, along y of the base, m."""
    elongated: bool = False
    """The object is clearly longer than wide."""
    beyond_x_m: float = 0.0
    """How far beyond the middle of the workspace the object is, along x of the base, m."""
    tilt: float = 0.0
    """Sine of the steepest pitch of the object's long axis while held; negative where its +x end hung down."""


HEAVY_LOAD_N = 2.5
"""An object that pulled harder than this slid under its own weight, a lighter one gave way.

Largest pull in E1 of development seed 6, of what was lost after it had been lifted: objects that broke 0.3 to 2.3 N
(n = 8), slippery ones from 6.3 N (n = 5), heavy ones from 10 N (n = 13).
"""

PRIOR_TRIALS = 2.0
"""Pseudo-trials of each candidate: one real failure lets the next candidate of the ranking pass."""

_BEST_MEAN = 0.6
_RANK_DROP = 0.05
_NONE_MEAN = 0.25
_UNLIKELY_MEAN = 0.1

_MORE_GRIP = ("grip_up_4", "grip_up_3", "grip_up_2", "grip_up_1")
_LESS_GRIP = ("grip_down_3", "grip_down_2", "grip_down_1")
_GO_OVER = ("lift_10cm", "lift_15cm", "lift_5cm")

WORKSPACE_MIDDLE_X_M = 0.53
"""Middle of what the arm reaches comfortably in front of its base: on this side of it there is more room beyond."""

SWUNG = 0.15
"""A held object whose long axis pitched by more than this (sine) swung in the fingers."""


def candidate_priors(
    failure_type: str, phase: str, signature: FailureSignature | None = None
) -> npt.NDArray[np.float32]:
    """Beta pseudo-counts (num_candidates, 2), helped and not helped, before anything was tried; read-only.

    Generic manipulation knowledge, the same at every site; it only ranks, outcomes decide.  What slips is held more
    firmly (the guide's grip rule; the strongest first, since it also helps against every milder slip); what gives way
    without having pulled on the hand, or only lightly, is held more softly first; what was never in the fingers is
    looked for beside where it seemed to be, and what came to rest beside the goal is brought to where it should have
    been; an elongated object is gripped nearer to the end that hung down; what the hand or the object runs into is
    passed higher (the guide's lift rule) or on the side where the arm has more room, what the arm behind it runs into,
    lower.

    Args:
        failure_type: One of ``FAILURE_TYPES``.
        phase: One of ``PHASES``.
        signature: What was felt; nothing by default.

    Raises:
        ValueError: an unknown failure type or phase.
    """
    return _counts_of(_ranking(FailureType(failure_type), Phase(phase), signature or FailureSignature()))


@functools.cache
def _counts_of(ranking: tuple[str, ...]) -> npt.NDArray[np.float32]:
    """There are a few dozen rankings, and a failure for each of thousands of episodes."""
    means = np.full(len(CANDIDATES), _UNLIKELY_MEAN)
    means[0] = _NONE_MEAN
    for rank, name in enumerate(ranking):
        means[candidate_index(name)] = max(_BEST_MEAN - _RANK_DROP * rank, _NONE_MEAN + 0.01)
    counts = (PRIOR_TRIALS * np.stack([means, 1.0 - means], axis=1)).astype(np.float32)
    counts.setflags(write=False)
    return counts


_LATE_SHARES = (("object", 0.85), ("grasp", 0.2), ("grip_up", 0.8), ("slower", 0.25), ("grip_down", 0.1))
"""By the beginning of a correction's name; the others come too late.

Development seed 6, n = 40 a hazard, the right correction at once and after the first alarm: object poses 79 and 69 of
80, slippery and heavy objects 80 and 64 of 80, unbalanced bars 80 and 14 of 80, crushable ones 31 and 4 of 40; goal
poses (n = 20 each) 40 and 2 of 40; where something was run into, the episode is over.  Since
then a hand that stands on the object tries again before anything is advised.
"""


def late_shares() -> tuple[float, ...]:
    """(num_candidates,) share of a correction's chance to work that is left once the failure is felt."""
    return _by_name(_LATE_SHARES, 0.05)


SPARED = MappingProxyType(
    {
        "pick_place": (("object", 0.37), ("goal_plus_half", 0.99), ("goal_minus_half", 0.99), ("goal", 0.005)),
        "stack": (("object", 0.21), ("goal", 0.005)),
        "bin_transport": (("object", 0.38), ("goal", 0.99), ("stay_low", 0.02)),
    }
)
"""By task and the beginning of a correction's name.

Development seed 6, n = 120 clean episodes each in pick_place, 60 in stack and bin_transport: object offsets 88 of 240
whole, 25 of 120 and 45 of 120; goal offsets 0 of 240, 0 of 119 and 120 of 120, half ones 237 of 240, 1 of 120 (a tower
forgives less than a mark on the table, a bin more) and 120 of 120; carrying low 120 of 120, 60 of 60 and 1 of 60 (a bin
has a rim).  Grasp offsets on harmless twins of unbalanced bars, the only long objects (pick_place, n = 60): 100 of 120,
firm ones 180 of 180, but three such twins were broken at other sites (seed 31).  The others broke 2 of 3119.
"""

_SPARED_EVERYWHERE = (("grasp_plus_firm", 0.98), ("grasp_minus_firm", 0.98), ("grasp", 0.83))
"""The same of all tasks."""

_SPARED_ELSE = 0.995
"""Of a correction that is not named: what a posterior of 120 of 120 or 119 of 120 still leaves open."""


def spared(task: str = "") -> tuple[float, ...]:
    """(num_candidates,) chance that an episode in which nothing is wrong succeeds with a correction all the same.

    ``task`` is a short name; of one where nothing was measured, the least of the others.
    """
    if task in SPARED:
        return _by_name((*SPARED[task], *_SPARED_EVERYWHERE), _SPARED_ELSE)
    return tuple(min(values) for values in zip(*map(spared, SPARED), strict=True))


def _by_name(values: tuple[tuple[str, float], ...], otherwise: float) -> tuple[float, ...]:
    """(num_candidates,) the first of ``values`` with which a candidate's name begins."""
    found = [[value for start, value in values if c.name.startswith(start)] for c in CANDIDATES]
    return tuple(value[0] if value else otherwise for value in found)


def _ranking(failure_type: FailureType, phase: Phase, signature: FailureSignature) -> tuple[str, ...]:
    """Names of the candidates worth trying, best first."""
    ranking = _ranking_of_compact(failure_type, phase, signature)
    if not signature.elongated or failure_type is FailureType.COLLISION:
        return ranking
    grasps = _pair("grasp", -signature.tilt)
    if abs(signature.tilt) > SWUNG:
        # What swung is heavy as well: off its middle, the nominal grip would not carry it either.
        return (*_pair("grasp", -signature.tilt, "_firm"), *grasps, *ranking)
    if failure_type in (FailureType.GRASP_FAILURE, FailureType.DROP):
        first = 2 if signature.missed else 1
        return (*ranking[:first], *grasps, *ranking[first:])
    return ranking


def _ranking_of_compact(failure_type: FailureType, phase: Phase, signature: FailureSignature) -> tuple[str, ...]:
    """The same for an object that is not elongated."""
    objects = _pair("object", signature.side_y)
    light = 0.0 < signature.load_n < HEAVY_LOAD_N
    if failure_type is FailureType.GRASP_FAILURE:
        if signature.missed:
            return (*objects, *_LESS_GRIP[:1], *_MORE_GRIP)
        if light or (phase is not Phase.LIFT and signature.load_n < HEAVY_LOAD_N):
            return (*_LESS_GRIP, *_MORE_GRIP[:1], *objects, *_MORE_GRIP[1:])
        return _MORE_GRIP + _LESS_GRIP
    if failure_type is FailureType.DROP:
        grips = _LESS_GRIP + _MORE_GRIP if light else _MORE_GRIP
        return (*grips, "lift_5cm", "slower")
    if failure_type is FailureType.COLLISION:
        # Where one way over fails, so does the next: ways round come between, that with more room first.
        roomy, narrow = _pair("detour", -signature.beyond_x_m)
        if signature.link_contact:
            return ("stay_low", roomy, narrow, *_GO_OVER)
        return (_GO_OVER[0], roomy, _GO_OVER[1], narrow, _GO_OVER[2], "stay_low")
    if failure_type is FailureType.MISALIGNMENT:
        # Half the way first: it spares what lies within the goal's tolerance already.
        near, far = (_pair("goal", -signature.offset_y_m, size) for size in ("_half", ""))
        return (near[0], far[0], near[1], far[1], "slower")
    return ()


def _pair(what: str, direction: float, size: str = "") -> tuple[str, str]:
    """Both candidates of the pair ``what``, the one that moves it along ``direction`` first, plus if that is 0."""
    plus, minus = f"{what}_plus{size}", f"{what}_minus{size}"
    return (minus, plus) if direction < 0 else (plus, minus)
