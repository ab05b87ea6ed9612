"""From episode records to the summary of a run.

Rounds: E2 numbers are those of each arm's last round; ``ArmSummary.rounds`` has them all.
Pairing: two arms are compared on scenarios whose episodes are valid in both.
"""

from __future__ import annotations

import statistics as descriptive
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from flow_rag_vla.benchmark.episodes.records import EpisodeRecord, Exposure
from flow_rag_vla.benchmark.scoring.arms import HABIT_ARM, REFERENCE_ARM, verdict_arms
from flow_rag_vla.benchmark.scoring.comparisons import (
    HARM_EXPOSURES,
    adjust_for_many_arms,
    compare,
    correction_effects,
    harm,
)
from flow_rag_vla.benchmark.scoring.repeats import loss_chains, repeat_counts
from flow_rag_vla.benchmark.scoring.run_records import RunRecords
from flow_rag_vla.benchmark.scoring.statistics import Proportion, proportion
from flow_rag_vla.benchmark.scoring.statistics.prevalence import (
    DEPLOYMENT_PREVALENCE,
    PREVALENCES,
    break_even,
    estimate,
    mixed_success,
    net_gain,
)
from flow_rag_vla.benchmark.scoring.statistics.verdict import Gain, Harmfulness, gain_known, harm_known, judge
from flow_rag_vla.benchmark.scoring.summary import (
    HEADLINE_EXPOSURE,
    SUMMARY_EXPOSURES,
    ArmSummary,
    Comparison,
    Deployment,
    E1Summary,
    ExposureSummary,
    FaultSummary,
    Harm,
    LossChain,
    MemorySize,
    NetGain,
    Payoff,
    Penetration,
    RoundSummary,
    Steps,
    Summary,
    Verdict,
)
from flow_rag_vla.tasks.facts.contact_parameters import MAX_PENETRATION_M

LOSS_CHAIN_EXPOSURES: tuple[Exposure, ...] = (Exposure.EXACT, Exposure.NEAR)


def summarise(
    records: Iterable[EpisodeRecord],
    *,
    task: str,
    physics: str,
    memory_entries: Mapping[str, int | None] | None = None,
    memory_sizes: Mapping[str, Mapping[int, int]] | None = None,
    seed: int = 0,
) -> Summary:
    """The summary of a run; the same records in any order give the same summary.

    Args:
        records: every episode of the run, all arms and rounds.
        task: task name.
        physics: physics preset.
        memory_entries: cases stored at the end per arm, None (or absent) for arms without memory.
        memory_sizes: cases stored after each round per arm, where somebody counted them.
        seed: of the bootstrap.

    Raises:
        ValueError: records that contradict each other.
    """
    run = RunRecords.of(records)
    entries, sizes = memory_entries or {}, memory_sizes or {}
    arms = {arm: _arm(run, arm, entries.get(arm), sizes.get(arm, {}), seed) for arm in run.rounds}
    arms = adjust_for_many_arms(arms)
    every = [*run.e1.values(), *(r for rows in run.e2.values() for r in rows)]
    invalid = sum(not r.valid for r in every)
    verdict = _verdict(run, arms, invalid)
    return Summary(task, physics, _e1(run), arms, _by_fault(run), verdict, _penetration(every))


def _depths_mm(episodes: Iterable[EpisodeRecord]) -> list[float]:
    return [r.penetration_mm for r in episodes if r.penetration_mm is not None]


def _penetration(episodes: Iterable[EpisodeRecord]) -> Penetration | None:
    depths = _depths_mm(episodes)
    if not depths:
        return None
    bound_mm = 1e3 * MAX_PENETRATION_M
    # An episode's own depth, not an interpolated one: the smallest that 99.5 % of the episodes stay within.
    quantile = float(np.quantile(depths, 0.995, method="inverted_cdf"))
    return Penetration(len(depths), max(depths), quantile, sum(d > bound_mm for d in depths), bound_mm)


def _e1(run: RunRecords) -> E1Summary:
    episodes = list(run.e1.values())
    failed = [r for r in episodes if r.failed]
    fired = sum(r.fault_fired for r in failed)
    return E1Summary(
        n=len(episodes),
        failed=len(failed),
        fault_fired=fired,
        own=len(failed) - fired,
        invalid=sum(not r.valid for r in episodes),
        success=_success(episodes),
        by_type=_failure_types(failed),
    )


def _arm(run: RunRecords, arm: str, memory_entries: int | None, sizes: Mapping[int, int], seed: int) -> ArmSummary:
    cautious = arm not in (HABIT_ARM, REFERENCE_ARM) and HABIT_ARM in run.rounds
    broken = harm(run, arm, seed)
    comparison = None if arm == REFERENCE_ARM else compare(run, arm, REFERENCE_ARM, seed)
    chains: dict[str, dict[str, LossChain]] = {}
    retrieved = None
    if memory_entries is not None:
        chains = {x.value: loss_chains(run.e1, run.last(arm, x)) for x in LOSS_CHAIN_EXPOSURES}
        episodes = [r for (name, _, _), rows in run.e2.items() if name == arm for r in rows]
        retrieved = proportion(sum(r.retrievals > 0 for r in episodes), len(episodes))
    return ArmSummary(
        **{x.value: _exposure(run, run.last(arm, x), x) for x in SUMMARY_EXPOSURES},
        harm=broken,
        vs_flow_only=comparison,
        vs_always_cautious=compare(run, arm, HABIT_ARM, seed) if cautious else None,
        answer=comparison and judge(_gain(comparison), _harm(broken)),
        payoff=comparison and _payoff(comparison, broken),
        deployment=_deployment(run, arm),
        memory_entries=memory_entries,
        memory_sizes=[MemorySize(round_, n) for round_, n in sorted(sizes.items())] if chains else [],
        retrieved=retrieved,
        loss_chain=chains,
        rounds=[
            _round(run, run.e2[arm, round_, exposure], round_, exposure)
            for round_ in run.rounds[arm]
            for exposure in SUMMARY_EXPOSURES
            if (arm, round_, exposure) in run.e2
        ],
        corrections=correction_effects(run, arm),
    )


def _gain(comparison: Comparison) -> Gain:
    return gain_known(comparison.ci95, comparison.mcnemar_p)


def _harm(broken: Harm) -> Harmfulness:
    return harm_known(broken.ci95, broken.mcnemar_p)


def _payoff(comparison: Comparison, broken: Harm) -> Payoff | None:
    gain, harmed = estimate(comparison.success_diff, comparison.ci95), estimate(broken.rate, broken.ci95)
    if gain is None or harmed is None:
        return None
    curve = [(prevalence, net_gain(gain, harmed, prevalence)) for prevalence in PREVALENCES]
    return Payoff([NetGain(prevalence, net.value, net.ci95) for prevalence, net in curve], break_even(gain, harmed))


def _deployment(run: RunRecords, arm: str) -> Deployment | None:
    hazardous, other = _success(run.last(arm, HEADLINE_EXPOSURE)), _success(run.last(arm, *HARM_EXPOSURES))
    mixed = mixed_success(hazardous, other, DEPLOYMENT_PREVALENCE)
    return None if mixed is None else Deployment(DEPLOYMENT_PREVALENCE, mixed.value, mixed.ci95)


def _exposure(run: RunRecords, episodes: Sequence[EpisodeRecord], exposure: Exposure) -> ExposureSummary:
    f1 = repeat_counts(run.e1, episodes, exposure)
    steps = [r.steps for r in episodes if r.succeeded]
    return ExposureSummary(
        n=len(episodes),
        success=_success(episodes),
        repeated=proportion(f1.repeated, f1.n).rate,
        substituted=proportion(f1.substituted, f1.n).rate,
        resolved=proportion(f1.resolved, f1.n).rate,
        invalid=sum(not r.valid for r in episodes),
        f1=f1,
        recovery=_success([r for r in episodes if r.fault_fired and r.fault_class == "exogenous"]),
        steps_to_success=Steps(
            len(steps),
            descriptive.fmean(steps) if steps else None,
            float(descriptive.median(steps)) if steps else None,
        ),
    )


def _round(run: RunRecords, episodes: Sequence[EpisodeRecord], round_: int, exposure: Exposure) -> RoundSummary:
    whole = _exposure(run, episodes, exposure)
    return RoundSummary(
        round=round_,
        exposure=exposure,
        success=whole.success,
        repeated=whole.repeated,
        substituted=whole.substituted,
        resolved=whole.resolved,
        invalid=whole.invalid,
    )


def _by_fault(run: RunRecords) -> dict[str, dict[str, dict[str, FaultSummary]]]:
    groups: dict[tuple[str, Exposure, str], list[EpisodeRecord]] = defaultdict(list)
    for record in run.e1.values():
        groups[record.fault, Exposure.E1, record.arm].append(record)
    for arm in run.rounds:
        for exposure in SUMMARY_EXPOSURES:
            for record in run.last(arm, exposure):
                groups[record.fault, exposure, arm].append(record)
    table: dict[str, dict[str, dict[str, FaultSummary]]] = {}
    for fault, exposure, arm in sorted(groups, key=_fault_order):
        episodes = groups[fault, exposure, arm]
        f1 = repeat_counts(run.e1, episodes, exposure)
        again = None if exposure is Exposure.E1 else proportion(f1.repeated, f1.n).rate
        table.setdefault(fault, {}).setdefault(exposure.value, {})[arm] = FaultSummary(
            n=len(episodes),
            success=_success(episodes),
            invalid=sum(not r.valid for r in episodes),
            fault_fired=sum(r.fault_fired for r in episodes),
            failed=proportion(sum(r.failed for r in episodes), sum(r.valid for r in episodes)),
            failure_types=_failure_types(episodes),
            repeated=again,
            penetration_mm=max(_depths_mm(episodes), default=None),
        )
    return table


def _fault_order(group: tuple[str, Exposure, str]) -> tuple[str, int, str]:
    fault, exposure, arm = group
    return fault, list(Exposure).index(exposure), arm


def _verdict(run: RunRecords, arms: Mapping[str, ArmSummary], invalid: int) -> Verdict:
    others = [arm for arm in arms if arm != REFERENCE_ARM]
    main = next((arm for arm in (*verdict_arms(), *others) if arm in arms), None)
    comparison = None if main is None else arms[main].vs_flow_only
    if main is None or comparison is None:
        nothing = Gain.UNKNOWN, Harmfulness.UNKNOWN
        return Verdict(None, judge(*nothing), *nothing, HEADLINE_EXPOSURE, None, invalid)
    gain, harmed = _gain(comparison), _harm(arms[main].harm)
    return Verdict(main, judge(gain, harmed), gain, harmed, HEADLINE_EXPOSURE, run.rounds[main][-1], invalid)


def _success(episodes: Sequence[EpisodeRecord]) -> Proportion:
    return proportion(sum(r.succeeded for r in episodes), sum(r.valid for r in episodes))


def _failure_types(episodes: Iterable[EpisodeRecord]) -> dict[str, int]:
    counts = Counter(r.failure_type for r in episodes if r.failed and r.failure_type is not None)
    return dict(sorted(counts.items()))
