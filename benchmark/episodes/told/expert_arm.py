"""The ``expert`` arm: the scripted expert, told every scenario's hazard.  An upper bound, not an agent."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from flow_rag_vla.agents.agent import Capabilities, EpisodeNotes
from flow_rag_vla.tasks.catalogue.registry import get_task
from flow_rag_vla.tasks.env.batches import padded
from flow_rag_vla.tasks.expert.scripted_expert import ExpertPlan, ScriptedExpert, informed_plan

if TYPE_CHECKING:
    from flow_rag_vla.memory.case import FailureCase
    from flow_rag_vla.tasks.contract import Observation
    from flow_rag_vla.tasks.scenarios.scenario import Scenario


class ExpertAgent:
    """Decides every control step (chunks of one action)."""

    execute = 1
    capabilities = Capabilities(told_truth=True)

    def __init__(self, num_envs: int, device: str, informed: bool = True) -> None:
        """An expert that has not been told anything yet; without ``informed`` it never acts on what it is told."""
        self._informed = informed
        self._num_envs, self._device = num_envs, device
        self._expert = ScriptedExpert(num_envs, device)
        self._scenarios: list[Scenario] = []
        self._seconds, self._decisions = 0.0, 0

    def tell(self, scenarios: Sequence[Scenario]) -> None:
        """Reveal the next scenarios; missing ones repeat the first."""
        self._scenarios = padded(scenarios, self._num_envs)

    def reset(self, noise_keys: Sequence[str], attempts: Sequence[int]) -> None:
        """Plan for the hazards that were told."""
        env_ids = torch.arange(self._num_envs, device=self._device)
        task = get_task(self._scenarios[0].task)
        nominal = ExpertPlan.nominal(self._num_envs, self._device, task)
        plan = informed_plan(self._scenarios, self._device) if self._informed else nominal
        self._expert.reset(env_ids, plan)

    def decide(self, observation: Observation, running: torch.Tensor) -> torch.Tensor:
        """Chunks (num_envs, 1, 7)."""
        start = time.perf_counter()
        chunk = self._expert.act(observation).unsqueeze(1)
        self._seconds += time.perf_counter() - start
        self._decisions += 1
        return chunk

    def watch(self, observation: Observation, running: torch.Tensor) -> None:
        """The expert keeps no notes."""

    def notes(self) -> EpisodeNotes:
        """Nothing."""
        return EpisodeNotes.nothing(self._num_envs, self._device)

    def seems_failed(self) -> torch.Tensor:
        """(num_envs,) bool: it does not ask itself."""
        return torch.zeros(self._num_envs, dtype=torch.bool, device=self._device)

    def failures(self) -> dict[int, FailureCase]:
        """Nothing."""
        return {}

    def first_keys(self) -> None:
        """None: it knows what it meets."""

    def decide_seconds(self) -> tuple[float, int]:
        """Seconds spent deciding and the number of decisions."""
        return self._seconds, self._decisions
