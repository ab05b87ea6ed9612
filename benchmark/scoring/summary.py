"""The records of ``summary.json``: results only, so the same plan gives the same bytes.

What nobody measured is None, null in the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from flow_rag_vla.agents.arms.settings import AgentSettings
from flow_rag_vla.benchmark.command.atomic_files import write_json_atomic
from flow_rag_vla.benchmark.command.decoding import read_record
from flow_rag_vla.benchmark.episodes.records import Exposure
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.compared import Comparison, CorrectionEffect, HardImpacts, Harm, MemoryAdds
from flow_rag_vla.benchmark.scoring.statistics import Interval, Proportion
from flow_rag_vla.benchmark.scoring.statistics.prevalence import BreakEven, NetGain
from flow_rag_vla.benchmark.scoring.statistics.verdict import Answer, Gain, Harmfulness, Limit

SCHEMA_VERSION = 4
SUMMARY_EXPOSURES: tuple[Exposure, ...] = tuple(exposure for exposure in Exposure if exposure is not Exposure.E1)
HEADLINE_EXPOSURE = Exposure.NEAR
HARM_EXPOSURES: tuple[Exposure, ...] = (Exposure.CLEAN, Exposure.CONTROL)


@dataclass(frozen=True)
class E1Summary:
    """Round 0: the reference arm with an empty memory on every planned scenario."""

    n: int
    failed: int
    """F1, the failed set that all arms share."""
    fault_fired: int
    """Failures of F1 in which the scripted fault had acted."""
    own: int
    """Failures of F1 without it: the policy's own."""
    invalid: int
    success: Proportion
    by_type: dict[str, int]
    """F1 by true failure type."""


@dataclass(frozen=True)
class RepeatCounts:
    """What became of the fault-fired, avoidable failures of F1.

    ``n = repeated + substituted + resolved``; ``invalid`` episodes are counted apart.
    """

    n: int
    repeated: int
    substituted: int
    resolved: int
    invalid: int
    repeated_ci95: Interval | None
    repeated_same_bin: float | None
    """Share repeated if the pose bins must be equal."""
    repeated_two_bins: float | None
    """Share repeated if they may be two bins apart."""
    repeated_any_pose: float | None
    """Share repeated by type and phase alone."""


@dataclass(frozen=True)
class Steps:
    """Control steps to success over ``n`` successes."""

    n: int
    mean: float | None
    median: float | None


@dataclass(frozen=True)
class ExposureSummary:
    """One arm on one exposure; ``repeated + substituted + resolved = 1`` where they apply."""

    n: int
    """Episodes, invalid ones included."""
    success: Proportion
    """Over valid episodes."""
    repeated: float | None
    substituted: float | None
    resolved: float | None
    invalid: int
    f1: RepeatCounts
    recovery: Proportion
    """Success where an exogenous fault fired."""
    steps_to_success: Steps


@dataclass(frozen=True)
class LossChain:
    """Where a memory loses a failure: each stage is a share of the one before, noticed of ``n``."""

    n: int
    noticed: Proportion
    retrieved: Proportion
    right_type: Proportion
    corrected: Proportion


@dataclass(frozen=True)
class OffSupport:
    """Steered chunks that fit worse than all of the flow's own for the same state, of ``n`` that were looked at.

    No interval: decisions of an episode are no independent trials.
    """

    k: int
    n: int
    rate: float | None


@dataclass(frozen=True)
class RoundSummary:
    """One arm on one exposure in one round."""

    round: int
    exposure: Exposure
    success: Proportion
    repeated: float | None
    substituted: float | None
    resolved: float | None
    invalid: int


@dataclass(frozen=True)
class MemorySize:
    """Cases stored after a round; round 0 is E1, whose memory every arm begins with."""

    round: int
    entries: int


@dataclass(frozen=True)
class Deployment:
    """An arm on a mix: NEAR at ``prevalence``, CLEAN and CONTROL for the rest."""

    prevalence: float
    success: float
    ci95: Interval


@dataclass(frozen=True)
class Payoff:
    """What an arm is worth at any share of scenarios with a hazard, by its gain on NEAR and its harm."""

    curve: list[NetGain]
    break_even: BreakEven


@dataclass(frozen=True)
class FaultSummary:
    """One arm on one fault and exposure."""

    n: int
    success: Proportion
    invalid: int
    fault_fired: int
    failed: Proportion
    """Over valid episodes: what ``success`` leaves."""
    failure_types: dict[str, int]
    repeated: float | None
    penetration_mm: float | None = None
    """Deepest that both finger pads together sank into the object."""


@dataclass(frozen=True)
class ArmSummary:
    """Everything about one arm; exposures that were not run have ``n == 0``."""

    exact: ExposureSummary
    near: ExposureSummary
    far: ExposureSummary
    clean: ExposureSummary
    control: ExposureSummary
    harm: Harm
    vs_flow_only: Comparison | None
    vs_always_cautious: Comparison | None
    answer: Answer | None
    """The verdict on this arm; None for the reference, and for what is no agent: told the hazard, or holding still."""
    payoff: Payoff | None
    """None for the reference, and where gain or harm was not measured."""
    deployment: Deployment | None
    """None where no hazard, or nothing but hazards, was met."""
    memory_entries: int | None
    memory_sizes: list[MemorySize]
    """By round; empty for arms without memory."""
    retrieved: Proportion | None
    """Episodes of all rounds in which a stored case passed the confidence gate; None for arms without memory."""
    loss_chain: dict[str, dict[str, LossChain]]
    """Exposure, then fault (``all`` for their sum); empty for arms without memory."""
    rounds: list[RoundSummary]
    corrections: dict[str, dict[str, CorrectionEffect]] = field(default_factory=dict)
    """Exposure, then correction; empty for arms that took none."""
    off_support: OffSupport | None = None
    """Of all rounds; None where no steered chunk was looked at (rows of older versions have none)."""
    hard_impacts: HardImpacts | None = None
    """None where NEAR was not run."""

    def exposure(self, name: str) -> ExposureSummary:
        """The exposure called ``name``.

        Raises:
            KeyError: no such exposure.
        """
        if name not in SUMMARY_EXPOSURES:
            raise KeyError(f"unknown exposure {name!r}; available: {', '.join(SUMMARY_EXPOSURES)}")
        return getattr(self, name)


@dataclass(frozen=True)
class Penetration:
    """How deep both finger pads together sank into the object, over the ``n`` episodes that have a number; mm."""

    n: int
    deepest_mm: float
    quantile_995_mm: float
    """99.5 % of the episodes stay within it."""
    beyond: int
    """Episodes beyond ``bound_mm``; they are invalid."""
    bound_mm: float


@dataclass(frozen=True)
class Verdict:
    """The run's answer for its main arm, by the rule of ``statistics/verdict.py``."""

    arm: str | None
    answer: Answer
    gain: Gain
    harm: Harmfulness
    exposure: Exposure
    """Of the gain."""
    round: int | None
    """The round that all numbers outside ``rounds`` are of, of this arm; None where it has none."""
    invalid: int
    """Invalid episodes in the whole run."""
    max_harm: float = AgentSettings.max_harm / 100.0
    """Share that the user allows this arm to break (``agent.max_harm`` in points)."""
    limit: Limit = Limit.UNKNOWN
    """Whether its harm, which is net of the reference's, is within that."""


@dataclass(frozen=True)
class Gap:
    """Planned episodes without which the run was scored."""

    unit: str
    arm: str
    round: int
    episodes: int
    why: str


@dataclass(frozen=True)
class Summary:
    """``summary.json``."""

    task: str
    physics: str
    e1: E1Summary
    arms: dict[str, ArmSummary]
    by_fault: dict[str, dict[str, dict[str, FaultSummary]]]
    """Fault, then exposure (``e1`` included), then arm."""
    verdict: Verdict
    penetration: Penetration | None = None
    """None where no episode has a number."""
    gaps: list[Gap] = field(default_factory=list)
    memory_adds: MemoryAdds | None = None
    """None where no arm has a memory that answers truly."""
    schema_version: int = SCHEMA_VERSION

    def write(self, run_dir: Path) -> Path:
        """Write ``summary.json`` atomically and return its path."""
        path = run_dir / run_files.SUMMARY
        write_json_atomic(path, self)
        return path

    @classmethod
    def read(cls, run_dir: Path) -> Self:
        """The summary of a run directory.

        Raises:
            ValueError: damaged, incomplete or of another schema version.
        """
        return read_record(cls, run_dir / run_files.SUMMARY, SCHEMA_VERSION)
