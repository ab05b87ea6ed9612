"""Runs planned episodes: a fixed scenario per environment and wave, nobody refills a slot early.

"First N finished" would favour quick episodes; here every planned episode runs to its own end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from flow_rag_vla.agents.corrections.corrections import CANDIDATES
from flow_rag_vla.benchmark.episodes.records import EpisodeRecord, Outcome, pose_bin
from flow_rag_vla.tasks.contract import CONTROL_HZ, FAILURE_TYPES, NOTHING, PHASES

if TYPE_CHECKING:
    from flow_rag_vla.agents.agent import Agent, EpisodeNotes
    from flow_rag_vla.benchmark.episodes.plan import PlannedEpisode, Unit
    from flow_rag_vla.memory.case import FailureCase
    from flow_rag_vla.tasks.contract import EpisodeTruth
    from flow_rag_vla.tasks.env.manipulation_env import ManipulationEnv


@dataclass(frozen=True)
class Wave:
    """What one wave of episodes left behind, padding removed."""

    records: list[EpisodeRecord]
    failures: dict[str, FailureCase]
    """Scenario id to the failure that the agent wants to remember, in plan order."""
    uses: list[tuple[int, int, bool]]
    """(case id, candidate, helped) of the episodes that a retrieved case steered, in plan order."""


class ChunkExecutor:
    """Plays action chunks, late by the agent's decision latency.

    While the agent decides, the rest of the previous chunk runs; where that has run out the pose target is held
    (zero delta, same grip).
    """

    def __init__(self, num_envs: int, delay_ms: float, device: str) -> None:
        """``delay_ms`` of latency a decision, rounded up to whole control steps."""
        self.delay_steps = math.ceil(delay_ms * CONTROL_HZ / 1000.0 - 1e-9)
        self._hold = torch.zeros(num_envs, 7, device=device)
        self._running: torch.Tensor | None = None
        self._pending: torch.Tensor | None = None
        self._age = 0
        self._pending_age = 0

    @property
    def is_deciding(self) -> bool:
        """A decision is still under way: no other can be started."""
        return self._pending is not None and self._pending_age < self.delay_steps

    def submit(self, chunk: torch.Tensor) -> None:
        """A decision was started now and will answer ``chunk`` (num_envs, horizon, 7)."""
        self._take_over()
        self._pending, self._pending_age = chunk, 0

    def _take_over(self) -> None:
        """Let the decision that has come due replace the chunk that runs."""
        if self._pending is not None and not self.is_deciding:
            # Its first actions were meant for the time that deciding took.
            self._running, self._age, self._pending = self._pending, self._pending_age, None

    def next_action(self) -> torch.Tensor:
        """The action (num_envs, 7) of this control step."""
        self._take_over()
        action = self._hold
        if self._running is not None and self._age < self._running.shape[1]:
            action = self._running[:, self._age]
        self._age += 1
        self._pending_age += 1
        self._hold = torch.cat([torch.zeros_like(action[:, :6]), action[:, 6:]], dim=1)
        return action


def run_wave(
    env: ManipulationEnv,
    agent: Agent,
    unit: Unit,
    episodes: Sequence[PlannedEpisode],
    delay_ms: float,
    on_step: Callable[[int], None] | None = None,
    *,
    images: bool = False,
) -> Wave:
    """Run up to ``num_envs`` planned episodes side by side.

    Short waves are padded with copies of their first episode, so that the batch, and with it every bit of the
    result, is the same wherever the unit runs.

    Args:
        env: A fleet of ``unit.num_envs`` environments.
        agent: Decides for all of them.
        unit: The unit that the episodes belong to.
        episodes: At most ``num_envs`` of them.
        delay_ms: Decision latency in simulated time.
        on_step: Called after each control step with the number of episodes that have ended.
        images: Decisions are taken on the camera's pictures; rendered for decisions alone, since that dominates.
    """
    count, num_envs = len(episodes), env.num_envs
    padded = list(episodes) + [episodes[0]] * (num_envs - count)
    scenarios = [e.scenario for e in padded]
    attempts = [e.attempt for e in padded]
    observation = env.load(scenarios, attempts)
    state_shas = env.initial_state_shas()
    agent.reset([s.noise_key for s in scenarios], attempts)
    executor = ChunkExecutor(num_envs, delay_ms, str(env.device))
    decided = -agent.execute
    for step in range(env.max_episode_length):
        running = ~env.done
        # Latency that outlasts the executed actions delays the next decision.
        if step - decided >= agent.execute and not executor.is_deciding:
            executor.submit(agent.decide(env.observe(images=True) if images else observation, running))
            decided = step
        env.step(executor.next_action())
        observation = env.observe()
        agent.watch(observation, running)
        ended = int(env.done[:count].sum())
        if on_step is not None:
            on_step(ended)
        if ended == count:
            break
    truth, notes = env.truth, agent.notes()
    records = [_record(unit, episode, i, truth, notes, state_shas[i]) for i, episode in enumerate(episodes)]
    records = [replace(r, invalid_reason=why) for r, why in zip(records, env.explain_invalid(), strict=False)]
    failures, failed = agent.failures(), agent.seems_failed()
    uses = [
        (int(notes.retrieved_case[i]), int(notes.candidate[i]), not bool(failed[i]))
        for i in range(count)
        if int(notes.candidate[i]) != NOTHING and records[i].valid
    ]
    return Wave(
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
    truth: EpisodeTruth,
    notes: EpisodeNotes,
    state_sha: str,
) -> EpisodeRecord:
    outcome = Outcome.INVALID if truth.invalid[i] else Outcome.SUCCESS if truth.success[i] else Outcome.FAILURE
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
        fault_fired=bool(truth.fault_fired[i]),
        failure_type=_name(FAILURE_TYPES, truth.failure_type[i]) if failed else None,
        failure_phase=_name(PHASES, truth.failure_phase[i]) if failed else None,
        failure_pose_bin=pose_bin(truth.failure_pos_b[i].tolist()) if failed else None,
        failure_step=int(truth.failure_step[i]) if failed else None,
        steps=int(truth.steps[i]),
        peak_obstacle_force_n=_finite(truth.peak_obstacle_force_n[i]),
        peak_grip_force_n=_finite(truth.peak_grip_force_n[i]),
        agent_failure_type=_name(FAILURE_TYPES, notes.failure_type[i]),
        agent_failure_phase=_name(PHASES, notes.failure_phase[i]),
        agent_failure_step=None if noticed == NOTHING else noticed,
        decisions=int(notes.decisions[i]),
        retrievals=int(notes.retrievals[i]),
        retrieved_type=_name(FAILURE_TYPES, notes.retrieved_type[i]),
        candidate=None if candidate == NOTHING else CANDIDATES[candidate].name,
        late_retrievals=int(notes.late_retrievals[i]),
    )


def _finite(value: torch.Tensor) -> float | None:
    """Newtons to three digits; None where the physics broke."""
    return round(float(value), 3) if math.isfinite(float(value)) else None
