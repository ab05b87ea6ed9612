"""What the simulator and the agent say of a batch, put into words: one record an episode."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flow_rag_vla.agents.corrections.corrections import CANDIDATE_NAMES
from flow_rag_vla.benchmark.episodes.records import EpisodeRecord, Outcome, pose_bin
from flow_rag_vla.tasks.contract import FAILURE_TYPES, NOTHING, PHASES, words_at

if TYPE_CHECKING:
    from flow_rag_vla.agents.agent import EpisodeNotes
    from flow_rag_vla.benchmark.episodes.plan import PlannedEpisode, Unit
    from flow_rag_vla.tasks.contract import EpisodeTruth


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
    words = truth.columns()
    outcomes = list(map(_outcome, words["invalid"], words["success"]))
    failed = [outcome is Outcome.FAILURE for outcome in outcomes]

    def where_failed(column: Sequence[Any]) -> list[Any]:
        return [value if is_failed else None for value, is_failed in zip(column, failed, strict=True)]

    noted = {name: column.tolist() for name, column in vars(notes).items()}
    scenarios = [episode.scenario for episode in episodes]
    columns: dict[str, Sequence[Any]] = {
        "arm": [unit.arm] * len(episodes),
        "round": [unit.round] * len(episodes),
        "exposure": [episode.exposure for episode in episodes],
        "scenario_id": [scenario.id for scenario in scenarios],
        "base_scenario_id": [episode.base_scenario_id for episode in episodes],
        "attempt": [episode.attempt for episode in episodes],
        "site": [scenario.site for scenario in scenarios],
        "task": [scenario.task for scenario in scenarios],
        "fault": [scenario.fault for scenario in scenarios],
        "fault_class": [scenario.fault_class.value for scenario in scenarios],
        "severity": [scenario.severity for scenario in scenarios],
        "initial_state_sha": state_shas,
        "outcome": outcomes,
        "fault_fired": words["fault_fired"],
        "failure_type": where_failed(words["failure_type"]),
        "failure_phase": where_failed(words["failure_phase"]),
        "failure_pose_bin": [
            pose_bin(position) if is_failed else None
            for position, is_failed in zip(words["failure_pos_b"], failed, strict=True)
        ],
        "failure_step": where_failed(words["failure_step"]),
        "steps": words["steps"],
        "peak_obstacle_force_n": _finite(words["peak_obstacle_force_n"]),
        "peak_grip_force_n": _finite(words["peak_grip_force_n"]),
        "agent_failure_type": words_at(FAILURE_TYPES, noted["failure_type"]),
        "agent_failure_phase": words_at(PHASES, noted["failure_phase"]),
        "agent_failure_step": [None if step == NOTHING else step for step in noted["failure_step"]],
        "decisions": noted["decisions"],
        "retrievals": noted["retrievals"],
        "retrieved_type": words_at(FAILURE_TYPES, noted["retrieved_type"]),
        "candidate": words_at(CANDIDATE_NAMES, noted["candidate"]),
        "late_retrievals": noted["late_retrievals"],
        "penetration_mm": _finite([1e3 * depth_m for depth_m in words["penetration_m"]]),
        "peak_penetration_mm": _finite([1e3 * depth_m for depth_m in words["peak_penetration_m"]]),
        "invalid_reason": invalid_reasons,
        "steered": noted["steered"],
        "off_support": noted["off_support"],
    }
    return EpisodeRecord.from_columns({name: column[: len(episodes)] for name, column in columns.items()})


def _outcome(invalid: bool, success: bool) -> Outcome:
    return Outcome.INVALID if invalid else Outcome.SUCCESS if success else Outcome.FAILURE


def _finite(values: Sequence[float]) -> list[float | None]:
    """Newtons or millimetres to three digits; None where the physics broke."""
    return [round(value, 3) if math.isfinite(value) else None for value in values]
