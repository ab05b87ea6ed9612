"""The records of ``summary.json`` that put one arm beside another; what nobody measured is None."""

from __future__ import annotations

from dataclasses import dataclass

from flow_rag_vla.benchmark.episodes.records import Exposure
from flow_rag_vla.benchmark.scoring.statistics import Interval, IntervalMethod, Proportion
from flow_rag_vla.benchmark.scoring.statistics.prevalence import NetGain
from flow_rag_vla.benchmark.scoring.statistics.verdict import Gain


@dataclass(frozen=True)
class Harm:
    """Failures on CLEAN and CONTROL scenarios that E1 had solved, minus the reference arm's."""

    rate: float | None
    ci95: Interval | None
    failed: Proportion
    """The arm's own share of such failures, before subtracting."""
    n_pairs: int
    mcnemar_p: float | None
    ci95_method: IntervalMethod | None


@dataclass(frozen=True)
class Comparison:
    """An arm against a reference on the same scenarios of one exposure."""

    exposure: Exposure
    n_pairs: int
    success_diff: float | None
    ci95: Interval | None
    ci95_method: IntervalMethod | None
    gained: int
    lost: int
    mcnemar_p: float | None
    mcnemar_p_holm: float | None
    """Adjusted over the arms compared with the same reference, or over the rivals of a memory; None outside them."""
    rfr_pairs: int
    """Pairs of which the reduction is one: failures of E1 that could repeat, met again by both arms."""
    rfr_reduction: float | None
    """1 - repeated share of the arm / repeated share of the reference; None where the reference repeats none."""
    rfr_reduction_ci95: Interval | None
    rfr_reduction_ci95_method: IntervalMethod | None

    @property
    def shown_p(self) -> float | None:
        """Holm's p, and the raw one outside every family."""
        return self.mcnemar_p if self.mcnemar_p_holm is None else self.mcnemar_p_holm


@dataclass(frozen=True)
class HardImpacts:
    """An arm on NEAR where a success counts only if no finger met the object with more than ``bound_n``.

    Forces are the largest between one finger and the object in any physics step; those of finger or hand on table,
    base, bin and obstacle are not among them.
    """

    bound_n: float
    beyond: Proportion
    """Successes that do not count, of all; one without a finite force does not."""
    largest_force_n: float | None
    """In any success."""
    success: Proportion
    """What counts, over the arm's valid episodes."""
    n_pairs: int
    """Valid in both arms; 0 for the reference."""
    success_diff: float | None
    """Minus the reference's over the pairs, both counted so."""
    ci95: Interval | None
    ci95_method: IntervalMethod | None


@dataclass(frozen=True)
class CorrectionEffect:
    """What came of a correction in ``n`` episodes, beside the reference on the same ones."""

    n: int
    helped: int
    """The reference fails."""
    no_effect: int
    harmed: int
    """The reference succeeds."""


@dataclass(frozen=True)
class Advantage:
    """What the memory's arm has over another arm on the same scenarios, each number a paired difference."""

    near: Comparison
    near_known: Gain
    """What it says, by the rule of the verdict and, for a rival, Holm's p."""
    far: Comparison | None
    """None where FAR was not run."""
    far_known: Gain | None
    harm: Harm
    """Failures on CLEAN and CONTROL scenarios that E1 had solved, minus the other arm's."""
    net: list[NetGain]
    """Over the other arm, by prevalence; empty where NEAR, or CLEAN and CONTROL, were not run."""
    ahead: Interval | None
    """Prevalences between which the estimated net gain is above 0; None for nowhere, or where it is not known."""
    surely_ahead: Interval | None
    """The same of the lower end of each prevalence's own interval, not of a band over all of them."""


@dataclass(frozen=True)
class MemoryAdds:
    """What a memory adds, which is what its arm has over those that act without it, or with a placebo of it."""

    arm: str
    over: dict[str, Advantage]
    """By name of the other arm."""
