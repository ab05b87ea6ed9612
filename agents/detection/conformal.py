"""Split-conformal thresholds: of scores that successful episodes reach, with a guarantee for finite samples.

A new successful episode is exchangeable with the ``n`` calibration episodes, so its score exceeds the
``ceil((n + 1)(1 - alpha))``-th smallest of theirs with a probability of at most ``alpha`` (Vovk et al. 2005, Lei et
al. 2018); used on rollouts by Agia et al. 2024 (Sentinel) and Xu et al. 2025 (FAIL-Detect).

The false-alarm rate is one of whole episodes, while scores are compared with the threshold of the phase that they
arise in; one level of alarm for all phases would let the phase with the highest scores decide alone.  So one half of
the calibration episodes gives each phase ``p`` a level ``q_p`` (a quantile of the largest scores within it), and the
other half a common offset ``c``: the conformal quantile of ``max over the episode of (score - q_phase)``.  Given the
first half this is one score an episode, so the thresholds ``q_p + c`` keep the rate below alpha exactly, without the
union bound's loss that thresholds calibrated phase by phase would have.
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
    """Thresholds (phases,) from the ``phase_maxima`` (n, phases) of successful episodes, which alternate in their use.

    A phase that too few episodes of the first half were in keeps an infinite threshold; with too few episodes in the
    second half all do.
    """
    levels = torch.tensor([conformal_quantile(column[column > -math.inf], alpha) for column in maxima[0::2].T])
    excess = (maxima[1::2] - levels).amax(dim=1)
    return torch.where(torch.isinf(levels), math.inf, levels + conformal_quantile(excess, alpha))
