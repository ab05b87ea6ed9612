"""How long the flow policy takes for a decision: encoder and flow, at one batch size and thread count."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import torch

from flow_rag_vla.benchmark.scoring.timing import Percentiles

if TYPE_CHECKING:
    from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
    from flow_rag_vla.tasks.contract import Observation


def decision_ms(
    policy: PolicyCheckpoint, observation: Observation, threads: int, repetitions: int, warm_up: int = 10
) -> Percentiles:
    """Milliseconds from ``observation`` to chunks for all its rows, on ``threads`` torch threads.

    The first ``warm_up`` decisions do not count.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    rng = torch.Generator().manual_seed(0)
    taken = []
    try:
        for i in range(warm_up + repetitions):
            noise = policy.flow.noise(observation.num_envs, rng)
            start = time.perf_counter()
            policy.flow.generate(policy.encoder.encode(observation), noise)
            if i >= warm_up:
                taken.append(1000.0 * (time.perf_counter() - start))
    finally:
        torch.set_num_threads(before)
    p50, p95, p99 = np.percentile(taken, [50, 95, 99])
    return Percentiles(float(p50), float(p95), float(p99))


def repeated(observation: Observation, batch: int) -> Observation:
    """``batch`` rows, which repeat those of ``observation``."""
    return observation.select(torch.arange(batch, device=observation.joint_pos.device) % observation.num_envs)
