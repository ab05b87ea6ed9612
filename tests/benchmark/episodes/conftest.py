"""An agent without a policy."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from flow_rag_vla.agents.agent import Capabilities, EpisodeNotes


class FakeAgent:
    """Writes down what is asked of it; entry k of its n-th chunk is 100 n + k, counting decisions from 1."""

    execute = 4

    def __init__(self, num_envs: int, capabilities: Capabilities, calls: list[str]) -> None:
        self.capabilities, self.calls = capabilities, calls
        self.told, self.noise_keys, self.attempts = [], [], []
        self.decided_on, self.watched = [], []
        self._num_envs, self._decisions = num_envs, 0

    def tell(self, scenarios):
        self.told = list(scenarios)
        self.calls.append("tell")

    def reset(self, noise_keys, attempts):
        self.noise_keys, self.attempts = list(noise_keys), list(attempts)
        self.calls.append("reset")

    def decide(self, observation, running):
        self.decided_on.append((observation, running.tolist()))
        self._decisions += 1
        self.calls.append("decide")
        entries = 100.0 * self._decisions + torch.arange(8.0)
        return entries.reshape(1, 8, 1).expand(self._num_envs, 8, 7)

    def watch(self, observation, running):
        self.watched.append((observation, running.tolist()))
        self.calls.append("watch")

    def notes(self):
        return EpisodeNotes.nothing(self._num_envs)

    def seems_failed(self):
        return torch.zeros(self._num_envs, dtype=torch.bool)

    def failures(self):
        return {i: f"case {i}" for i in range(self._num_envs)}

    def first_keys(self):
        return torch.eye(self._num_envs)

    def decide_seconds(self):
        return 0.0, self._decisions


@pytest.fixture
def fake_agent() -> Callable[..., FakeAgent]:
    """A maker of agents for a fake fleet, whose list of calls they share."""

    def make(fleet, **capabilities: bool) -> FakeAgent:
        return FakeAgent(fleet.num_envs, Capabilities(**capabilities), fleet.calls)

    return make
