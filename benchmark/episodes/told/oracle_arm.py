"""Arms that are told which correction belongs to each episode's hazard: what the list of corrections can do at best.

Which one that is follows from what the informed expert does about the hazard, so that a new fault, or one of a user's
scenario file, needs no entry here.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from flow_rag_vla.agents.agent import WrappedAgent
from flow_rag_vla.agents.corrections.corrections import (
    CANDIDATES,
    DETOUR_M,
    GOAL_OFFSET_M,
    GRASP_OFFSET_M,
    GRIP_STEP,
    LOW_CLEARANCE_M,
    NOMINAL_CLEARANCE_M,
    OBJECT_OFFSET_M,
)
from flow_rag_vla.tasks.catalogue.registry import get_task
from flow_rag_vla.tasks.contract import NOMINAL_GRIP, NOTHING, FaultClass
from flow_rag_vla.tasks.env.batches import padded
from flow_rag_vla.tasks.expert.scripted_expert import informed_plan

if TYPE_CHECKING:
    from flow_rag_vla.agents.agent import Agent, Capabilities
    from flow_rag_vla.agents.corrections.corrections import CorrectionCandidate
    from flow_rag_vla.agents.recall.told_advice import ToldAdvice
    from flow_rag_vla.tasks.expert.scripted_expert import ExpertPlan
    from flow_rag_vla.tasks.scenarios.scenario import Scenario

_LIFT_STEP_M = 0.05
_SPEED_STEP = 0.2
_HALF_GOAL_M = 0.5 * GOAL_OFFSET_M


def belonging_corrections(scenarios: Sequence[Scenario]) -> torch.Tensor:
    """The correction nearest to what the informed expert does differently; scenarios of one task.

    Each change (log grip, carry height, detour, pace, offsets of object, goal and grasp) is measured in steps of the
    list of corrections.  The answer, (num_scenarios,) int64, is ``NOTHING`` where there is no hazard or one that cannot
    be avoided, and where to change nothing is nearest.
    """
    nominal_m = get_task(scenarios[0].task).nominal_clearance_m
    offered = np.array([_changes_of(candidate, nominal_m) for candidate in CANDIDATES])
    wanted = _changes_of_expert(informed_plan(scenarios), nominal_m)
    nearest = ((wanted[:, None] - offered) ** 2).sum(axis=2).argmin(axis=1)
    avoidable = np.array([scenario.fault_class is FaultClass.AVOIDABLE for scenario in scenarios])
    return torch.from_numpy(np.where(avoidable & (nearest > 0), nearest, NOTHING))


def _changes_of(candidate: CorrectionCandidate, nominal_m: float) -> tuple[float, ...]:
    higher_m = 0.0
    if candidate.stay_low:
        higher_m = LOW_CLEARANCE_M - nominal_m
    elif candidate.height_offset_m > 0:
        higher_m = max(0.0, NOMINAL_CLEARANCE_M + candidate.height_offset_m - nominal_m)
    return (
        math.log(candidate.grip_scale, GRIP_STEP),
        higher_m / _LIFT_STEP_M,
        candidate.lateral_offset_m / DETOUR_M,
        (candidate.speed_scale - 1.0) / _SPEED_STEP,
        candidate.object_offset_m / OBJECT_OFFSET_M,
        candidate.goal_offset_m / _HALF_GOAL_M,
        candidate.grasp_offset_m / GRASP_OFFSET_M,
    )


def _changes_of_expert(plan: ExpertPlan, nominal_m: float) -> np.ndarray:
    """(num_scenarios, 7), the same of what the expert plans."""
    changes = (
        (plan.grip / NOMINAL_GRIP).log() / math.log(GRIP_STEP),
        (plan.clearance_m - nominal_m) / _LIFT_STEP_M,
        plan.detour_m / DETOUR_M,
        (plan.speed - 1.0) / _SPEED_STEP,
        plan.object_offset_m[:, 1] / OBJECT_OFFSET_M,
        plan.goal_offset_m[:, 1] / _HALF_GOAL_M,
        plan.grasp_offset_m / GRASP_OFFSET_M,
    )
    return torch.stack(changes, dim=1).double().numpy()


class OracleAgent(WrappedAgent):
    """Senses and acts as ``agent`` does, whose advice is what belongs to the hazards that are told."""

    def __init__(self, agent: Agent, advice: ToldAdvice, num_envs: int) -> None:
        """Pass on to ``advice``, which ``agent`` heeds, what belongs to the hazards of ``num_envs`` environments."""
        super().__init__(agent)
        self._advice, self._num_envs = advice, num_envs

    @property
    def capabilities(self) -> Capabilities:
        """Those of the agent, and that it is told the truth."""
        return dataclasses.replace(super().capabilities, told_truth=True)

    def tell(self, scenarios: Sequence[Scenario]) -> None:
        """Say which corrections belong to the next scenarios; missing ones repeat the first."""
        self._advice.tell(belonging_corrections(padded(scenarios, self._num_envs)))
