"""What every memory arm gains and breaks at each size, as the runs' summaries have it, and how that changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from flow_rag_vla.benchmark.command.errors import UsageError
from flow_rag_vla.benchmark.policies.growth.sized_runs import SizedRun, differences_to_know
from flow_rag_vla.benchmark.scoring.arms import REFERENCE_ARM
from flow_rag_vla.benchmark.scoring.statistics import Proportion
from flow_rag_vla.benchmark.scoring.statistics.prevalence import Estimate, estimate
from flow_rag_vla.benchmark.scoring.statistics.trend import Trend, independent_difference, per_doubling, trend
from flow_rag_vla.benchmark.scoring.statistics.verdict import MARGIN
from flow_rag_vla.benchmark.scoring.summary import ArmSummary

MEMORY_GROWTH_VERSION = 2


class Quantity(StrEnum):
    """What is followed over the sizes."""

    NEAR = "near"
    """Success on NEAR."""
    GAIN = "gain"
    REPEATED = "repeated"
    """Repeated-failure rate: share of E1's avoidable failures that come back on NEAR."""
    HARM = "harm"


@dataclass(frozen=True)
class ArmAtSize:
    """An arm in the run of one size; None where that was not played."""

    scenarios: int
    """In E1."""
    cases_asked: int | None
    """Cases in the memory that the round asked whose numbers these are; None for arms without memory."""
    cases_after: int | None
    """Cases in its memory at the end."""
    near: Proportion
    clean: Proportion
    control: Proportion
    gain: Estimate | None
    gain_pairs: int
    repeated: Estimate | None
    failures: int
    """Of E1, of which ``repeated`` is a share."""
    substituted: float | None
    harm: Estimate | None
    harm_pairs: int
    harm_mcnemar_p: float | None
    clean_difference: float | None
    """Success on CLEAN minus the reference arm's."""


@dataclass(frozen=True)
class Change:
    """How a quantity changes over the sizes at which it was measured."""

    smallest: int
    largest: int
    per_doubling: Estimate
    """Slope of the line through all of them, weighted by their episodes."""
    difference: Estimate
    """At the largest size minus at the smallest."""
    trend: Trend
    margin: float
    """The most, a share, that counts as level: of harm what the runs allow, else the verdict's."""


@dataclass(frozen=True)
class MemoryGrowth:
    """Runs of several sizes beside one another."""

    task: str
    physics: str
    arm: str
    """The memory arm that the runs' verdicts are on, else the first one."""
    max_harm: float
    """Share that the runs allow an arm to break (``agent.max_harm`` in points)."""
    scenarios: list[int]
    """Of each run, ascending."""
    commits: list[str]
    runs: list[str]
    """Folder of each."""
    arms: dict[str, list[ArmAtSize]]
    """The reference and every memory arm, at each size."""
    changes: dict[str, dict[Quantity, Change]]
    """Of the memory arms; what was measured at fewer than two sizes is left out."""
    differences: list[str]
    """What else differs between the runs and may have its part in their numbers."""
    schema_version: int = MEMORY_GROWTH_VERSION


_MEASURED: dict[Quantity, Callable[[ArmAtSize], tuple[int, Estimate | None]]] = {
    Quantity.NEAR: lambda at: (at.near.n, estimate(at.near.rate, at.near.ci95)),
    Quantity.GAIN: lambda at: (at.gain_pairs, at.gain),
    Quantity.REPEATED: lambda at: (at.failures, at.repeated),
    Quantity.HARM: lambda at: (at.harm_pairs, at.harm),
}


def measured(at: ArmAtSize, quantity: Quantity) -> Estimate | None:
    """``quantity`` of an arm at one size; None where it was not measured."""
    return _MEASURED[quantity](at)[1]


def memory_growth(runs: Sequence[SizedRun]) -> MemoryGrowth:
    """Comparable ``runs``, the smallest first, beside one another.

    Runs count as independent of one another.  Those of one seed meet scenarios in common: that makes the interval of
    the difference of two runs too wide, but that of the slope over nested runs too narrow, since neighbours on one side
    of the mean size err together (measured: its true standard deviation is up to 1.2 times the assumed one).

    Raises:
        UsageError: no arm has a memory.
    """
    last = runs[-1].results.summary
    with_memory = [name for name, arm in last.arms.items() if arm.memory_entries is not None]
    if not with_memory:
        raise UsageError(f"no arm of these runs has a memory, got {', '.join(last.arms)}")
    main = last.verdict.arm if last.verdict.arm in with_memory else with_memory[0]
    names = [REFERENCE_ARM, *with_memory] if REFERENCE_ARM in last.arms else with_memory
    arms = {name: [_at_size(run, name) for run in runs] for name in names}
    allowed = last.verdict.max_harm
    changes = {name: _changes(arms[name], allowed) for name in with_memory}
    return MemoryGrowth(
        task=last.task,
        physics=last.physics,
        arm=main,
        max_harm=allowed,
        scenarios=[run.scenarios for run in runs],
        commits=[run.commit for run in runs],
        runs=[str(run.results.run_dir) for run in runs],
        arms=arms,
        changes=changes,
        differences=differences_to_know(runs),
    )


def _at_size(run: SizedRun, name: str) -> ArmAtSize:
    summary = run.results.summary
    arm, near = summary.arms[name], summary.arms[name].near
    against, clean = arm.vs_flow_only, arm.clean.success.rate
    base = summary.arms[REFERENCE_ARM].clean.success.rate if REFERENCE_ARM in summary.arms else None
    apart = None if name == REFERENCE_ARM or clean is None or base is None else clean - base
    return ArmAtSize(
        scenarios=run.scenarios,
        cases_asked=_cases_asked(arm),
        cases_after=arm.memory_entries,
        near=near.success,
        clean=arm.clean.success,
        control=arm.control.success,
        gain=against and estimate(against.success_diff, against.ci95),
        gain_pairs=against.n_pairs if against else 0,
        failures=near.f1.n,
        repeated=estimate(near.repeated, near.f1.repeated_ci95),
        substituted=near.substituted,
        harm=estimate(arm.harm.rate, arm.harm.ci95),
        harm_pairs=arm.harm.n_pairs,
        harm_mcnemar_p=arm.harm.mcnemar_p,
        clean_difference=apart,
    )


def _cases_asked(arm: ArmSummary) -> int | None:
    """An arm's numbers are those of its last round, which asks what the round before left."""
    last = max((r.round for r in arm.rounds), default=None)
    return next((s.entries for s in reversed(arm.memory_sizes) if last is not None and s.round < last), None)


def _changes(sizes: Sequence[ArmAtSize], max_harm: float) -> dict[Quantity, Change]:
    changes = {}
    for quantity, of in _MEASURED.items():
        found = [(at.scenarios, n, value) for at in sizes for n, value in (of(at),) if value is not None]
        if len(found) > 1:
            scenarios, episodes, values = zip(*found, strict=True)
            slope, difference = per_doubling(scenarios, episodes, values), independent_difference(values[-1], values[0])
            margin = max_harm if quantity is Quantity.HARM else MARGIN
            known = trend(slope, math.log2(scenarios[-1] / scenarios[0]), difference, margin)
            changes[quantity] = Change(scenarios[0], scenarios[-1], slope, difference, known, margin)
    return changes
