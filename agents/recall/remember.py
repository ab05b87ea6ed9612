"""From a noticed failure to a case worth remembering."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from flow_rag_vla.agents.corrections.corrections import apply_correction
from flow_rag_vla.agents.corrections.priors import WORKSPACE_MIDDLE_X_M, FailureSignature, candidate_priors
from flow_rag_vla.agents.detection.alarm import FailureAlarm
from flow_rag_vla.agents.policy.features import elongated, held, long_axis
from flow_rag_vla.memory.stored_cases import cases_of_columns
from flow_rag_vla.tasks.contract import FAILURE_TYPES, PHASES, FailureType

if TYPE_CHECKING:
    from flow_rag_vla.memory.case import FailureCase
    from flow_rag_vla.tasks.contract import Observation

CELL_M = 0.07
"""Edge of the workspace cells that failures are clustered by."""

SHADES = 4
"""Levels of each colour channel that failures are clustered by."""


def regions_of(observation: Observation) -> list[str]:
    """Cluster bin of each row: workspace cell of object and goal, and coarse colour of the object."""
    o = observation
    places = torch.cat([o.object_pos_b[:, :2], o.goal_pos_b[:, :2]], dim=1).tolist()
    return [
        f"{','.join(str(round(v / CELL_M)) for v in place)} {''.join(str(int(min(v, 0.999) * SHADES)) for v in colour)}"
        for place, colour in zip(places, o.object_rgb.tolist(), strict=True)
    ]


@dataclass(frozen=True)
class DecisionSnapshot:
    """What the agent knew when it last decided."""

    observation: Observation
    keys: torch.Tensor
    """(num_envs, 512) memory keys."""
    chunk: torch.Tensor
    """(num_envs, horizon, 7)."""

    @property
    def finite(self) -> torch.Tensor:
        """(num_envs,) bool: keys and chunks of these rows are numbers."""
        return torch.isfinite(self.keys).all(dim=1) & torch.isfinite(self.chunk).flatten(1).all(dim=1)

    def where(self, rows: torch.Tensor, other: DecisionSnapshot) -> DecisionSnapshot:
        """``other`` in ``rows`` (num_envs,) bool, this elsewhere."""

        def chosen(new: torch.Tensor, old: torch.Tensor) -> torch.Tensor:
            return torch.where(rows.reshape(-1, *(1,) * (new.ndim - 1)), new, old)

        old = vars(self.observation)
        sensed = {n: chosen(v, old[n]) for n, v in vars(other.observation).items() if isinstance(v, torch.Tensor)}
        return DecisionSnapshot(
            dataclasses.replace(other.observation, **sensed),
            chosen(other.keys, self.keys),
            chosen(other.chunk, self.chunk),
        )


def signatures_between(kinds: Sequence[str], before: Observation, after: Observation) -> list[FailureSignature]:
    """What can be told of the failures ``kinds``, one a row, from the observations around them."""
    columns = (
        held(before).tolist(),
        (after.object_pos_b - after.goal_pos_b)[:, 1].tolist(),
        elongated(after).tolist(),
        after.object_pos_b[:, 0].tolist(),
        long_axis(before)[:, 2].tolist(),
    )
    return [
        FailureSignature(
            missed=kind == FailureType.GRASP_FAILURE and not was_held,
            offset_y_m=offset_y_m if kind == FailureType.MISALIGNMENT else 0.0,
            elongated=is_long,
            beyond_x_m=x_m - WORKSPACE_MIDDLE_X_M,
            tilt=tilt,
        )
        for kind, was_held, offset_y_m, is_long, x_m, tilt in zip(kinds, *columns, strict=True)
    ]


def _signatures(alarm: FailureAlarm, observation: Observation) -> list[FailureSignature]:
    """What each row of ``alarm`` felt and saw."""
    felt = {
        "link_contact": alarm.link_contact,
        "load_n": alarm.load_n,
        "missed": alarm.missed,
        "side_y": alarm.side_y,
        "offset_y_m": alarm.offset_y_m,
        "elongated": elongated(observation),
        "beyond_x_m": observation.object_pos_b[:, 0] - WORKSPACE_MIDDLE_X_M,
        "tilt": alarm.tilt,
    }
    rows = zip(*(column.tolist() for column in felt.values()), strict=True)
    return [FailureSignature(**dict(zip(felt, row, strict=True))) for row in rows]


def failure_cases(
    *,
    keys: torch.Tensor,
    chunk: torch.Tensor,
    decided_on: Observation,
    first: Observation,
    kinds: Sequence[str],
    phases: Sequence[str],
    signatures: Sequence[FailureSignature],
) -> list[FailureCase]:
    """One case a row (k of them); generic knowledge says which correction is the most promising.

    Args:
        keys: (k, num_keys, embedding_dim) memory keys, earliest first.
        chunk: (k, horizon, 7) chunks that failed.
        decided_on: What they were decided on.
        first: What the episodes' first decisions were taken on.
        kinds: Failure types.
        phases: Phases of the failures.
        signatures: What was felt and seen around them.
    """
    priors = np.stack([candidate_priors(*known) for known in zip(kinds, phases, signatures, strict=True)])
    best = torch.from_numpy((priors[..., 0] / priors.sum(axis=2)).argmax(axis=1)).to(chunk.device)
    corrected = apply_correction(best, chunk, decided_on).cpu().numpy()
    return cases_of_columns(
        failure_types=kinds,
        phases=phases,
        regions=regions_of(first),
        keys=keys.flatten(0, 1).cpu().numpy(),
        num_keys=np.full(len(keys), keys.shape[1]),
        failed_actions=chunk.cpu().numpy(),
        corrections=corrected,
        priors=priors,
    )


class FailureNotebook:
    """Private notes of ``num_envs`` episodes: what led to the first alarm of each, which its detector keeps.

    A case keeps two keys: the episode's first decision, so that retrieval fires before anything went wrong, and the
    decision before the failure.  Its corrected chunk is the failed one where the most promising correction acts on
    the observation: only the policy could say what it does then.  Notes stay on the agent's device until ``cases``.
    """

    def __init__(self, num_envs: int, device: str = "cpu") -> None:
        """Empty notes."""
        self._num_envs, self._device = num_envs, device
        self.reset()

    def reset(self) -> None:
        """New episodes in all environments."""
        self._noted = torch.zeros(self._num_envs, dtype=torch.bool, device=self._device)
        self._first: DecisionSnapshot | None = None
        self._last: DecisionSnapshot | None = None
        self._led_to_alarm: DecisionSnapshot | None = None
        self._since_last = torch.zeros_like(self._noted)

    def decided(self, snapshot: DecisionSnapshot) -> None:
        """Note a decision of all episodes; alarms that follow are put down to it."""
        # Pictures would be kept for nothing.
        seen = dataclasses.replace(snapshot.observation, rgb=None)
        snapshot = dataclasses.replace(snapshot, observation=seen)
        if self._last is None:
            self._first = self._led_to_alarm = snapshot
        else:
            self._put_down()
        self._last = snapshot

    def alarmed(self, mask: torch.Tensor) -> None:
        """Note where there is an alarm, ``mask`` (num_envs,) bool, for the first time.

        Raises:
            RuntimeError: nothing was decided yet.
        """
        if self._last is None:
            raise RuntimeError("an alarm came before the first decision")
        self._since_last |= mask & ~self._noted
        self._noted |= mask

    def _put_down(self) -> None:
        """Keep the last decision for the episodes that have alarmed since; once a decision, as it copies the keys."""
        if self._led_to_alarm is not None and self._last is not None:
            self._led_to_alarm = self._led_to_alarm.where(self._since_last, self._last)
            self._since_last = torch.zeros_like(self._since_last)

    def cases(self, alarms: FailureAlarm, rows: torch.Tensor | None = None) -> dict[int, FailureCase]:
        """Environment to its first failure, of the environments ``rows`` (num_envs,) bool or of all.

        Where a key or the chunk is not finite there is none: a policy that broke is no case of a failure.

        Args:
            alarms: The first of each episode, all of which were noted when they came.
            rows: Where cases are wanted.
        """
        self._put_down()
        if self._first is None or self._led_to_alarm is None:
            return {}
        noted = self._noted & self._led_to_alarm.finite & self._first.finite
        env_ids = (noted if rows is None else noted & rows).nonzero().flatten()
        if len(env_ids) == 0:
            return {}
        alarm = FailureAlarm(*(column[env_ids] for column in vars(alarms).values()))
        decision = self._led_to_alarm
        decided_on = decision.observation.select(env_ids)
        cases = failure_cases(
            keys=torch.stack([self._first.keys[env_ids], decision.keys[env_ids]], dim=1),
            chunk=decision.chunk[env_ids],
            decided_on=decided_on,
            first=self._first.observation.select(env_ids),
            kinds=[FAILURE_TYPES[i] for i in alarm.failure_type.tolist()],
            phases=[PHASES[i] for i in alarm.phase.tolist()],
            signatures=_signatures(alarm, decided_on),
        )
        return dict(zip(env_ids.tolist(), cases, strict=True))
