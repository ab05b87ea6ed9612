"""The batch-1 latency probe on a pretended CUDA device, where every CUDA run used to end."""

from __future__ import annotations

import pytest
import torch
from pretended_cuda import on_cuda

from flow_rag_vla.agents.arms.registry import all_arms
from flow_rag_vla.benchmark.policies import probe
from flow_rag_vla.tasks.contract import FRONT_VIEW

PICTURE = (FRONT_VIEW.height, FRONT_VIEW.width)


@pytest.fixture(autouse=True)
def few_repetitions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks at the times."""
    monkeypatch.setattr(probe, "WARM_UP", 0)
    monkeypatch.setattr(probe, "EPISODES", 2)


@pytest.mark.parametrize("seeing", [False, True], ids=["state", "pictures"])
def test_single_decisions_of_every_arm_are_timed_on_the_device(
    seeing: bool, cuda: str, parts, memory, networks, fake_fleet
):
    fleet = fake_fleet(9, 9, device=cuda, picture_size=PICTURE)
    fleet.load([], [])
    observation = fleet.observe(images=seeing)
    single = [observation.select(torch.tensor([i], device=cuda)) for i in range(2)]
    arms = [arm for arm in all_arms() if arm.has_policy]
    timings = probe.probe_arms(
        [arm.name for arm in all_arms()],
        parts.policy,
        {arm.name: memory.frozen() for arm in arms if arm.consults_memory},
        parts.settings,
        single,
        lambda done: None,
        on_cuda(networks["cnn"]) if seeing else None,
        decisions=2,
    )
    assert list(timings) == [arm.name for arm in arms]
