"""Does the failure rate follow the severity?  A trend test over the ladder, and a look for steps that go back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import fisher_exact, kendalltau

from flow_rag_vla.benchmark.scoring.statistics import holm

ALPHA = 0.05


@dataclass(frozen=True)
class DoseResponse:
    """Verdict over a ladder, mild to severe."""

    trend_p: float | None
    """One-sided p of Kendall's tau-b between severity rank and failure; None where every episode went alike."""
    reversal_p: float | None
    """Smallest Holm-adjusted one-sided Fisher p that a severity fails less often than the milder one before it."""

    @property
    def graded(self) -> bool:
        """The trend is significant and no adjacent pair is significantly reversed."""
        rises = self.trend_p is not None and self.trend_p < ALPHA
        return rises and (self.reversal_p is None or self.reversal_p >= ALPHA)


def dose_response(failed: Sequence[int], n: Sequence[int]) -> DoseResponse:
    """The verdict for ``failed[i]`` of ``n[i]`` episodes at the i-th severity.

    Kendall's tau-b on a binary outcome is the rank form of the Cochran-Armitage trend test.

    Raises:
        ValueError: the lengths differ, or a count is out of range.
    """
    if len(failed) != len(n) or any(not 0 <= k <= total for k, total in zip(failed, n, strict=False)):
        raise ValueError(f"expected one count of 0 to n for each severity, got {list(failed)} of {list(n)}")
    severity = np.repeat(np.arange(len(n)), n)
    outcome = np.array([i < k for k, total in zip(failed, n, strict=True) for i in range(total)])
    trend = None
    if len(outcome) > 0 and 0 < outcome.sum() < len(outcome) and len(n) > 1:
        trend = float(np.asarray(kendalltau(severity, outcome, alternative="greater"))[1])
    reversals = []
    for i in range(1, len(n)):
        table = [[failed[i], n[i] - failed[i]], [failed[i - 1], n[i - 1] - failed[i - 1]]]
        reversals.append(float(np.asarray(fisher_exact(table, alternative="less"))[1]))
    return DoseResponse(trend, min(holm(reversals)) if reversals else None)
