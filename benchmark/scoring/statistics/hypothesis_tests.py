"""Tests over episode outcomes and latencies: exact McNemar, Holm over several of them, equivalence of means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from flow_rag_vla.benchmark.scoring.statistics.pairs import as_pairs
from flow_rag_vla.benchmark.scoring.statistics.proportions import Interval


@dataclass(frozen=True)
class McNemar:
    """Exact McNemar test: of the discordant pairs, ``gained`` for the arm and ``lost`` by it."""

    gained: int
    lost: int
    p: float


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


def mcnemar_exact(arm: ArrayLike, reference: ArrayLike) -> McNemar:
    """Exact McNemar test on paired booleans ``(n,)``; p is 1 where no pair is discordant.

    Raises:
        ValueError: the two are not of one length.
    """
    arm_ok, reference_ok = as_pairs(arm, reference)
    gained = int(np.sum(arm_ok & ~reference_ok))
    lost = int(np.sum(~arm_ok & reference_ok))
    discordant = gained + lost
    p = 1.0 if discordant == 0 else float(stats.binomtest(gained, discordant, 0.5).pvalue)
    return McNemar(gained, lost, p)


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
