"""From a noticed failure to a case worth remembering."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from flow_rag_vla.agents.corrections.corrections import apply_correction
from flow_rag_vla.agents.corrections.priors import FailureSignature, candidate_priors
from flow_rag_vla.agents.policy.features import elongated, held, long_axis
from flow_rag_vla.memory.case import FailureCase
from flow_rag_vla.tasks.contract import FAILURE_TYPES, PHASES, FailureType

if TYPE_CHECKING:
    from flow_rag_vla.agents.detection.alarm import FailureAlarm
    from flow_rag_vla.tasks.contract import Observation

CELL_M = 0.07
"""Edge of the workspace cells that failures are clustered by."""

SHADES = 4
"""Levels of each colour channel that failures are clustered by."""


def region_of(observation: Observation, i: int) -> str:
    """Cluster bin of row ``i``: workspace cell of object and goal, and coarse colour of the object."""
    xy = torch.cat([observation.object_pos_b[i, :2], observation.goal_pos_b[i, :2]])
    cells = [str(round(float(v) / CELL_M)) for v in xy]
    shades = [str(int(min(float(v), 0.999) * SHADES)) for v in observation.object_rgb[i]]
    return f"{','.join(cells)} {''.join(shades)}"


@dataclass(frozen=True)
class DecisionSnapshot:
    """What the agent knew when it last decided."""

    observation: Observation
    keys: torch.Tensor
    """(num_envs, 512) memory keys."""
    chunk: torch.Tensor
    """(num_envs, horizon, 7)."""


def signature_between(kind: str, before: Observation, after: Observation, i: int) -> FailureSignature:
    """What can be told of a failure of ``kind`` in row ``i`` from the observations around it."""
    misplaced = kind == FailureType.MISALIGNMENT
    return FailureSignature(
        missed=kind == FailureType.GRASP_FAILURE and not bool(held(before)[i]),
        offset_y_m=float((after.object_pos_b - after.goal_pos_b)[i, 1]) if misplaced else 0.0,
        elongated=bool(elongated(after)[i]),
        tilt=float(long_axis(before)[i, 2]),
    )


def _signature(alarm: FailureAlarm, observation: Observation, i: int) -> FailureSignature:
    """What row ``i`` of ``alarm`` felt and saw."""
    return FailureSignature(
        link_contact=bool(alarm.link_contact[i]),
        load_n=float(alarm.load_n[i]),
        missed=bool(alarm.missed[i]),
        side_y=float(alarm.side_y[i]),
        offset_y_m=float(alarm.offset_y_m[i]),
        elongated=bool(elongated(observation)[i]),
        tilt=float(alarm.tilt[i]),
    )


class FailureNotebook:
    """Private notes of ``num_envs`` episodes: the first alarm of each, and what led to it.

    A case keeps two keys: the episode's first decision, so that retrieval fires before anything went wrong, and the
    decision before the failure.  Its corrected chunk is the failed one where the most promising correction acts on
    the observation: only the policy could say what it does then.
    """

    def __init__(self, num_envs: int) -> None:
        """Empty notes."""
        self._cases: dict[int, FailureCase] = {}
        self._first: DecisionSnapshot | None = None
        self._num_envs = num_envs

    def reset(self) -> None:
        """New episodes in all environments."""
        self._cases.clear()
        self._first = None

    def decided(self, snapshot: DecisionSnapshot) -> None:
        """Note the first decision of the episodes."""
        if self._first is None:
            self._first = snapshot

    def alarmed(self, alarm: FailureAlarm, snapshot: DecisionSnapshot) -> None:
        """Note the failures that ``alarm`` names for the first time, as caused by ``snapshot``'s decision."""
        if self._first is None:
            raise RuntimeError("an alarm came before the first decision")
        for i in alarm.mask.nonzero().flatten().tolist():
            if i in self._cases:
                continue
            kind, phase = FAILURE_TYPES[int(alarm.failure_type[i])], PHASES[int(alarm.phase[i])]
            prior = candidate_priors(kind, phase, _signature(alarm, snapshot.observation, i))
            best = torch.tensor([int((prior[:, 0] / prior.sum(axis=1)).argmax())], device=snapshot.chunk.device)
            row = torch.tensor([i], device=snapshot.chunk.device)
            corrected = apply_correction(best, snapshot.chunk[row], snapshot.observation.select(row))
            keys = torch.stack([self._first.keys[i], snapshot.keys[i]])
            self._cases[i] = FailureCase(
                key_states=keys.cpu().numpy(),
                failed_action=np.asarray(snapshot.chunk[i].cpu()),
                failure_type=kind,
                correction=np.asarray(corrected[0].cpu()),
                phase=phase,
                region=region_of(self._first.observation, i),
                prior=prior,
            )

    def cases(self) -> dict[int, FailureCase]:
        """Environment to its first failure."""
        return dict(self._cases)
