"""The implementation guide's fixed blend, ``(1 - alpha) a + alpha a*``: kept as the simplest thing one could do.

An average of two modes is in general neither: between "pass left" and "pass right" lies the obstacle.
"""

from __future__ import annotations

import torch

from flow_rag_vla.agents.corrections.steering.method import keep_unsteered
from flow_rag_vla.agents.policy.flow_matching import FlowMatching

ALPHA = 0.3
"""The guide's weight of the correction, whatever the confidence."""


def blend(
    flow: FlowMatching,
    state: torch.Tensor,
    noise: torch.Tensor,
    correction_chunk: torch.Tensor,
    strength: torch.Tensor,
    base: torch.Tensor | None = None,
) -> torch.Tensor:
    """Chunks (batch, horizon, 7); ``strength`` only says which rows are blended, all with weight ``ALPHA``."""

    def steer(a: torch.Tensor) -> torch.Tensor:
        return (1.0 - ALPHA) * a + ALPHA * correction_chunk

    return keep_unsteered(flow, state, noise, strength, base, steer)
