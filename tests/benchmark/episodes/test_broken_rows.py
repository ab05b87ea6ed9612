"""A policy that puts out what is no number for one environment of several."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from flow_rag_vla.benchmark.episodes.chunk_executor import ChunkExecutor, play_agent


class Broken:
    """Does as ``agent`` does, but for one entry of one row of a chunk."""

    def __init__(self, agent, decision: int, row: int, entry: tuple[int, int], value: float) -> None:
        self._agent, self.execute, self.capabilities = agent, agent.execute, agent.capabilities
        self._decision, self._row, self._entry, self._value = decision, row, entry, value
        self._count = 0

    def __getattr__(self, name):
        return getattr(self._agent, name)

    def decide(self, observation, running):
        chunk = self._agent.decide(observation, running).clone()
        if self._count == self._decision:
            chunk[self._row, self._entry[0], self._entry[1]] = self._value
        self._count += 1
        return chunk


def actions_of(fleet, agent, delay_ms: float) -> torch.Tensor:
    """(steps, num_envs, 7)."""
    scenarios = [None] * fleet.num_envs
    fleet.load(scenarios, [0] * fleet.num_envs)
    agent.reset = lambda keys, attempts: None
    named: Any = [Named() for _ in scenarios]
    play_agent(fleet, agent, named, [0] * fleet.num_envs, delay_ms)
    return torch.stack(fleet.actions)


class Named:
    noise_key = "a scenario"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("entry", [(0, 0), (7, 6)])
@pytest.mark.parametrize(("delay_ms", "first"), [(0.0, 4), (60.0, 6)])
def test_a_chunk_with_one_entry_that_is_no_number_is_none_from_its_first_action_on(
    fake_fleet, fake_agent, value, entry, delay_ms, first
):
    """The second decision is taken at step 4, and at 30 Hz 60 ms are two steps."""
    whole, fleet = fake_fleet(12, 12, 12), fake_fleet(12, 12, 12)
    expected = actions_of(whole, fake_agent(whole), delay_ms)
    actions = actions_of(fleet, Broken(fake_agent(fleet), 1, 1, entry, value), delay_ms)
    assert torch.equal(actions[:, [0, 2]], expected[:, [0, 2]])
    assert torch.equal(actions[:first, 1], expected[:first, 1])
    assert actions[first : first + 4, 1].isnan().all()


def test_a_chunk_of_numbers_is_played_bit_by_bit():
    chunk = torch.randn(2, 3, 7)
    executor = ChunkExecutor(2, 0.0, "cpu")
    executor.submit(chunk)
    assert torch.equal(torch.stack([executor.next_action() for _ in range(3)], dim=1), chunk)
