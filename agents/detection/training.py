"""Fits the networks of the failure detector to recorded windows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from flow_rag_vla.agents.detection.network import FailureDetector
from flow_rag_vla.agents.detection.novelty import RandomNetworkDistillation
from flow_rag_vla.agents.detection.scorer import FailureScorer
from flow_rag_vla.agents.training.cfg import DetectorTrainingCfg


@dataclass(frozen=True)
class TrainingRows:
    """Windows with what is true of them."""

    before: torch.Tensor
    """(rows, state_dim)."""
    after: torch.Tensor
    """(rows, state_dim)."""
    action: torch.Tensor
    """(rows, 7)."""
    failed: torch.Tensor
    """(rows,) bool: the causal event of a failing episode has happened."""
    failure_type: torch.Tensor
    """(rows,) int64 index into ``FAILURE_TYPES``; read where ``failed``."""
    succeeded: torch.Tensor
    """(rows,) bool: of an episode that succeeded."""
    weight: torch.Tensor
    """(rows,) how often a row is drawn, relative to others; 0 leaves it out."""


def train_scorer(
    rows: TrainingRows, cfg: DetectorTrainingCfg, on_iteration: Callable[[int, float], None] | None = None
) -> FailureScorer:
    """Both networks, fitted one after the other; arguments and errors as in ``train_detector``.

    ``on_iteration`` counts on from the one to the other, up to ``num_iterations``.
    """
    classifier = train_detector(rows, cfg, on_iteration)

    def counted(iteration: int, loss: float) -> None:
        if on_iteration is not None:
            on_iteration(cfg.iterations + iteration, loss)

    return FailureScorer(classifier, train_novelty(rows, cfg, counted))


def num_iterations(cfg: DetectorTrainingCfg) -> int:
    """Iterations that ``train_scorer`` takes."""
    return cfg.iterations + cfg.novelty_iterations


def train_novelty(
    rows: TrainingRows, cfg: DetectorTrainingCfg, on_iteration: Callable[[int, float], None] | None = None
) -> RandomNetworkDistillation:
    """Distillation on the rows of successful episodes.

    Raises:
        ValueError: there is at most one.
    """
    inputs = torch.cat([rows.after, rows.action], dim=1).float()[rows.succeeded]
    if len(inputs) < 2:
        raise ValueError(f"training needs windows of successful episodes, got {len(inputs)}")
    network = RandomNetworkDistillation(inputs.shape[1], seed=cfg.seed)
    rng = torch.Generator().manual_seed(cfg.seed)
    network.fit(inputs, rng, cfg.novelty_iterations, on_iteration=on_iteration)
    return network.eval().requires_grad_(False)


def train_detector(
    rows: TrainingRows, cfg: DetectorTrainingCfg, on_iteration: Callable[[int, float], None] | None = None
) -> FailureDetector:
    """A detector fitted to ``rows``: binary cross-entropy of the failure, cross-entropy of its type where there is one.

    AdamW with a one-cycle schedule; the same rows, configuration and thread count give the same weights.

    Raises:
        ValueError: no row may be drawn, or all of them failed or none did.
    """
    drawable = rows.weight > 0
    share = float(rows.failed[drawable].float().mean()) if bool(drawable.any()) else 0.0
    if not 0.0 < share < 1.0:
        raise ValueError(f"training needs windows with and without a failure, got a share of {share:.2f} with one")
    torch.manual_seed(cfg.seed)
    rng = torch.Generator().manual_seed(cfg.seed)
    detector = FailureDetector(rows.after.shape[1], cfg.hidden_dim)
    before, after, action = rows.before.float(), rows.after.float(), rows.action.float()
    inputs = torch.cat([before, after, action], dim=1)
    detector.set_input_statistics(inputs[drawable].mean(dim=0), inputs[drawable].std(dim=0))
    noise_std = cfg.input_noise * detector.input_std
    optimiser = torch.optim.AdamW(detector.parameters(), lr=cfg.learning_rate, weight_decay=cfg.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, cfg.learning_rate, cfg.iterations)
    width = before.shape[1]
    cumulative = rows.weight.double().cumsum(0)
    running = 0.0
    detector.train()
    for iteration in range(1, cfg.iterations + 1):
        drawn = torch.rand(cfg.batch_size, generator=rng, dtype=torch.float64) * cumulative[-1]
        index = torch.searchsorted(cumulative, drawn, right=True).clamp(max=len(cumulative) - 1)
        batch = inputs[index] + noise_std * torch.randn(cfg.batch_size, inputs.shape[1], generator=rng)
        blind = torch.rand(cfg.batch_size, 1, generator=rng) < cfg.no_action_share
        acted = torch.where(blind, detector.input_mean[2 * width :], batch[:, 2 * width :])
        failure, kind = detector.logits(batch[:, :width], batch[:, width : 2 * width], acted)
        failed = rows.failed[index]
        loss = nn.functional.binary_cross_entropy_with_logits(failure, failed.float())
        if bool(failed.any()):
            loss = loss + cfg.type_weight * nn.functional.cross_entropy(kind[failed], rows.failure_type[index][failed])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(detector.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        running += (loss.item() - running) * max(0.01, 1.0 / iteration)
        if on_iteration is not None:
            on_iteration(iteration, running)
    return detector.eval().requires_grad_(False)
