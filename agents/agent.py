"""What the benchmark asks of anything that acts: one decision for all environments at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch

from flow_rag_vla.tasks.contract import NOTHING

if TYPE_CHECKING:
    from flow_rag_vla.memory.case import FailureCase
    from flow_rag_vla.tasks.contract import Observation


def where_rows[R](rows: torch.Tensor, new: R, old: R) -> R:
    """``new`` in ``rows`` (num_envs,) bool, ``old`` elsewhere: both are records of columns (num_envs,)."""
    pairs = zip(vars(new).values(), vars(old).values(), strict=True)
    return type(old)(*(torch.where(rows, after, before) for after, before in pairs))


@dataclass(frozen=True)
class EpisodeNotes:
    """What an agent itself can say of its episodes, one row per environment; all from sensed quantities."""

    failure_type: torch.Tensor
    """(num_envs,) int64 index into ``FAILURE_TYPES`` of the first failure noticed."""
    failure_phase: torch.Tensor
    """(num_envs,) int64 index into ``PHASES``."""
    failure_step: torch.Tensor
    """(num_envs,) int64 control step."""
    decisions: torch.Tensor
    """(num_envs,) int64 decisions taken while the episode ran."""
    retrievals: torch.Tensor
    """(num_envs,) int64 decisions for which a case passed the confidence gate."""
    retrieved_case: torch.Tensor
    """(num_envs,) int64 id of the case that steered the episode."""
    retrieved_type: torch.Tensor
    """(num_envs,) int64 index into ``FAILURE_TYPES`` of that case."""
    candidate: torch.Tensor
    """(num_envs,) int64 correction candidate that steered the episode."""
    late_retrievals: torch.Tensor
    """(num_envs,) int64 retrievals that missed their decision."""
    uplift: torch.Tensor
    """(num_envs,) float32 lower bound of the gain that the advice taken promised; 0 without."""
    felt: torch.Tensor
    """(num_envs,) bool: a failure had been noticed when advice was taken; ever, where none was and no second try of the
    agent's own mended it."""
    steered: torch.Tensor
    """(num_envs,) int64 decisions whose chunk was steered, of those that were looked at."""
    off_support: torch.Tensor
    """(num_envs,) int64 of these, chunks that the flow would hardly have made (``steering.support``)."""

    @classmethod
    def nothing(cls, num_envs: int, device: str = "cpu") -> EpisodeNotes:
        """Notes of an agent that keeps none."""

        def column(value: int) -> torch.Tensor:
            return torch.full((num_envs,), value, dtype=torch.long, device=device)

        none, zero, no_gain = NOTHING, 0, torch.zeros(num_envs, device=device)
        columns = [column(v) for v in (none, none, none, zero, zero, none, none, none, zero)]
        return cls(*columns, uplift=no_gain, felt=no_gain > 0, steered=column(zero), off_support=column(zero))


@dataclass(frozen=True)
class Capabilities:
    """What an agent needs of whoever runs it, and what can be had from it."""

    needs_images: bool = False
    """Decides on pictures: observations for ``decide`` must hold them, those for ``watch`` need not."""
    told_truth: bool = False
    """Is no agent but a bound: ``tell`` reveals the scenarios to it before each ``reset``."""
    remembers: bool = False
    """``failures`` are kept, for a memory."""


class Agent(Protocol):
    """Acts in all environments at once and keeps notes private to each."""

    execute: int
    """Actions of a chunk that run before the next decision."""

    @property
    def capabilities(self) -> Capabilities:
        """Needs and abilities; they never change."""
        ...

    def tell(self, scenarios: Sequence[Any]) -> None:
        """Reveal the scenarios, one per environment, of the episodes that ``reset`` will start.

        Args:
            scenarios: The simulation's own, which no other agent knows of; missing ones repeat the first.

        Raises:
            ValueError: the agent's capabilities say that it is not told the truth.
        """
        ...

    def reset(self, noise_keys: Sequence[str], attempts: Sequence[int]) -> None:
        """Start one episode per environment; keys and attempts name the policy's noise streams."""
        ...

    def decide(self, observation: Observation, running: torch.Tensor) -> torch.Tensor:
        """Chunks (num_envs, horizon, 7) for this observation; rows that do not run are ignored."""
        ...

    def watch(self, observation: Observation, running: torch.Tensor) -> None:
        """Take in what was sensed after one control step."""
        ...

    def notes(self) -> EpisodeNotes:
        """What was noticed in the episodes so far."""
        ...

    def seems_failed(self) -> torch.Tensor:
        """(num_envs,) bool: what the agent itself takes for a failed episode."""
        ...

    def failures(self) -> dict[int, FailureCase]:
        """Environment id to the failure worth remembering, of the episodes that seem to have failed."""
        ...

    def first_keys(self) -> torch.Tensor | None:
        """(num_envs, embedding_dim) memory keys of what the episodes began in; None where none are made."""
        ...

    def decide_seconds(self) -> tuple[float, int]:
        """Seconds spent in ``decide`` so far, and how many calls that were."""
        ...


class WrappedAgent:
    """Does as ``agent`` does; subclasses change what it is shown or what is kept of it."""

    def __init__(self, agent: Agent) -> None:
        """Wrap ``agent``."""
        self._agent = agent
        self.execute = agent.execute

    @property
    def capabilities(self) -> Capabilities:
        """Those of the agent."""
        return self._agent.capabilities

    def tell(self, scenarios: Sequence[Any]) -> None:
        """Pass the truth on; errors are those of the agent."""
        self._agent.tell(scenarios)

    def reset(self, noise_keys: Sequence[str], attempts: Sequence[int]) -> None:
        """Start one episode per environment."""
        self._agent.reset(noise_keys, attempts)

    def decide(self, observation: Observation, running: torch.Tensor) -> torch.Tensor:
        """Chunks (num_envs, horizon, 7)."""
        return self._agent.decide(observation, running)

    def watch(self, observation: Observation, running: torch.Tensor) -> None:
        """Take in what was sensed after one control step."""
        self._agent.watch(observation, running)

    def notes(self) -> EpisodeNotes:
        """Those of the agent."""
        return self._agent.notes()

    def seems_failed(self) -> torch.Tensor:
        """(num_envs,) bool: what the agent itself takes for a failed episode."""
        return self._agent.seems_failed()

    def failures(self) -> dict[int, FailureCase]:
        """Those of the agent."""
        return self._agent.failures()

    def first_keys(self) -> torch.Tensor | None:
        """Those of the agent."""
        return self._agent.first_keys()

    def decide_seconds(self) -> tuple[float, int]:
        """Seconds spent deciding, and the number of decisions."""
        return self._agent.decide_seconds()
