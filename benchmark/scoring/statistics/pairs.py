"""Two arms on the same scenarios: the difference and the ratio of their shares, none with an interval of no width.

Score intervals keep their width where no pair, or every pair, differs; the bootstrap over sites does not, but knows how
much sites differ.  Where both exist the wider one is reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flow_rag_vla.benchmark.scoring.statistics.bootstrap import MIN_CLUSTERS, paired_bootstrap
from flow_rag_vla.benchmark.scoring.statistics.proportions import Interval, Z, wilson


class IntervalMethod(StrEnum):
    """Which interval is reported."""

    SCORE = "score"
    """Newcombe's for a difference, Bonett and Price's for a ratio: over pairs, as if all were of one site."""
    SITES = "sites"
    """The bootstrap over whole sites, where it is the wider of the two."""


@dataclass(frozen=True)
class PairedDifference:
    """Mean of arm minus reference over ``n`` pairs; None for ``n == 0``."""

    n: int
    difference: float | None
    ci95: Interval | None
    method: IntervalMethod | None = None


@dataclass(frozen=True)
class PairedReduction:
    """``1 - mean(arm) / mean(reference)`` over ``n`` pairs; None where the reference has no hit."""

    n: int
    reduction: float | None
    ci95: Interval | None
    method: IntervalMethod | None = None


def paired_difference(
    arm: ArrayLike,
    reference: ArrayLike,
    rng: np.random.Generator,
    clusters: Sequence[int] | None = None,
) -> PairedDifference:
    """Difference of two paired proportions ``(n,)``, arm minus reference.

    Args:
        arm: booleans ``(n,)``.
        reference: booleans ``(n,)``.
        rng: the source of the bootstrap's resamples.
        clusters: ``(n,)`` cluster of each pair, which counts from ``MIN_CLUSTERS`` on.

    Raises:
        ValueError: the two are not of one length.
    """
    arm_ok, reference_ok = as_pairs(arm, reference)
    score = newcombe_paired_interval(arm_ok, reference_ok)
    if score is None:
        return PairedDifference(0, None, None)
    n, differences = len(arm_ok), arm_ok.astype(float) - reference_ok.astype(float)
    by_site = None
    if _enough(clusters):
        by_site = paired_bootstrap(np.column_stack([differences, np.ones(n)]), _mean_of_sums, rng, clusters)
    return PairedDifference(n, float(differences.mean()), *_wider(score, by_site))


def paired_reduction(
    arm: ArrayLike,
    reference: ArrayLike,
    rng: np.random.Generator,
    clusters: Sequence[int] | None = None,
) -> PairedReduction:
    """By how much less often the arm has a hit than the reference; arguments as of ``paired_difference``.

    Raises:
        ValueError: the two are not of one length.
    """
    arm_hit, reference_hit = as_pairs(arm, reference)
    score = bonett_price_interval(arm_hit, reference_hit)
    if score is None:
        return PairedReduction(len(arm_hit), None, None)
    by_site = None
    if _enough(clusters):
        by_site = paired_bootstrap(np.column_stack([arm_hit, reference_hit]), _reduction_of_sums, rng, clusters)
    ratio = int(np.sum(arm_hit)) / int(np.sum(reference_hit))
    return PairedReduction(len(arm_hit), 1.0 - ratio, *_wider((1.0 - score[1], 1.0 - score[0]), by_site))


def newcombe_paired_interval(arm: ArrayLike, reference: ArrayLike) -> Interval | None:
    """Hybrid score interval for a paired difference (Newcombe, Statistics in Medicine 17, 1998, method 10)."""
    arm_ok, reference_ok = as_pairs(arm, reference)
    n = len(arm_ok)
    if n == 0:
        return None
    both, gained, lost = _counts(arm_ok, reference_ok)
    neither = n - both - gained - lost
    p1, (low1, high1) = (both + gained) / n, wilson(both + gained, n)
    p2, (low2, high2) = (both + lost) / n, wilson(both + lost, n)

    cross = float(both * neither - gained * lost)
    if cross > 0:
        cross = max(cross - n / 2, 0.0)
    margins = (both + gained) * (lost + neither) * (both + lost) * (gained + neither)
    phi = cross / margins**0.5 if margins else 0.0

    def spread(a: float, b: float) -> float:
        return max(a * a - 2.0 * phi * a * b + b * b, 0.0) ** 0.5

    difference = p1 - p2
    return (
        difference - spread(p1 - low1, high2 - p2),
        difference + spread(high1 - p1, p2 - low2),
    )


def bonett_price_interval(arm: ArrayLike, reference: ArrayLike) -> Interval | None:
    """Hybrid Wilson score interval for ``mean(arm) / mean(reference)`` of pairs; None where the reference has no hit.

    Bonett and Price (Biometrics 62, 2006), in the form that Fagerland, Lydersen and Laake (Statistics in Medicine 33,
    2014) recommend: the shares among pairs with any hit, each with a Wilson interval whose z allows for the pairing.
    """
    both, gained, lost = _counts(*as_pairs(arm, reference))
    ours, theirs, n = both + gained, both + lost, both + gained + lost
    if theirs == 0:
        return None
    spread = ((gained + lost + 2) / ((ours + 1) * (theirs + 1))) ** 0.5
    of_ours = ((1.0 - (ours + 1) / (n + 2)) / (ours + 1)) ** 0.5
    of_theirs = ((1.0 - (theirs + 1) / (n + 2)) / (theirs + 1)) ** 0.5
    z = Z * spread / (of_ours + of_theirs)
    (low1, high1), (low2, high2) = wilson(ours, n, z), wilson(theirs, n, z)
    return low1 / high2, high1 / low2


def as_pairs(arm: ArrayLike, reference: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Both as booleans ``(n,)``.

    Raises:
        ValueError: the two are not of one length.
    """
    a, b = np.asarray(arm, dtype=np.bool_), np.asarray(reference, dtype=np.bool_)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"paired outcomes have shapes {a.shape} and {b.shape}, expected one (n,)")
    return a, b


def _counts(arm: NDArray[np.bool_], reference: NDArray[np.bool_]) -> tuple[int, int, int]:
    """Pairs in which both have it, only the arm, only the reference."""
    return int(np.sum(arm & reference)), int(np.sum(arm & ~reference)), int(np.sum(~arm & reference))


def _enough(clusters: Sequence[int] | None) -> bool:
    return clusters is not None and len(set(clusters)) >= MIN_CLUSTERS


def _wider(score: Interval, by_site: Interval | None) -> tuple[Interval, IntervalMethod]:
    if by_site is not None and by_site[1] - by_site[0] > score[1] - score[0]:
        return by_site, IntervalMethod.SITES
    return score, IntervalMethod.SCORE


def _mean_of_sums(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return sums[:, 0] / sums[:, 1]


def _reduction_of_sums(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1.0 - sums[:, 0] / sums[:, 1]
