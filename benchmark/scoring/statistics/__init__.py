"""Intervals, tests and verdicts over episode outcomes; every function answers empty input with None.

Paired arms meet the same scenarios, so differences are estimated on pairs.  Intervals are 95 % unless they say
otherwise, and none has zero width.
"""

from __future__ import annotations

from flow_rag_vla.benchmark.scoring.statistics.bootstrap import MIN_CLUSTERS, paired_bootstrap
from flow_rag_vla.benchmark.scoring.statistics.hypothesis_tests import (
    Equivalence,
    McNemar,
    holm,
    mcnemar_exact,
    tost_paired,
)
from flow_rag_vla.benchmark.scoring.statistics.pairs import (
    IntervalMethod,
    PairedDifference,
    PairedReduction,
    bonett_price_interval,
    newcombe_paired_interval,
    paired_difference,
    paired_reduction,
)
from flow_rag_vla.benchmark.scoring.statistics.proportions import Interval, Proportion, proportion

__all__ = [
    "MIN_CLUSTERS",
    "Equivalence",
    "Interval",
    "IntervalMethod",
    "McNemar",
    "PairedDifference",
    "PairedReduction",
    "Proportion",
    "bonett_price_interval",
    "holm",
    "mcnemar_exact",
    "newcombe_paired_interval",
    "paired_bootstrap",
    "paired_difference",
    "paired_reduction",
    "proportion",
    "tost_paired",
]
