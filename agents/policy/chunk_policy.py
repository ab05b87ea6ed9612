"""Where action chunks come from: the flow, demonstrations, the flow in another runtime, or nowhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from flow_rag_vla.agents.policy.features import policy_features
from flow_rag_vla.tasks.contract import NOMINAL_GRIP

if TYPE_CHECKING:
    from flow_rag_vla.tasks.contract import Observation

type ChunkPolicy = Callable[[Observation, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""Observation and noise to (state embedding (n, 512), chunk (n, horizon, 7))."""


def hold_still(observation: Observation, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Policy features and chunks (num_envs, horizon, 7) of no motion with an open hand, as it was in the beginning."""
    chunk = torch.zeros_like(noise)
    chunk[:, :, 6] = NOMINAL_GRIP
    return policy_features(observation), chunk
