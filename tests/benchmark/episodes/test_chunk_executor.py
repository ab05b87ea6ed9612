"""Chunks play in time, or as late as the decision was."""

from __future__ import annotations

import pytest
import torch

from flow_rag_vla.benchmark.episodes.chunk_executor import ChunkExecutor


def _chunk(first: float, horizon: int = 4) -> torch.Tensor:
    """One environment; entry k of the chunk is ``first + k`` in every column."""
    return (first + torch.arange(horizon, dtype=torch.float32)).reshape(1, horizon, 1).expand(1, horizon, 7)


def _play(executor: ChunkExecutor, steps: int) -> list[float]:
    return [float(executor.next_action()[0, 0]) for _ in range(steps)]


def test_without_latency_a_chunk_plays_at_once():
    executor = ChunkExecutor(1, 0.0, "cpu")
    executor.submit(_chunk(10))
    assert _play(executor, 2) == [10, 11]
    executor.submit(_chunk(20))
    assert _play(executor, 2) == [20, 21]


def test_while_the_agent_decides_the_rest_of_the_last_chunk_runs():
    executor = ChunkExecutor(1, 60.0, "cpu")
    assert executor.delay_steps == 2
    executor.submit(_chunk(10))
    assert _play(executor, 2) == [0, 0]
    assert _play(executor, 1) == [12]
    executor.submit(_chunk(20))
    assert _play(executor, 3) == [13, 0, 22]


def test_holding_means_zero_motion_and_the_same_grip():
    executor = ChunkExecutor(1, 0.0, "cpu")
    executor.submit(_chunk(5, horizon=1))
    executor.next_action()
    held = executor.next_action()
    assert held[0, :6].tolist() == [0.0] * 6
    assert held[0, 6] == 5.0


@pytest.mark.parametrize(("ms", "steps"), [(0.0, 0), (1.0, 1), (33.0, 1), (34.0, 2), (100.0, 3), (120.0, 4)])
def test_latency_is_rounded_up_to_control_steps(ms, steps):
    assert ChunkExecutor(1, ms, "cpu").delay_steps == steps


def test_a_decision_under_way_is_not_interrupted_by_the_next():
    executor = ChunkExecutor(1, 100.0, "cpu")
    executor.submit(_chunk(10, horizon=6))
    assert executor.is_deciding
    _play(executor, 3)
    assert not executor.is_deciding
    assert _play(executor, 1) == [13]
