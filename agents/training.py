"""Trains the flow policy on recorded demonstrations: AdamW, cosine schedule, moving average of the weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import nn

from flow_rag_vla.agents.checkpoint import PolicyCheckpoint
from flow_rag_vla.agents.encoders import LearnedStateEncoder, LearnedStateEncoderCfg
from flow_rag_vla.agents.flow_matching import FlowMatching, FlowMatchingCfg
from flow_rag_vla.agents.velocity_network import VelocityNetworkCfg

if TYPE_CHECKING:
    from flow_rag_vla.agents.demonstration_set import DemonstrationSet


@dataclass
class TrainingCfg:
    """How long and how fast; the defaults make the checkpoint that ships with the project."""

    horizon: int = 16
    hidden_dim: int = 256
    num_layers: int = 3
    mlp_ratio: int = 2
    encoder_dim: int = 256
    ode_steps: int = 2
    iterations: int = 9000
    batch_size: int = 256
    learning_rate: float = 1.0e-3
    weight_decay: float = 1.0e-4
    warmup: int = 200
    ema_decay: float = 0.999
    gradient_clip: float = 1.0
    bf16: bool = True
    """Matrix products in bfloat16 (weights and optimiser stay float32); pays only on CPUs with AMX."""
    seed: int = 0


@dataclass
class TrainingLog:
    """The loss over training: one entry every ``every`` iterations."""

    every: int = 100
    loss: list[float] = field(default_factory=list)


def train_policy(
    data: DemonstrationSet,
    cfg: TrainingCfg,
    on_iteration: Callable[[int, float], None] | None = None,
    provenance: dict | None = None,
) -> tuple[PolicyCheckpoint, TrainingLog]:
    """A flow policy fitted to ``data``; the same data, configuration and thread count give the same weights.

    Args:
        data: Demonstrations.
        cfg: Sizes and schedule.
        on_iteration: Called after each iteration with its number (from 1) and the running loss.
        provenance: JSON-able facts to store with the checkpoint.
    """
    torch.manual_seed(cfg.seed)
    rng = torch.Generator().manual_seed(cfg.seed)
    encoder = LearnedStateEncoder(LearnedStateEncoderCfg(hidden_dim=cfg.encoder_dim), data.instructions())
    velocity = VelocityNetworkCfg(
        horizon=cfg.horizon, hidden_dim=cfg.hidden_dim, num_layers=cfg.num_layers, mlp_ratio=cfg.mlp_ratio
    )
    flow = FlowMatching(FlowMatchingCfg(velocity=velocity, ode_steps=cfg.ode_steps))
    flow.set_action_statistics(data.actions.mean(dim=0), data.actions.std(dim=0))
    policy = nn.ModuleList([encoder, flow])
    average = copy.deepcopy(policy).requires_grad_(False)
    optimiser = torch.optim.AdamW(policy.parameters(), lr=cfg.learning_rate, weight_decay=cfg.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: _learning_rate_factor(i, cfg))
    log = TrainingLog()
    starts = data.starts(cfg.horizon)
    running = 0.0
    for iteration in range(1, cfg.iterations + 1):
        steps = starts[torch.randint(len(starts), (cfg.batch_size,), generator=rng)]
        action_1 = data.chunks(steps, cfg.horizon)
        action_0 = torch.randn(action_1.shape, generator=rng)
        with torch.autocast("cpu", torch.bfloat16, enabled=cfg.bf16):
            instruction = data.instruction_embeddings[data.instruction[steps]]
            loss = flow.compute_loss(encoder(data.features[steps], instruction), action_0, action_1, rng)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(policy.parameters(), cfg.gradient_clip)
        optimiser.step()
        schedule.step()
        _update_average(average, policy, min(cfg.ema_decay, iteration / (iteration + 100.0)))
        running += (loss.item() - running) * max(0.01, 1.0 / iteration)
        if iteration % log.every == 0:
            log.loss.append(running)
        if on_iteration is not None:
            on_iteration(iteration, running)
    training = {"cfg": asdict(cfg), "final_loss": running, **(provenance or {})}
    smooth_encoder, smooth_flow = average[0], average[1]
    if not isinstance(smooth_encoder, LearnedStateEncoder) or not isinstance(smooth_flow, FlowMatching):
        raise TypeError("the averaged policy lost its parts")
    return PolicyCheckpoint(smooth_encoder.eval(), smooth_flow.eval(), training), log


def _learning_rate_factor(iteration: int, cfg: TrainingCfg) -> float:
    """Linear warm-up, then half a cosine down to zero."""
    warm = min(1.0, (iteration + 1) / cfg.warmup)
    return warm * 0.5 * (1.0 + math.cos(math.pi * min(1.0, iteration / cfg.iterations)))


@torch.no_grad()
def _update_average(average: nn.Module, policy: nn.Module, decay: float) -> None:
    pairs: Sequence[tuple[nn.Parameter, nn.Parameter]] = list(
        zip(average.parameters(), policy.parameters(), strict=True)
    )
    for smooth, current in pairs:
        smooth.lerp_(current, 1.0 - decay)
