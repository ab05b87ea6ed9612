"""What the simulator and the agent say of a batch, put into words: one record an episode."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from flow_rag_vla.agents.corrections.corrections import CANDIDATE_NAMES
from flow_rag_vla.benchmark.episodes.records import EpisodeRecord, Outcome, pose_bin
from flow_rag_vla.tasks.contract import FAILURE_TYPES, NOTHING, PHASES, word_at

if TYPE_CHECKING:
    from flow_rag_vla.agents.agent import EpisodeNotes
    from flow_rag_vla.benchmark.episodes.plan import PlannedEpisode, Unit
    from flow_rag_vla.tasks.contract import EpisodeTruth, TruthWords


def batch_records(
    unit: Unit,
    episodes: Sequence[PlannedEpisode],
    truth: EpisodeTruth,
    notes: EpisodeNotes,
    state_shas: Sequence[str],
    invalid_reasons: Sequence[str | None],
) -> list[EpisodeRecord]:
    """The records of ``episodes``, which ran in the first environments; the other arguments have num_envs rows.

    Args:
        unit: The unit that the episodes belong to.
        episodes: At most num_envs of them.
        truth: What the simulator says.
        notes: What the agent says.
        state_shas: Hashes of the initial states.
        invalid_reasons: Why the physics cannot be trusted; None where it can.
    """
    rows = zip(episodes, truth.rows(), _noted(notes), state_shas, invalid_reasons, strict=False)
    return [_record(unit, *row) for row in rows]


class _Noted(NamedTuple):
    """One row of ``EpisodeNotes``."""

    failure_type: int
    failure_phase: int
    failure_step: int
    decisions: int
    retrievals: int
    retrieved_case: int
    retrieved_type: int
    candidate: int
    late_retrievals: int


def _noted(notes: EpisodeNotes) -> list[_Noted]:
    columns = (getattr(notes, name).tolist() for name in _Noted._fields)
    return [_Noted(*row) for row in zip(*columns, strict=True)]


def _record(
    unit: Unit,
    episode: PlannedEpisode,
    words: TruthWords,
    noted: _Noted,
    state_sha: str,
    invalid_reason: str | None,
) -> EpisodeRecord:
    outcome = Outcome.INVALID if words.invalid else Outcome.SUCCESS if words.success else Outcome.FAILURE
    failed = outcome is Outcome.FAILURE
    scenario = episode.scenario
    return EpisodeRecord(
        arm=unit.arm,
        round=unit.round,
        exposure=episode.exposure,
        scenario_id=scenario.id,
        base_scenario_id=episode.base_scenario_id,
        attempt=episode.attempt,
        site=scenario.site,
        task=scenario.task,
        fault=scenario.fault,
        fault_class=str(scenario.fault_class),
        severity=scenario.severity,
        initial_state_sha=state_sha,
        outcome=outcome,
        fault_fired=words.fault_fired,
        failure_type=words.failure_type if failed else None,
        failure_phase=words.failure_phase if failed else None,
        failure_pose_bin=pose_bin(words.failure_pos_b) if failed else None,
        failure_step=words.failure_step if failed else None,
        steps=words.steps,
        peak_obstacle_force_n=_finite(words.peak_obstacle_force_n),
        peak_grip_force_n=_finite(words.peak_grip_force_n),
        agent_failure_type=word_at(FAILURE_TYPES, noted.failure_type),
        agent_failure_phase=word_at(PHASES, noted.failure_phase),
        agent_failure_step=None if noted.failure_step == NOTHING else noted.failure_step,
        decisions=noted.decisions,
        retrievals=noted.retrievals,
        retrieved_type=word_at(FAILURE_TYPES, noted.retrieved_type),
        candidate=word_at(CANDIDATE_NAMES, noted.candidate),
        late_retrievals=noted.late_retrievals,
        penetration_mm=_finite(1e3 * words.penetration_m),
        peak_penetration_mm=_finite(1e3 * words.peak_penetration_m),
        invalid_reason=invalid_reason,
    )


def _finite(value: float) -> float | None:
    """Newtons or millimetres to three digits; None where the physics broke."""
    return round(value, 3) if math.isfinite(value) else None
