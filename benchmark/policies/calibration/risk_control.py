"""Learn then test (Angelopoulos et al., 2110.01052): the least threshold at which harm is surely within its limit.

Advice is decided once an episode, so an episode is harmed at every threshold below its score or at none: the number
of harmed episodes falls as the threshold rises, and thresholds are tested from the strictest on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

NO_ADVICE = 1.0
"""A gain over doing nothing is below 1: at this threshold nobody is advised."""


@dataclass(frozen=True)
class Trial:
    """One calibration episode, met without the memory and with it."""

    score: float
    """Lower bound of the gain that its advice promised; 0 where none was given."""
    harmed: bool
    """It succeeded without the memory and failed with it."""


@dataclass(frozen=True)
class Threshold:
    """What was found for one kind of episodes."""

    value: float | None
    """Advice above it is safe enough; None where too few episodes were played to tell: the memory should be silent."""
    harmed: int
    """Calibration episodes that are harmed at it."""
    harmed_at_zero: int
    """Those that are harmed where all advice that gains anything is given."""
    trials: int
    least_trials: int
    """Episodes without any harm that it takes to say anything."""

    def __str__(self) -> str:
        """What was found, in a few words."""
        if self.value is None:
            return f"{self.trials} episodes, and it takes {self.least_trials} to promise anything"
        at_zero = f"{self.harmed_at_zero} above 0"
        return f"{self.harmed} of {self.trials} episodes harmed above {self.value:.3f}, {at_zero}"


def least_trials(max_harm: float, error: float) -> int:
    """Smallest n with ``(1 - max_harm)^n <= error``: fewer episodes say nothing, even if none is harmed."""
    return math.ceil(math.log(error) / math.log1p(-max_harm))


def safe_threshold(trials: Sequence[Trial], max_harm: float, error: float) -> Threshold:
    """The least threshold whose harm is at most ``max_harm``, which is false with a chance of at most ``error``.

    At threshold ``t``, ``k`` of ``n`` episodes are harmed; ``P(Binomial(n, max_harm) <= k) <= error`` rejects that harm
    is more than allowed.  Fixed-sequence testing, from no advice at all down to the first ``t`` that is not rejected,
    needs no correction for the number of thresholds.

    Args:
        trials: Episodes drawn like those to come, met by the memory as it will be used.
        max_harm: Share of episodes that may be harmed, above 0 and below 1.
        error: Chance that the answer is wrong, above 0 and below 1.

    Raises:
        ValueError: ``max_harm`` or ``error`` is out of range.
    """
    for name, value in (("max_harm", max_harm), ("error", error)):
        if not 0.0 < value < 1.0:
            raise ValueError(f"{name}: expected above 0 and below 1, got {value}")
    least, at_zero = least_trials(max_harm, error), sum(trial.harmed for trial in trials)
    if len(trials) < least:
        return Threshold(None, 0, at_zero, len(trials), least)
    value = least_threshold(trials, _most_harmed(len(trials), max_harm, error))
    return Threshold(value, num_harmed(trials, value), at_zero, len(trials), least)


def least_threshold(trials: Sequence[Trial], allowed: int) -> float:
    """The least threshold, 0 to ``NO_ADVICE``, above which at most ``allowed`` of ``trials`` are harmed."""
    scores = sorted((trial.score for trial in trials if trial.harmed), reverse=True)
    # At the (allowed + 1)-th highest score that many are spared: advice lies above a threshold, not at it.
    value = scores[allowed] if len(scores) > allowed else 0.0
    return min(max(value, 0.0), NO_ADVICE)


def num_harmed(trials: Sequence[Trial], threshold: float) -> int:
    """How many of ``trials`` are harmed by advice above ``threshold``."""
    return sum(trial.harmed and trial.score > threshold for trial in trials)


def _most_harmed(trials: int, max_harm: float, error: float) -> int:
    """Largest k with ``P(Binomial(trials, max_harm) <= k) <= error``."""
    chances: npt.NDArray[np.float64] = binom.cdf(np.arange(trials + 1), trials, max_harm)
    return int((chances <= error).sum()) - 1
