"""Whether a number rises or falls from run to run: no more is said than the interval of its change bears out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum

from flow_rag_vla.benchmark.scoring.statistics.prevalence import Estimate
from flow_rag_vla.benchmark.scoring.statistics.verdict import MARGIN


class Trend(StrEnum):
    """What is known of a change."""

    RISES = "rises"
    """The whole interval of the slope is above 0."""
    FALLS = "falls"
    """It is below 0."""
    LEVEL = "level"
    """It holds 0, and over all sizes neither the line nor the difference of its ends leaves a margin."""
    UNKNOWN = "unknown"


def independent_difference(later: Estimate, earlier: Estimate) -> Estimate:
    """``later - earlier`` of two estimates that have nothing in common.

    Of two shares with Wilson intervals it has Newcombe's hybrid score interval (Statistics in Medicine 17, 1998,
    "comparison of eleven methods", method 10).
    """
    return _contrast((1.0, -1.0), (later, earlier))


def per_doubling(sizes: Sequence[float], weights: Sequence[float], estimates: Sequence[Estimate]) -> Estimate:
    """Slope of the line through independent ``estimates`` over log2 of ``sizes``, by weighted least squares.

    Args:
        sizes: ``(n,)``, at least two different ones.
        weights: ``(n,)``, such as counts of episodes; unlike weights by variance they do not depend on the estimates.
        estimates: ``(n,)``.
    """
    x, total = [math.log2(size) for size in sizes], sum(weights)
    mean = sum(w * xi for w, xi in zip(weights, x, strict=True)) / total
    spread = sum(w * (xi - mean) ** 2 for w, xi in zip(weights, x, strict=True))
    return _contrast([w * (xi - mean) / spread for w, xi in zip(weights, x, strict=True)], estimates)


def trend(slope: Estimate, doublings: float, difference: Estimate, margin: float = MARGIN) -> Trend:
    """What the ``slope`` of a line over so many ``doublings``, and the ``difference`` of its ends, say.

    ``margin`` is the most, a share, that counts as level.
    """
    low, high = slope.ci95
    if low > 0.0:
        return Trend.RISES
    if high < 0.0:
        return Trend.FALLS
    ends = (low * doublings, high * doublings, *difference.ci95)
    return Trend.LEVEL if max(abs(end) for end in ends) <= margin else Trend.UNKNOWN


def _contrast(factors: Sequence[float], estimates: Sequence[Estimate]) -> Estimate:
    """The sum of ``factors * estimates``, by variance recovery (as in ``prevalence``)."""
    pairs = list(zip(factors, estimates, strict=True))
    value = sum(f * e.value for f, e in pairs)
    below = math.hypot(*(f * (e.value - e.ci95[0 if f > 0 else 1]) for f, e in pairs))
    above = math.hypot(*(f * (e.ci95[1 if f > 0 else 0] - e.value) for f, e in pairs))
    return Estimate(value, (value - below, value + above))
