"""Negative memory flow: away from a chunk that failed, when nothing better is known.

The flow of remembered chunks ``a_j`` with weights ``pi_j`` and bandwidth ``h`` is exact (a mixture of Gaussians on the
linear path): ``w_j ~ pi_j N(x; t a_j, s I)`` with ``s = (1 - t)^2 + t^2 h^2``,
``E[a | x] = sum_j w_j (a_j + t h^2 / s (x - t a_j))`` and ``v_mem = (E[a | x] - x) / (1 - t)``.  The policy's velocity
is guided away from it, ``v' = v - g (1 - t) (v_mem - v)``: velocities of Gaussian paths combine like scores, so this is
classifier-free guidance with the failures as negative prompt, tapered so that the mode is chosen early and the policy
refines late.
"""

from __future__ import annotations

import torch

from flow_rag_vla.agents.corrections.steering.method import keep_unsteered
from flow_rag_vla.agents.policy.flow_matching import FlowMatching

MAX_GUIDANCE = 2.0
"""Guidance ``g`` at full strength."""

BANDWIDTH = 0.5
"""Spread ``h`` of a remembered chunk, in normalised action units."""


def expected_chunk(
    x: torch.Tensor, t: torch.Tensor, chunks: torch.Tensor, weights: torch.Tensor, bandwidth: float
) -> torch.Tensor:
    """``E[a | x]`` (batch, horizon, action_dim) of the memory's flow.

    Args:
        x: (batch, horizon, action_dim) state of the ODE, normalised units.
        t: (batch, 1) time.
        chunks: (batch, k, horizon, action_dim) remembered chunks, normalised units.
        weights: (batch, k) non-negative weights.
        bandwidth: Spread of each chunk.
    """
    t = t.reshape(-1, 1, 1, 1)
    s = (1.0 - t) ** 2 + (t * bandwidth) ** 2
    offset = x.unsqueeze(1) - t * chunks
    log_w = weights.log() - 0.5 * (offset**2 / s).flatten(2).sum(dim=2)
    w = torch.softmax(log_w, dim=1)[:, :, None, None]
    return (w * (chunks + t * bandwidth**2 / s * offset)).sum(dim=1)


def negative(
    flow: FlowMatching,
    state: torch.Tensor,
    noise: torch.Tensor,
    correction_chunk: torch.Tensor,
    strength: torch.Tensor,
    base: torch.Tensor | None = None,
) -> torch.Tensor:
    """Chunks (batch, horizon, 7) away from ``correction_chunk``, which here is the chunk that *failed*."""
    failed = flow.normalise(correction_chunk).unsqueeze(1)
    weights = torch.ones(len(state), 1, device=state.device)
    guidance = (MAX_GUIDANCE * strength).reshape(-1, 1, 1)
    policy_v = flow.velocity_field(state)

    def v_away(t: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        v = policy_v(t, x)
        # (1 - t) v_mem = E[a | x] - x has no pole at t = 1.
        pull = expected_chunk(x, t, failed, weights, BANDWIDTH) - x - (1.0 - t.unsqueeze(2)) * v
        return v - guidance * pull

    def steer(_base: torch.Tensor) -> torch.Tensor:
        return flow.generate(state, noise, field=v_away)

    return keep_unsteered(flow, state, noise, strength, base, steer)
