"""Where action chunks come from: the flow, demonstrations, or the flow in another runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from flow_rag_vla.tasks.contract import Observation

type ChunkPolicy = Callable[[Observation, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""Observation and noise to (state embedding (n, 512), chunk (n, horizon, 7))."""
