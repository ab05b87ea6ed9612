"""The gain over doing nothing: Beta posteriors of doing something and of doing nothing, and bounds of their difference.

Functions take NumPy arrays and tensors alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

NOTHING_PRIOR = 0.5
"""Pseudo-trials of each outcome of doing nothing (Jeffreys): one real episode outweighs them."""


@dataclass(frozen=True)
class Beta[A: (npt.NDArray[np.float64], torch.Tensor)]:
    """Chances to work, each ``Beta(worked, did_not)``; both parameters above zero, of one shape."""

    worked: A
    did_not: A

    @property
    def mean(self) -> A:
        """``a / (a + b)``."""
        return self.worked / (self.worked + self.did_not)

    @property
    def variance(self) -> A:
        """``a b / ((a + b)^2 (a + b + 1))``."""
        trials = self.worked + self.did_not
        return self.worked * self.did_not / (trials**2 * (trials + 1.0))


def uplift_bounds[A: (npt.NDArray[np.float64], torch.Tensor)](
    something: Beta[A], nothing: Beta[A], z: float
) -> tuple[A, A]:
    """``z`` standard deviations below and above the mean of ``theta_something - theta_nothing``.

    The chances are independent, so their variances add; the quantile that
    ``z`` names for a normal distribution is within 0.08 of the difference's own from one or two trials on.
    """
    margin = z * (something.variance + nothing.variance) ** 0.5
    gain = something.mean - nothing.mean
    return gain - margin, gain + margin


def kernel_weight[A: (npt.NDArray[np.float64], torch.Tensor)](similarity: A, threshold: float) -> A:
    """How much a situation of this cosine similarity counts: 1 for the same, 0 at the ``threshold``, linear between."""
    return ((similarity - threshold) / max(1.0 - threshold, 1e-6)).clip(0.0, 1.0)
