"""Optimiser, learning rate and moving average of the weights: PyTorch's own, put together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

if TYPE_CHECKING:
    import torch

    from flow_rag_vla.agents.training.cfg import TrainingCfg


def make_optimiser(policy: nn.Module, cfg: TrainingCfg) -> AdamW:
    """AdamW (Loshchilov and Hutter 2019) over all weights."""
    return AdamW(policy.parameters(), lr=cfg.learning_rate, weight_decay=cfg.weight_decay)


def make_schedule(optimiser: AdamW, cfg: TrainingCfg) -> LRScheduler:
    """Linear warm-up from ``1 / warmup``, then half a cosine that ends at zero."""
    cosine = CosineAnnealingLR(optimiser, T_max=cfg.iterations - cfg.warmup)
    if cfg.warmup == 0:
        return cosine
    warm = LinearLR(optimiser, start_factor=1.0 / cfg.warmup, total_iters=cfg.warmup)
    return SequentialLR(optimiser, [warm, cosine], milestones=[cfg.warmup])


def make_average(policy: nn.Module, cfg: TrainingCfg) -> AveragedModel:
    """Exponential moving average of the weights whose decay warms up; buffers are copied."""
    average = AveragedModel(policy, multi_avg_fn=_warmed_ema(cfg.ema_decay, cfg.ema_warmup))
    return average.requires_grad_(False)


def _warmed_ema(decay: float, warmup: int) -> Callable[..., None]:
    """PyTorch's moving average with a decay that grows towards ``decay`` with the number of updates."""

    def update(averaged: list[torch.Tensor], current: list[torch.Tensor], num_averaged: torch.Tensor) -> None:
        n = int(num_averaged) + 1
        get_ema_multi_avg_fn(min(decay, n / (n + warmup)))(averaged, current, num_averaged)

    return update
