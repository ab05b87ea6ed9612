"""From episode records to the summary of a run.

Rounds: E2 numbers are those of each arm's last round; ``ArmSummary.rounds`` has them all.
Pairing: two arms are compared on scenarios whose episodes are valid in both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from flow_rag_vla.agents.arms.settings import AgentSettings
from flow_rag_vla.benchmark.episodes.records import Exposure
from flow_rag_vla.benchmark.scoring.arms import HABIT_ARM, REFERENCE_ARM, is_judged, verdict_arm
from flow_rag_vla.benchmark.scoring.columns.episode_columns import Episodes, groups
from flow_rag_vla.benchmark.scoring.columns.run_records import RunRecords
from flow_rag_vla.benchmark.scoring.compared import Comparison, Harm
from flow_rag_vla.benchmark.scoring.comparisons import (
    adjust_for_many_arms,
    compare,
    correction_effects,
    hard_impacts,
    harm,
    memory_adds,
)
from flow_rag_vla.benchmark.scoring.repeats import loss_chains, repeat_counts
from flow_rag_vla.benchmark.scoring.statistics import Proportion, proportion
from flow_rag_vla.benchmark.scoring.statistics.prevalence import (
    DEPLOYMENT_PREVALENCE,
    break_even,
    estimate,
    mixed_success,
    net_curve,
)
from flow_rag_vla.benchmark.scoring.statistics.verdict import (
    Gain,
    Harmfulness,
    gain_known,
    harm_known,
    judge,
    limit_known,
)
from flow_rag_vla.benchmark.scoring.summary import (
    HARM_EXPOSURES,
    HEADLINE_EXPOSURE,
    SUMMARY_EXPOSURES,
    ArmSummary,
    Deployment,
    E1Summary,
    ExposureSummary,
    FaultSummary,
    LossChain,
    MemorySize,
    OffSupport,
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
    run: RunRecords,
    *,
    task: str,
    physics: str,
    memory_entries: Mapping[str, int | None] | None = None,
    memory_sizes: Mapping[str, Mapping[int, int]] | None = None,
    seed: int = 0,
    max_harm: float = AgentSettings.max_harm / 100.0,
) -> Summary:
    """The summary of a run; the same records in any order give the same summary.

    Args:
        run: every episode of the run, all arms and rounds.
        task: task name.
        physics: physics preset.
        memory_entries: cases stored at the end per arm, None (or absent) for arms without memory.
        memory_sizes: cases stored after each round per arm, where somebody counted them.
        seed: of the bootstrap.
        max_harm: share of what works without it that the verdict's arm may break.
    """
    entries, sizes = memory_entries or {}, memory_sizes or {}
    arms = {arm: _arm(run, arm, entries.get(arm), sizes.get(arm, {}), seed) for arm in run.rounds}
    arms = adjust_for_many_arms(arms)
    every = [run.e1, *run.e2.values()]
    invalid = sum(_invalid(episodes) for episodes in every)
    verdict = _verdict(run, arms, invalid, max_harm)
    adds = memory_adds(run, seed)
    return Summary(task, physics, _e1(run), arms, _by_fault(run), verdict, _penetration(every), memory_adds=adds)


def _invalid(episodes: Episodes) -> int:
    return int((~episodes.valid).sum())


def _depths_mm(episodes: Episodes) -> npt.NDArray[np.float64]:
    """Of those that have a number."""
    return episodes.penetration_mm[~np.isnan(episodes.penetration_mm)]


def _penetration(parts: Sequence[Episodes]) -> Penetration | None:
    depths = np.concatenate([_depths_mm(episodes) for episodes in parts])
    if not len(depths):
        return None
    bound_mm = 1e3 * MAX_PENETRATION_M
    # An episode's own depth, not an interpolated one: the smallest that 99.5 % of the episodes stay within.
    quantile = float(np.quantile(depths, 0.995, method="inverted_cdf"))
    return Penetration(len(depths), float(depths.max()), quantile, int((depths > bound_mm).sum()), bound_mm)


def _e1(run: RunRecords) -> E1Summary:
    episodes = run.e1
    failed = episodes[episodes.failed]
    fired = int(failed.fault_fired.sum())
    return E1Summary(
        n=len(episodes),
        failed=len(failed),
        fault_fired=fired,
        own=len(failed) - fired,
        invalid=_invalid(episodes),
        success=_success(episodes),
        by_type=_failure_types(run, failed),
    )


def _arm(run: RunRecords, arm: str, memory_entries: int | None, sizes: Mapping[int, int], seed: int) -> ArmSummary:
    cautious = arm not in (HABIT_ARM, REFERENCE_ARM) and HABIT_ARM in run.rounds
    broken = harm(run, arm, seed)
    comparison = None if arm == REFERENCE_ARM else compare(run, arm, REFERENCE_ARM, seed)
    chains: dict[str, dict[str, LossChain]] = {}
    retrieved = None
    parts = [episodes for (name, _, _), episodes in run.e2.items() if name == arm]
    if memory_entries is not None:
        chains = {x.value: loss_chains(run, run.last(arm, x)) for x in LOSS_CHAIN_EXPOSURES}
        retrieved = proportion(sum(int(part.retrieved.sum()) for part in parts), sum(map(len, parts)))
    return ArmSummary(
        **{x.value: _exposure(run, run.last(arm, x), x) for x in SUMMARY_EXPOSURES},
        harm=broken,
        vs_flow_only=comparison,
        vs_always_cautious=compare(run, arm, HABIT_ARM, seed) if cautious else None,
        answer=judge(_gain(comparison), _harm(broken)) if comparison and is_judged(arm) else None,
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
        off_support=_off_support(parts),
        hard_impacts=hard_impacts(run, arm, seed),
    )


def _off_support(parts: Sequence[Episodes]) -> OffSupport | None:
    k, n = (int(sum(getattr(part, name).sum() for part in parts)) for name in ("off_support", "steered"))
    return OffSupport(k, n, k / n) if n else None


def _gain(comparison: Comparison) -> Gain:
    return gain_known(comparison.ci95, comparison.mcnemar_p)


def _harm(broken: Harm) -> Harmfulness:
    return harm_known(broken.ci95, broken.mcnemar_p)


def _payoff(comparison: Comparison, broken: Harm) -> Payoff | None:
    gain, harmed = estimate(comparison.success_diff, comparison.ci95), estimate(broken.rate, broken.ci95)
    if gain is None or harmed is None:
        return None
    return Payoff(net_curve(gain, harmed), break_even(gain, harmed))


def _deployment(run: RunRecords, arm: str) -> Deployment | None:
    hazardous, other = _success(run.last(arm, HEADLINE_EXPOSURE)), _success(run.last(arm, *HARM_EXPOSURES))
    mixed = mixed_success(hazardous, other, DEPLOYMENT_PREVALENCE)
    return None if mixed is None else Deployment(DEPLOYMENT_PREVALENCE, mixed.value, mixed.ci95)


def _exposure(run: RunRecords, episodes: Episodes, exposure: Exposure) -> ExposureSummary:
    f1 = repeat_counts(run, episodes, exposure)
    steps = episodes.steps[episodes.succeeded]
    exogenous = run.vocabulary.classes.code("exogenous")
    return ExposureSummary(
        n=len(episodes),
        success=_success(episodes),
        repeated=proportion(f1.repeated, f1.n).rate,
        substituted=proportion(f1.substituted, f1.n).rate,
        resolved=proportion(f1.resolved, f1.n).rate,
        invalid=_invalid(episodes),
        f1=f1,
        recovery=_success(episodes[episodes.fault_fired & (episodes.fault_class == exogenous)]),
        steps_to_success=Steps(
            len(steps),
            int(steps.sum()) / len(steps) if len(steps) else None,
            float(np.median(steps)) if len(steps) else None,
        ),
    )


def _round(run: RunRecords, episodes: Episodes, round_: int, exposure: Exposure) -> RoundSummary:
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
    arms, faults = run.vocabulary.arms.words, run.vocabulary.faults.words
    cells: dict[tuple[str, Exposure, str], Episodes] = {}
    for (fault, arm), rows in groups(run.e1.fault, run.e1.arm):
        cells[faults[fault], Exposure.E1, arms[arm]] = run.e1[rows]
    for arm in run.rounds:
        for exposure in SUMMARY_EXPOSURES:
            last = run.last(arm, exposure)
            for (fault,), rows in groups(last.fault):
                cells[faults[fault], exposure, arm] = last[rows]
    table: dict[str, dict[str, dict[str, FaultSummary]]] = {}
    for fault, exposure, arm in sorted(cells, key=_fault_order):
        episodes = cells[fault, exposure, arm]
        f1 = repeat_counts(run, episodes, exposure)
        again = None if exposure is Exposure.E1 else proportion(f1.repeated, f1.n).rate
        table.setdefault(fault, {}).setdefault(exposure.value, {})[arm] = FaultSummary(
            n=len(episodes),
            success=_success(episodes),
            invalid=_invalid(episodes),
            fault_fired=int(episodes.fault_fired.sum()),
            failed=proportion(int(episodes.failed.sum()), int(episodes.valid.sum())),
            failure_types=_failure_types(run, episodes),
            repeated=again,
            penetration_mm=max(_depths_mm(episodes).tolist(), default=None),
        )
    return table


def _fault_order(group: tuple[str, Exposure, str]) -> tuple[str, int, str]:
    fault, exposure, arm = group
    return fault, list(Exposure).index(exposure), arm


def _verdict(run: RunRecords, arms: Mapping[str, ArmSummary], invalid: int, max_harm: float) -> Verdict:
    main = verdict_arm(arms)
    comparison = None if main is None else arms[main].vs_flow_only
    if main is None or comparison is None:
        nothing = Gain.UNKNOWN, Harmfulness.UNKNOWN
        return Verdict(None, judge(*nothing), *nothing, HEADLINE_EXPOSURE, None, invalid, max_harm)
    gain, harmed = _gain(comparison), _harm(arms[main].harm)
    broken, last = arms[main].harm, run.rounds[main][-1]
    limit = limit_known(broken.ci95, broken.mcnemar_p, max_harm)
    return Verdict(main, judge(gain, harmed), gain, harmed, HEADLINE_EXPOSURE, last, invalid, max_harm, limit)


def _success(episodes: Episodes) -> Proportion:
    return proportion(int(episodes.succeeded.sum()), int(episodes.valid.sum()))


def _failure_types(run: RunRecords, episodes: Episodes) -> dict[str, int]:
    types = run.vocabulary.types.words
    counts = {types[kind]: len(rows) for (kind,), rows in groups(episodes.failure_type[episodes.failed])}
    return dict(sorted(counts.items()))
