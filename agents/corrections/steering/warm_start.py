"""Partial-noise warm start: begin the ODE part of the way, at the retrieved correction.

``x_t0 = (1 - t0) e + t0 a*``, integrated from ``t0`` to 1 (SDEdit, Meng et al. 2022, applied to actions).  The network
refines the correction into a chunk that it knows, so that the result stays on the support of the demonstrations; the
larger ``t0``, the less it can undo.
"""

from __future__ import annotations

import torch

from flow_rag_vla.agents.corrections.steering.method import keep_unsteered
from flow_rag_vla.agents.policy.flow_matching import FlowMatching

MAX_START = 0.95
"""``t0`` at full strength; the network still has the last stretch to make the chunk consistent."""


def start_time(strength: torch.Tensor, max_start: float = MAX_START) -> torch.Tensor:
    """``t0 = max_start * strength`` (batch,): later the more the correction is trusted."""
    return max_start * strength


def warm_start(
    flow: FlowMatching,
    state: torch.Tensor,
    noise: torch.Tensor,
    correction_chunk: torch.Tensor,
    strength: torch.Tensor,
    base: torch.Tensor | None = None,
) -> torch.Tensor:
    """Chunks (batch, horizon, 7) grown from the correction; see the package's docstring for shapes."""

    def steer(_base: torch.Tensor) -> torch.Tensor:
        t0 = start_time(strength)
        t = t0.reshape(-1, 1, 1)
        x_t0 = (1.0 - t) * noise + t * flow.normalise(correction_chunk)
        return flow.generate(state, x_t0, t0=t0)

    return keep_unsteered(flow, state, noise, strength, base, steer)
