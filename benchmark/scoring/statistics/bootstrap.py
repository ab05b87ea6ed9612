"""The paired bootstrap, by cluster where there are enough of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flow_rag_vla.benchmark.scoring.statistics.proportions import CONFIDENCE, Interval

RESAMPLES = 2000
MIN_CLUSTERS = 5
"""Fewer clusters than this say nothing about the spread between clusters."""

_CHUNK_CELLS = 4_000_000
"""Upper bound on the resampling weights held in memory at once."""


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
