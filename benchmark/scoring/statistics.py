"""Intervals and tests over episode outcomes; every function answers empty input with None.

Paired arms meet the same scenarios, so differences are estimated on pairs.  Intervals are 95 %
unless they say otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 2000
MIN_CLUSTERS = 5
"""Fewer clusters than this say nothing about the spread between clusters."""

_CHUNK_CELLS = 4_000_000
"""Upper bound on the resampling weights held in memory at once."""

_Z = float(stats.norm.ppf(0.5 + CONFIDENCE / 2.0))

Interval = tuple[float, float]


@dataclass(frozen=True)
class Proportion:
    """``k`` of ``n`` with its Wilson interval; rate and interval are None for ``n == 0``."""

    k: int
    n: int
    rate: float | None
    ci95: Interval | None

    def __str__(self) -> str:
        """Like ``253/256 [96.6, 99.6]``, the interval in percent; ``-`` for ``n == 0``."""
        if self.ci95 is None:
            return "-"
        low, high = self.ci95
        return f"{self.k}/{self.n} [{100 * low:.1f}, {100 * high:.1f}]"


@dataclass(frozen=True)
class McNemar:
    """Exact McNemar test: of the discordant pairs, ``gained`` for the arm and ``lost`` by it."""

    gained: int
    lost: int
    p: float


@dataclass(frozen=True)
class PairedDifference:
    """Mean of arm minus reference over ``n`` pairs; None for ``n == 0``."""

    n: int
    difference: float | None
    ci95: Interval | None


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided paired t-tests of ``abs(mean difference) < margin``.

    ``p`` is the larger of the two; ``ci90`` is the interval that the test at 5 % inverts.
    """

    n: int
    mean_difference: float
    margin: float
    p: float
    ci90: Interval
    equivalent: bool


def proportion(k: int, n: int) -> Proportion:
    """``k`` successes of ``n`` with the Wilson score interval (Wilson 1927).

    Raises:
        ValueError: not ``0 <= k <= n``.
    """
    if not 0 <= k <= n:
        raise ValueError(f"{k} of {n} is not a proportion")
    if n == 0:
        return Proportion(0, 0, None, None)
    return Proportion(k, n, k / n, _wilson(k, n))


def mcnemar_exact(arm: ArrayLike, reference: ArrayLike) -> McNemar:
    """Exact McNemar test on paired booleans ``(n,)``; p is 1 where no pair is discordant.

    Raises:
        ValueError: the two are not of one length.
    """
    arm_ok, reference_ok = _pairs(arm, reference)
    gained = int(np.sum(arm_ok & ~reference_ok))
    lost = int(np.sum(~arm_ok & reference_ok))
    discordant = gained + lost
    p = 1.0 if discordant == 0 else float(stats.binomtest(gained, discordant, 0.5).pvalue)
    return McNemar(gained, lost, p)


def paired_difference(
    arm: ArrayLike,
    reference: ArrayLike,
    rng: np.random.Generator,
    clusters: Sequence[int] | None = None,
) -> PairedDifference:
    """Difference of two paired proportions ``(n,)``, arm minus reference.

    Pairs are resampled by cluster (see ``paired_bootstrap``) where there are at least
    ``MIN_CLUSTERS`` of them.  Otherwise the interval is Newcombe's hybrid score interval
    (Statistics in Medicine 17, 1998, method 10), which, unlike the bootstrap, does not shrink to a
    point when few pairs differ.
    """
    arm_ok, reference_ok = _pairs(arm, reference)
    n = len(arm_ok)
    if n == 0:
        return PairedDifference(0, None, None)
    differences = arm_ok.astype(float) - reference_ok.astype(float)
    ci = newcombe_paired_interval(arm_ok, reference_ok)
    if clusters is not None and len(set(clusters)) >= MIN_CLUSTERS:
        clustered = paired_bootstrap(np.column_stack([differences, np.ones(n)]), _mean_of_sums, rng, clusters)
        if clustered is not None and clustered[0] < clustered[1]:
            ci = clustered
    return PairedDifference(n, float(differences.mean()), ci)


def newcombe_paired_interval(arm: ArrayLike, reference: ArrayLike) -> Interval | None:
    """Newcombe's hybrid score interval (method 10) for a paired difference of proportions."""
    arm_ok, reference_ok = _pairs(arm, reference)
    n = len(arm_ok)
    if n == 0:
        return None
    both = int(np.sum(arm_ok & reference_ok))
    gained = int(np.sum(arm_ok & ~reference_ok))
    lost = int(np.sum(~arm_ok & reference_ok))
    neither = n - both - gained - lost
    p1, (low1, high1) = (both + gained) / n, _wilson(both + gained, n)
    p2, (low2, high2) = (both + lost) / n, _wilson(both + lost, n)

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


def paired_bootstrap(
    rows: ArrayLike,
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    rng: np.random.Generator,
    clusters: Sequence[int] | None = None,
    resamples: int = RESAMPLES,
) -> Interval | None:
    """Percentile interval of a statistic of column sums, resampling whole rows.

    Args:
        rows: ``(n, columns)``, one row per scenario, so that arms stay paired.
        statistic: column sums ``(resamples, columns)`` to values ``(resamples,)``.
        rng: the source of the resamples.
        clusters: ``(n,)`` cluster of each row; whole clusters are resampled where at least
            ``MIN_CLUSTERS`` exist, otherwise single rows.
        resamples: how many.

    Returns:
        The interval, or None for no rows or where over 5 % of the resamples have no finite value.
    """
    table = np.asarray(rows, dtype=np.float64)
    if len(table) == 0:
        return None
    if clusters is not None and len(set(clusters)) >= MIN_CLUSTERS:
        labels, index = np.unique(np.asarray(clusters), return_inverse=True)
        sums = np.zeros((len(labels), table.shape[1]))
        np.add.at(sums, index, table)
        table = sums
    n = len(table)
    chunk = max(1, _CHUNK_CELLS // n)
    uniform = np.full(n, 1.0 / n)
    values = np.concatenate(
        [
            statistic(rng.multinomial(n, uniform, size=min(chunk, resamples - start)) @ table)
            for start in range(0, resamples, chunk)
        ]
    )
    finite = values[np.isfinite(values)]
    if len(finite) < 0.95 * resamples:
        return None
    tail = 100.0 * (1.0 - CONFIDENCE) / 2.0
    low, high = np.percentile(finite, [tail, 100.0 - tail])
    return float(low), float(high)


def ratio_reduction_interval(
    arm: ArrayLike,
    reference: ArrayLike,
    rng: np.random.Generator,
    clusters: Sequence[int] | None = None,
) -> Interval | None:
    """Interval of ``1 - mean(arm) / mean(reference)`` over pairs ``(n,)``, by paired bootstrap."""
    arm_hit, reference_hit = _pairs(arm, reference)
    return paired_bootstrap(np.column_stack([arm_hit, reference_hit]), _reduction_of_sums, rng, clusters)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted


def tost_paired(arm: ArrayLike, reference: ArrayLike, margin: float = 1.0, alpha: float = 0.05) -> Equivalence | None:
    """Two one-sided paired t-tests (Schuirmann 1987); None for fewer than two pairs.

    Args:
        arm: ``(n,)``, for latencies in ms.
        reference: ``(n,)``, the same unit.
        margin: largest mean difference that counts as equal, the same unit.
        alpha: level of the test.

    Raises:
        ValueError: unequal lengths or a margin that is not positive.
    """
    if margin <= 0:
        raise ValueError(f"equivalence margin {margin} is not positive")
    a, b = np.asarray(arm, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"paired samples have shapes {a.shape} and {b.shape}")
    n = len(a)
    if n < 2:
        return None
    differences = a - b
    mean = float(differences.mean())
    error = float(differences.std(ddof=1)) / n**0.5
    if error == 0.0:
        p, half_width = (0.0 if abs(mean) < margin else 1.0), 0.0
    else:
        p = max(
            float(stats.t.sf((mean + margin) / error, n - 1)),
            float(stats.t.cdf((mean - margin) / error, n - 1)),
        )
        half_width = float(stats.t.ppf(1.0 - alpha, n - 1)) * error
    ci90 = (mean - half_width, mean + half_width)
    return Equivalence(n, mean, margin, p, ci90, p < alpha)


def _wilson(k: int, n: int) -> Interval:
    """The closed form: ``scipy.stats.binomtest`` gives the same, and a p-value that costs a millisecond."""
    rate, z2 = k / n, _Z * _Z
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half_width = _Z / (1 + z2 / n) * (rate * (1 - rate) / n + z2 / (4 * n * n)) ** 0.5
    return (0.0 if k == 0 else centre - half_width, 1.0 if k == n else centre + half_width)


def _pairs(arm: ArrayLike, reference: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    a, b = np.asarray(arm, dtype=np.bool_), np.asarray(reference, dtype=np.bool_)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"paired outcomes have shapes {a.shape} and {b.shape}, expected one (n,)")
    return a, b


def _mean_of_sums(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return sums[:, 0] / sums[:, 1]


def _reduction_of_sums(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1.0 - sums[:, 0] / sums[:, 1]
