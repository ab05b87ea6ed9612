"""Runs planned episodes: a fixed scenario per environment and batch, nobody refills a slot early.

"First N finished" would favour quick episodes; here every planned episode runs to its own end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from flow_rag_vla.benchmark.episodes.batch_records import batch_records
from flow_rag_vla.benchmark.episodes.chunk_executor import play_agent
from flow_rag_vla.tasks.contract import NOTHING
from flow_rag_vla.tasks.env.batches import batches, padded

if TYPE_CHECKING:
    from flow_rag_vla.agents.agent import Agent, EpisodeNotes
    from flow_rag_vla.benchmark.episodes.plan import PlannedEpisode, Unit
    from flow_rag_vla.benchmark.episodes.records import EpisodeRecord
    from flow_rag_vla.memory.case import FailureCase, Float32Array
    from flow_rag_vla.tasks.env.fleet import Fleet
    from flow_rag_vla.tasks.env.play import PlayedStep


@dataclass(frozen=True)
class Exposed:
    """One episode, as its agent saw it."""

    key: Float32Array
    """(embedding_dim,) what it began in."""
    candidate: int
    """The correction tried; 0 for none."""
    felt: bool
    """A failure had been noticed when it was taken; ever, where none was."""
    worked: bool


@dataclass(frozen=True)
class BatchResult:
    """What one batch of episodes left behind, padding removed."""

    records: list[EpisodeRecord]
    failures: dict[str, FailureCase]
    """Scenario id to the failure that the agent wants to remember, in plan order."""
    uses: list[tuple[int, int, bool]]
    """(case id, candidate, helped) of the episodes that a retrieved case steered, in plan order."""
    exposures: dict[str, Exposed]
    """Scenario id to what the agent can say of the episode, failed or not, in plan order."""


def run_batches(
    fleet: Fleet,
    agent: Agent,
    unit: Unit,
    delay_ms: float,
    on_step: Callable[[int], None] | None = None,
) -> Iterator[BatchResult]:
    """Run the episodes of ``unit``, as many side by side as ``fleet`` has environments.

    Each batch is yielded when it has ended, with ``agent`` as it left it.  ``on_step`` is called after each control
    step with the number of the unit's episodes that have ended; other arguments and errors as in ``run_batch``.
    """
    for batch in batches(unit.episodes, fleet.num_envs):

        def tell_progress(ended: int, before: int = batch.first) -> None:
            if on_step is not None:
                on_step(before + ended)

        yield run_batch(fleet, agent, unit, batch.entries, delay_ms, tell_progress)


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
    notes = agent.notes()
    records = batch_records(unit, episodes, fleet.truth, notes, state_shas, fleet.explain_invalid())
    failures = agent.failures() if agent.capabilities.remembers else {}
    seems_failed = agent.seems_failed().tolist()
    steered = zip(notes.retrieved_case.tolist(), notes.candidate.tolist(), seems_failed, records, strict=False)
    keys = agent.first_keys() if agent.capabilities.remembers else None
    return BatchResult(
        records=records,
        failures={episodes[i].scenario.id: failures[i] for i in range(count) if i in failures and records[i].valid},
        uses=[
            (case, candidate, not failed)
            for case, candidate, failed, record in steered
            if candidate != NOTHING and record.valid
        ],
        exposures={} if keys is None else _exposures(episodes, keys, notes, seems_failed, records),
    )


def _exposures(
    episodes: Sequence[PlannedEpisode],
    keys: torch.Tensor,
    notes: EpisodeNotes,
    seems_failed: Sequence[bool],
    records: Sequence[EpisodeRecord],
) -> dict[str, Exposed]:
    tried = notes.candidate.clamp(min=0).tolist()
    rows = zip(episodes, keys.cpu().numpy(), tried, notes.felt.tolist(), seems_failed, records, strict=False)
    return {
        e.scenario.id: Exposed(key, candidate, felt, not failed)
        for e, key, candidate, felt, failed, record in rows
        if record.valid
    }
