"""The signature that all steering methods share, and what they have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch

from flow_rag_vla.agents.policy.flow_matching import FlowMatching

STRENGTH_EXPONENT = 0.25
"""``strength = reliability ** 0.25``: advice that passed the gate steers firmly, certainty adds the rest."""


def strength_of(reliability: torch.Tensor) -> torch.Tensor:
    """How strongly to follow advice of ``reliability`` (batch,): from 0 to 1, whatever is put in."""
    return reliability.clamp(0.0, 1.0) ** STRENGTH_EXPONENT


class SteeringMethod(Protocol):
    """Chunks (batch, horizon, 7) of the flow, steered where ``strength`` (batch,) is above 0."""

    def __call__(
        self,
        flow: FlowMatching,
        state: torch.Tensor,
        noise: torch.Tensor,
        correction_chunk: torch.Tensor,
        strength: torch.Tensor,
        base: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Steer; see the package's docstring for shapes."""
        ...


def keep_unsteered(
    flow: FlowMatching,
    state: torch.Tensor,
    noise: torch.Tensor,
    strength: torch.Tensor,
    base: torch.Tensor | None,
    steer: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """``steer(base)`` where ``strength`` is above 0, else the policy's own chunk; (batch, horizon, 7).

    ``strength`` is from 0 to 1 by construction (``strength_of``): to look would be to wait for the device.

    Raises:
        ValueError: not one strength for each row.
    """
    if strength.shape != (len(state),):
        raise ValueError(f"strength: expected shape ({len(state)},), got {tuple(strength.shape)}")
    if base is None:
        base = flow.generate(state, noise)
    return torch.where((strength > 0).reshape(-1, 1, 1), steer(base), base)
