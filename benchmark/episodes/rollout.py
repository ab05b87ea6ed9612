"""Runs planned episodes: a fixed scenario per environment and batch, nobody refills a slot early.

"First N finished" would favour quick episodes; here every planned episode runs to its own end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flow_rag_vla.agents.corrections.corrections import CANDIDATES
from flow_rag_vla.benchmark.episodes.chunk_executor import play_agent
from flow_rag_vla.benchmark.episodes.records import EpisodeRecord, Outcome, pose_bin
from flow_rag_vla.tasks.contract import FAILURE_TYPES, NOTHING, PHASES
from flow_rag_vla.tasks.env.batches import padded

if TYPE_CHECKING:
    import torch

    from flow_rag_vla.agents.agent import Agent, EpisodeNotes
    from flow_rag_vla.benchmark.episodes.plan import PlannedEpisode, Unit
    from flow_rag_vla.memory.case import FailureCase
    from flow_rag_vla.tasks.contract import TruthWords
    from flow_rag_vla.tasks.env.fleet import Fleet
    from flow_rag_vla.tasks.env.play import PlayedStep


@dataclass(frozen=True)
class BatchResult:
    """What one batch of episodes left behind, padding removed."""

    records: list[EpisodeRecord]
    failures: dict[str, FailureCase]
    """Scenario id to the failure that the agent wants to remember, in plan order."""
    uses: list[tuple[int, int, bool]]
    """(case id, candidate, helped) of the episodes that a retrieved case steered, in plan order."""


def run_batch(
    fleet: Fleet,
    agent: Agent,
    unit: Unit,
    episodes: Sequence[PlannedEpisode],
    delay_ms: float,
    on_step: Callable[[int], None] | None = None,
) -> BatchResult:
    """Run up to ``num_envs`` planned episodes side by side, padded to the fleet's size where there are fewer.

    Args:
        fleet: Of ``unit.num_envs`` environments.
        agent: Decides for all of them.
        unit: The unit that the episodes belong to.
        episodes: At most ``num_envs`` of them.
        delay_ms: Decision latency in simulated time.
        on_step: Called after each control step with the number of episodes that have ended.

    Raises:
        ValueError: no episode, or more than environments.
    """
    count = len(episodes)
    rows = padded(episodes, fleet.num_envs)
    scenarios, attempts = [e.scenario for e in rows], [e.attempt for e in rows]
    fleet.load(scenarios, attempts)
    state_shas = fleet.initial_state_shas()

    def tell_progress(played: PlayedStep) -> None:
        if on_step is not None:
            on_step(played.ended)

    play_agent(fleet, agent, scenarios, attempts, delay_ms, after_step=tell_progress, count=count)
    truth, notes = fleet.truth, agent.notes()
    records = [_record(unit, episode, i, truth.row(i), notes, state_shas[i]) for i, episode in enumerate(episodes)]
    records = [replace(r, invalid_reason=why) for r, why in zip(records, fleet.explain_invalid(), strict=False)]
    failures = agent.failures() if agent.capabilities.remembers else {}
    failed = agent.seems_failed()
    uses = [
        (int(notes.retrieved_case[i]), int(notes.candidate[i]), not bool(failed[i]))
        for i in range(count)
        if int(notes.candidate[i]) != NOTHING and records[i].valid
    ]
    return BatchResult(
        records=records,
        failures={episodes[i].scenario.id: failures[i] for i in range(count) if i in failures and records[i].valid},
        uses=uses,
    )


def _name(names: Sequence[str], index: torch.Tensor) -> str | None:
    return None if int(index) == NOTHING else str(names[int(index)])


def _record(
    unit: Unit,
    episode: PlannedEpisode,
    i: int,
    words: TruthWords,
    notes: EpisodeNotes,
    state_sha: str,
) -> EpisodeRecord:
    outcome = Outcome.INVALID if words.invalid else Outcome.SUCCESS if words.success else Outcome.FAILURE
    failed = outcome is Outcome.FAILURE
    scenario = episode.scenario
    candidate = int(notes.candidate[i])
    noticed = int(notes.failure_step[i])
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
        penetration_mm=_finite(1e3 * words.penetration_m),
        peak_penetration_mm=_finite(1e3 * words.peak_penetration_m),
        agent_failure_type=_name(FAILURE_TYPES, notes.failure_type[i]),
        agent_failure_phase=_name(PHASES, notes.failure_phase[i]),
        agent_failure_step=None if noticed == NOTHING else noticed,
        decisions=int(notes.decisions[i]),
        retrievals=int(notes.retrievals[i]),
        retrieved_type=_name(FAILURE_TYPES, notes.retrieved_type[i]),
        candidate=None if candidate == NOTHING else CANDIDATES[candidate].name,
        late_retrievals=int(notes.late_retrievals[i]),
    )


def _finite(value: float) -> float | None:
    """Newtons or millimetres to three digits; None where the physics broke."""
    return round(value, 3) if math.isfinite(value) else None
