"""How long the flow policy takes for a decision: encoder and flow, at one batch size and thread count."""

from __future__ import annotations

import copy
import dataclasses
import time
from typing import TYPE_CHECKING

import numpy as np
import torch

from flow_rag_vla.benchmark.scoring.timing import Percentiles

if TYPE_CHECKING:
    from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
    from flow_rag_vla.tasks.contract import Observation


def timed_devices() -> tuple[str, ...]:
    """The CPU, and the first GPU where there is one."""
    return ("cpu", "cuda:0") if torch.cuda.is_available() else ("cpu",)


def device_name(device: str) -> str:
    """``device`` as a table names it: a GPU by its model."""
    return torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else device


def on_device(policy: PolicyCheckpoint, device: str) -> PolicyCheckpoint:
    """A copy of ``policy`` on ``device``."""
    encoder, flow = copy.deepcopy(policy.encoder).to(device), copy.deepcopy(policy.flow).to(device)
    return dataclasses.replace(policy, encoder=encoder, flow=flow)


def wait_for(device: torch.device) -> None:
    """Return once ``device`` has computed what it was given: only then does a clock say how long that took."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def decision_ms(
    policy: PolicyCheckpoint, observation: Observation, threads: int, repetitions: int, warm_up: int = 10
) -> Percentiles:
    """Milliseconds from ``observation`` to chunks for all its rows, on ``threads`` torch threads or the policy's GPU.

    The first ``warm_up`` decisions do not count.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    rng = torch.Generator().manual_seed(0)
    taken = []
    try:
        for i in range(warm_up + repetitions):
            noise = policy.flow.noise(observation.num_envs, rng)
            wait_for(noise.device)
            start = time.perf_counter()
            policy.flow.generate(policy.encoder.encode(observation), noise)
            wait_for(noise.device)
            if i >= warm_up:
                taken.append(1000.0 * (time.perf_counter() - start))
    finally:
        torch.set_num_threads(before)
    p50, p95, p99 = np.percentile(taken, [50, 95, 99])
    return Percentiles(float(p50), float(p95), float(p99))


def repeated(observation: Observation, batch: int, device: str) -> Observation:
    """``batch`` rows on ``device``, which repeat those of ``observation``."""
    rows = observation.select(torch.arange(batch, device=observation.joint_pos.device) % observation.num_envs)
    tensors = {name: value.to(device) for name, value in vars(rows).items() if isinstance(value, torch.Tensor)}
    return dataclasses.replace(rows, **tensors)
