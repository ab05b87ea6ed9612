"""Split-conformal limits: of scores that successful episodes reach, with a guarantee for finite samples.

A new successful episode is exchangeable with the ``n`` calibration episodes, so its score exceeds the
``ceil((n + 1)(1 - alpha))``-th smallest of theirs with a probability of at most ``alpha`` (Vovk et al. 2005, Lei et
al. 2018); used on rollouts by Agia et al. 2024 (Sentinel) and Xu et al. 2025 (FAIL-Detect).

The false-alarm rate is one of whole episodes, while scores are of several kinds and are compared with those of the
phase that they arise in; one level for all would let the phase with the highest scores decide alone.  So one half of
the calibration episodes gives each kind of score ``k`` in each phase ``p`` a level ``q_pk`` (a quantile of the largest
scores within it) and each kind a scale ``s_k`` (how far its excess over the levels spreads), and the other half a
common offset ``c``: the conformal quantile of ``max over the episode and over k of (score_k - q_pk) / s_k``.  Given the
first half this is one number an episode, so an alarm above ``c`` keeps the rate below alpha exactly, without the loss
of a union bound over phases and kinds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch

from flow_rag_vla.tasks.contract import PHASES


def conformal_quantile(scores: torch.Tensor, alpha: float) -> float:
    """The ``ceil((n + 1)(1 - alpha))``-th smallest of ``scores`` (n,); infinite where that is more than n.

    Raises:
        ValueError: alpha is not between 0 and 1, or a score is NaN.
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha is {alpha}, expected a number between 0 and 1")
    if bool(torch.isnan(scores).any()):
        raise ValueError("a calibration score is NaN")
    n = len(scores)
    # A product such as 0.95 * 20 may come out a hair above the whole number that it is.
    k = math.ceil((n + 1) * (1.0 - alpha) - 1e-9)
    return math.inf if k > n else float(scores.sort().values[k - 1])


@dataclass(frozen=True)
class AlarmLimits:
    """From where on scores of ``kinds`` kinds alarm."""

    levels: torch.Tensor
    """(phases, kinds), infinite where too few successes calibrated a phase."""
    scales: torch.Tensor
    """(kinds,) positive."""
    offset: torch.Tensor
    """() infinite where too few successes calibrated it."""

    def excess(self, scores: torch.Tensor, phase: torch.Tensor) -> torch.Tensor:
        """(rows,) by how many scales ``scores`` (rows, kinds) exceed the levels of ``phase`` (rows,), largest kind."""
        return ((scores - self.levels[phase]) / self.scales).amax(dim=1)

    def alarms(self, scores: torch.Tensor, phase: torch.Tensor) -> torch.Tensor:
        """(rows,) bool: the excess is above the offset."""
        return self.excess(scores, phase) > self.offset

    def to(self, device: str) -> Self:
        """The same on ``device``."""
        return type(self)(self.levels.to(device), self.scales.to(device), self.offset.to(device))


def phase_maxima(scores: torch.Tensor, phase: torch.Tensor, episode: torch.Tensor, num_episodes: int) -> torch.Tensor:
    """Largest scores of each episode in each phase (num_episodes, phases, kinds); -inf where it was never in it.

    Args:
        scores: (rows, kinds).
        phase: (rows,) int64 index into ``PHASES``.
        episode: (rows,) int64.
        num_episodes: Episodes.
    """
    kinds = scores.shape[1]
    maxima = torch.full((num_episodes * len(PHASES), kinds), -math.inf)
    cell = (episode * len(PHASES) + phase).unsqueeze(1).expand(-1, kinds)
    maxima.scatter_reduce_(0, cell, scores.float(), "amax")
    return maxima.reshape(num_episodes, len(PHASES), kinds)


def calibrate(maxima: torch.Tensor, alpha: float) -> AlarmLimits:
    """Limits from the ``phase_maxima`` (n, phases, kinds) of successful episodes, which alternate in their use.

    A phase that too few episodes of the first half were in keeps an infinite level; with too few episodes in the
    second half nothing ever alarms.
    """
    first, second = maxima[0::2], maxima[1::2]
    columns = first.flatten(1).T
    levels = torch.tensor([conformal_quantile(column[column > -math.inf], alpha) for column in columns])
    levels = levels.reshape(maxima.shape[1:])
    excess = (first - levels).amax(dim=1)
    scales = torch.tensor([_spread(column, alpha) for column in excess.T])
    offset = conformal_quantile(((second - levels) / scales).amax(dim=(1, 2)), alpha)
    return AlarmLimits(levels, scales, torch.tensor(offset))


def _spread(excess: torch.Tensor, alpha: float) -> float:
    """From the median of ``excess`` (n,) to its conformal quantile; 1 where that says nothing."""
    spread = conformal_quantile(excess, alpha) - float(excess.median()) if len(excess) else math.nan
    return spread if math.isfinite(spread) and spread > 0.0 else 1.0
