"""Split-conformal thresholds: of scores that successful episodes reach, with a guarantee for finite samples.

A new successful episode is exchangeable with the ``n`` calibration episodes, so its score exceeds the
``ceil((n + 1)(1 - alpha))``-th smallest of theirs with a probability of at most ``alpha`` (Vovk et al. 2005, Lei et
al. 2018); used on rollouts by Agia et al. 2024 (Sentinel) and Xu et al. 2025 (FAIL-Detect).

The false-alarm rate is one of whole episodes, while scores are compared with the threshold of the phase that they
arise in.  So a calibration score is the largest of an episode *within one phase*, each phase gets an equal part of
alpha, and the parts add up by the union bound: ``P(alarm in an episode) <= sum of P(alarm in phase p) <= alpha``.
"""

from __future__ import annotations

import math

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


def phase_maxima(scores: torch.Tensor, phase: torch.Tensor, episode: torch.Tensor, num_episodes: int) -> torch.Tensor:
    """Largest score of each episode in each phase (num_episodes, phases); -inf where it was never in it.

    Args:
        scores: (rows,).
        phase: (rows,) int64 index into ``PHASES``.
        episode: (rows,) int64.
        num_episodes: Episodes.
    """
    maxima = torch.full((num_episodes * len(PHASES),), -math.inf)
    maxima.scatter_reduce_(0, episode * len(PHASES) + phase, scores.float(), "amax")
    return maxima.reshape(num_episodes, len(PHASES))


def phase_thresholds(maxima: torch.Tensor, alpha: float) -> torch.Tensor:
    """Thresholds (phases,) on the ``phase_maxima`` (n, phases) of successful episodes.

    Each phase gets ``alpha / phases``.  Only episodes that were in a phase calibrate it, so that a phase which few of
    them were in keeps an infinite threshold instead of being an alarm by itself.
    """
    share = alpha / maxima.shape[1]
    return torch.tensor([conformal_quantile(column[column > -math.inf], share) for column in maxima.unbind(dim=1)])
