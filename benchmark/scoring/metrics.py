"""From episode records to the summary of a run.

Rounds: E2 numbers are those of each arm's last round; ``ArmSummary.rounds`` has them all.
Pairing: two arms are compared on scenarios whose episodes are valid in both.
"""

from __future__ import annotations

import hashlib
import statistics as descriptive
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from flow_rag_vla.benchmark.episodes.records import E1_EXPOSURE, KNOWN_EXPOSURES, EpisodeRecord
from flow_rag_vla.benchmark.scoring.repeats import (
    POSE_TOLERANCE_BINS,
    can_repeat,
    loss_chains,
    repeat_counts,
    same_failure,
)
from flow_rag_vla.benchmark.scoring.results import (
    HEADLINE_EXPOSURE,
    REFERENCE_ARM,
    SUMMARY_EXPOSURES,
    ArmSummary,
    Comparison,
    E1Summary,
    ExposureSummary,
    FaultSummary,
    Harm,
    LossChain,
    RoundSummary,
    Steps,
    Summary,
    Verdict,
)
from flow_rag_vla.benchmark.scoring.statistics import (
    Proportion,
    holm,
    mcnemar_exact,
    paired_difference,
    proportion,
    ratio_reduction_interval,
)

MAIN_ARMS: tuple[str, ...] = ("parallel", "sequential", "rag_only")
"""Whose answer the verdict gives: the first of these that ran, else the first other arm."""

CAUTIOUS_ARM = "always_cautious"
HARM_EXPOSURES: tuple[str, ...] = ("clean", "control")
LOSS_CHAIN_EXPOSURES: tuple[str, ...] = ("exact", "near")
SIGNIFICANCE = 0.05

Pairs = list[tuple[EpisodeRecord, EpisodeRecord]]
ScenarioKey = tuple[str, str, str]


@dataclass(frozen=True)
class RunRecords:
    """The records of a run, by where they belong."""

    e1: Mapping[str, EpisodeRecord]
    """Round 0 by scenario id."""
    e2: Mapping[tuple[str, int, str], tuple[EpisodeRecord, ...]]
    """By arm, round and exposure, in scenario order."""
    rounds: Mapping[str, tuple[int, ...]]
    """E2 rounds of each arm."""

    @classmethod
    def of(cls, records: Iterable[EpisodeRecord]) -> RunRecords:
        """Sort records into place; their order does not matter.

        Raises:
            ValueError: a scenario met twice in one place, or repeated though E1 has not met it.
        """
        e1: dict[str, EpisodeRecord] = {}
        e2: dict[tuple[str, int, str], dict[ScenarioKey, EpisodeRecord]] = defaultdict(dict)
        for record in sorted(records, key=_scenario_key):
            if record.exposure == E1_EXPOSURE:
                known = e1.setdefault(record.scenario_id, record)
            else:
                place = e2[record.arm, record.round, record.exposure]
                known = place.setdefault(_scenario_key(record), record)
            if known is not record:
                raise ValueError(
                    f"two records of arm {record.arm}, round {record.round}, "
                    f"{record.exposure}, scenario {record.scenario_id}"
                )
        for (arm, _, exposure), rows in e2.items():
            for record in rows.values():
                if record.base_scenario_id not in e1:
                    raise ValueError(
                        f"{arm} {exposure} repeats scenario {record.base_scenario_id}, which E1 has not met"
                    )
        rounds: dict[str, set[int]] = defaultdict(set)
        for arm, round_, _ in e2:
            rounds[arm].add(round_)
        return cls(
            e1,
            {place: tuple(rows.values()) for place, rows in e2.items()},
            {arm: tuple(sorted(values)) for arm, values in sorted(rounds.items())},
        )

    def last(self, arm: str, *exposures: str) -> tuple[EpisodeRecord, ...]:
        """The arm's episodes on ``exposures`` in its last round."""
        if arm not in self.rounds:
            return ()
        last = self.rounds[arm][-1]
        return tuple(r for name in exposures for r in self.e2.get((arm, last, name), ()))

    def pairs(self, arm: str, reference: str, *exposures: str) -> Pairs:
        """Last-round episodes of two arms on the same scenario, valid in both."""
        others = {_scenario_key(r): r for r in self.last(reference, *exposures)}
        both = ((r, others.get(_scenario_key(r))) for r in self.last(arm, *exposures))
        return [(a, b) for a, b in both if b is not None and a.valid and b.valid]


def summarise(
    records: Iterable[EpisodeRecord],
    *,
    task: str,
    physics: str,
    memory_entries: Mapping[str, int | None] | None = None,
    seed: int = 0,
) -> Summary:
    """The summary of a run; the same records in any order give the same summary.

    Args:
        records: every episode of the run, all arms and rounds.
        task: task name.
        physics: physics preset.
        memory_entries: cases stored at the end per arm, None (or absent) for arms without memory.
        seed: of the bootstrap.

    Raises:
        ValueError: records that contradict each other.
    """
    run = RunRecords.of(records)
    entries = memory_entries or {}
    arms = {arm: _arm(run, arm, entries.get(arm), seed) for arm in run.rounds}
    arms = _adjust_for_many_arms(arms)
    every = [*run.e1.values(), *(r for rows in run.e2.values() for r in rows)]
    invalid = sum(not r.valid for r in every)
    return Summary(task, physics, _e1(run), arms, _by_fault(run), _verdict(arms, invalid))


def compare(run: RunRecords, arm: str, reference: str, seed: int = 0) -> Comparison:
    """``arm`` against ``reference`` on the NEAR scenarios."""
    exposure = HEADLINE_EXPOSURE
    pairs = run.pairs(arm, reference, exposure)
    ours, theirs = [a.succeeded for a, _ in pairs], [b.succeeded for _, b in pairs]
    rng = _rng(seed, "success", arm, reference)
    difference = paired_difference(ours, theirs, rng, _sites(pairs))
    test = mcnemar_exact(ours, theirs)
    repeated = repeat_counts(run.e1, run.last(arm, exposure), exposure)
    base = repeat_counts(run.e1, run.last(reference, exposure), exposure)
    reduction, reduction_ci95 = None, None
    if repeated.n and base.repeated:
        reduction = 1.0 - (repeated.repeated / repeated.n) / (base.repeated / base.n)
        again = [(a, b) for a, b in pairs if can_repeat(run.e1[a.base_scenario_id])]
        reduction_ci95 = ratio_reduction_interval(
            [_repeats(run, a) for a, _ in again],
            [_repeats(run, b) for _, b in again],
            _rng(seed, "repeats", arm, reference),
            _sites(again),
        )
    return Comparison(
        exposure=exposure,
        n_pairs=len(pairs),
        success_diff=difference.difference,
        ci95=difference.ci95,
        gained=test.gained,
        lost=test.lost,
        mcnemar_p=test.p if pairs else None,
        mcnemar_p_holm=None,
        rfr_reduction=reduction,
        rfr_reduction_ci95=reduction_ci95,
    )


def harm(run: RunRecords, arm: str, seed: int = 0) -> Harm:
    """What the arm breaks among the CLEAN and CONTROL scenarios that E1 had solved."""
    solved = [r for r in run.last(arm, *HARM_EXPOSURES) if r.valid and run.e1[r.base_scenario_id].succeeded]
    failed = proportion(sum(r.failed for r in solved), len(solved))
    if arm == REFERENCE_ARM:
        return Harm(None, None, failed, len(solved))
    pairs = [(a, b) for a, b in run.pairs(arm, REFERENCE_ARM, *HARM_EXPOSURES) if run.e1[a.base_scenario_id].succeeded]
    difference = paired_difference(
        [a.failed for a, _ in pairs],
        [b.failed for _, b in pairs],
        _rng(seed, "harm", arm, REFERENCE_ARM),
        _sites(pairs),
    )
    return Harm(difference.difference, difference.ci95, failed, difference.n)


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


def _arm(run: RunRecords, arm: str, memory_entries: int | None, seed: int) -> ArmSummary:
    cautious = arm not in (CAUTIOUS_ARM, REFERENCE_ARM) and CAUTIOUS_ARM in run.rounds
    chains: dict[str, dict[str, LossChain]] = {}
    if memory_entries is not None:
        chains = {x: loss_chains(run.e1, run.last(arm, x)) for x in LOSS_CHAIN_EXPOSURES}
    return ArmSummary(
        **{x: _exposure(run, run.last(arm, x), x) for x in SUMMARY_EXPOSURES},
        harm=harm(run, arm, seed),
        vs_flow_only=None if arm == REFERENCE_ARM else compare(run, arm, REFERENCE_ARM, seed),
        vs_always_cautious=compare(run, arm, CAUTIOUS_ARM, seed) if cautious else None,
        memory_entries=memory_entries,
        loss_chain=chains,
        rounds=[
            _round(run, run.e2[arm, round_, exposure], round_, exposure)
            for round_ in run.rounds[arm]
            for exposure in SUMMARY_EXPOSURES
            if (arm, round_, exposure) in run.e2
        ],
    )


def _exposure(run: RunRecords, episodes: Sequence[EpisodeRecord], exposure: str) -> ExposureSummary:
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


def _round(run: RunRecords, episodes: Sequence[EpisodeRecord], round_: int, exposure: str) -> RoundSummary:
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
    groups: dict[tuple[str, str, str], list[EpisodeRecord]] = defaultdict(list)
    for record in run.e1.values():
        groups[record.fault, E1_EXPOSURE, record.arm].append(record)
    for arm in run.rounds:
        for exposure in SUMMARY_EXPOSURES:
            for record in run.last(arm, exposure):
                groups[record.fault, exposure, arm].append(record)
    table: dict[str, dict[str, dict[str, FaultSummary]]] = {}
    for fault, exposure, arm in sorted(groups, key=_fault_order):
        episodes = groups[fault, exposure, arm]
        f1 = repeat_counts(run.e1, episodes, exposure)
        again = None if exposure == E1_EXPOSURE else proportion(f1.repeated, f1.n).rate
        table.setdefault(fault, {}).setdefault(exposure, {})[arm] = FaultSummary(
            n=len(episodes),
            success=_success(episodes),
            invalid=sum(not r.valid for r in episodes),
            fault_fired=sum(r.fault_fired for r in episodes),
            failed=proportion(sum(r.failed for r in episodes), sum(r.valid for r in episodes)),
            failure_types=_failure_types(episodes),
            repeated=again,
        )
    return table


def _fault_order(group: tuple[str, str, str]) -> tuple[str, int, str]:
    fault, exposure, arm = group
    return fault, KNOWN_EXPOSURES.index(exposure), arm


def _adjust_for_many_arms(arms: dict[str, ArmSummary]) -> dict[str, ArmSummary]:
    """Holm-adjusted p-values, one family per reference arm."""
    for name in ("vs_flow_only", "vs_always_cautious"):
        family = {
            arm: comparison
            for arm, summary in arms.items()
            if (comparison := getattr(summary, name)) and comparison.mcnemar_p is not None
        }
        adjusted = holm([comparison.mcnemar_p for comparison in family.values()])
        for (arm, comparison), p in zip(family.items(), adjusted, strict=True):
            arms[arm] = replace(arms[arm], **{name: replace(comparison, mcnemar_p_holm=p)})
    return arms


def _verdict(arms: Mapping[str, ArmSummary], invalid: int) -> Verdict:
    others = [arm for arm in arms if arm != REFERENCE_ARM]
    main = next((arm for arm in (*MAIN_ARMS, *others) if arm in arms), None)
    answer, harmful = "not_enough_data", False
    if main is not None:
        comparison, broken = arms[main].vs_flow_only, arms[main].harm.ci95
        harmful = broken is not None and broken[0] > 0.0
        if comparison and comparison.ci95 and comparison.mcnemar_p is not None:
            low, high = comparison.ci95
            clear = comparison.mcnemar_p < SIGNIFICANCE
            answer = "helps" if clear and low > 0 else "hurts" if clear and high < 0 else "no_difference"
    return Verdict(main, answer, harmful, HEADLINE_EXPOSURE, invalid)


def _success(episodes: Sequence[EpisodeRecord]) -> Proportion:
    return proportion(sum(r.succeeded for r in episodes), sum(r.valid for r in episodes))


def _failure_types(episodes: Iterable[EpisodeRecord]) -> dict[str, int]:
    counts = Counter(r.failure_type for r in episodes if r.failed and r.failure_type is not None)
    return dict(sorted(counts.items()))


def _repeats(run: RunRecords, record: EpisodeRecord) -> bool:
    tolerance = POSE_TOLERANCE_BINS.get(record.exposure, 1)
    return same_failure(run.e1[record.base_scenario_id], record, tolerance)


def _scenario_key(record: EpisodeRecord) -> ScenarioKey:
    return record.exposure, record.scenario_id, record.base_scenario_id


def _sites(pairs: Pairs) -> list[int]:
    """The statistical cluster of each pair: the site whose hidden map both episodes met."""
    return [a.site for a, _ in pairs]


def _rng(seed: int, *names: str) -> np.random.Generator:
    """A generator for each estimate, so that adding an arm changes no other's interval."""
    digest = hashlib.sha256("\n".join(names).encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest[:16], dtype=np.uint32).tolist()])
