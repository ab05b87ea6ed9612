"""One arm against another on the scenarios that both met."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import replace

import numpy as np

from flow_rag_vla.benchmark.episodes.records import EpisodeRecord, Exposure
from flow_rag_vla.benchmark.scoring.arms import REFERENCE_ARM
from flow_rag_vla.benchmark.scoring.repeats import POSE_TOLERANCE_BINS, can_repeat, same_failure
from flow_rag_vla.benchmark.scoring.run_records import Pairs, RunRecords
from flow_rag_vla.benchmark.scoring.statistics import (
    holm,
    mcnemar_exact,
    paired_difference,
    paired_reduction,
    proportion,
)
from flow_rag_vla.benchmark.scoring.summary import (
    HEADLINE_EXPOSURE,
    SUMMARY_EXPOSURES,
    ArmSummary,
    Comparison,
    CorrectionEffect,
    Harm,
)

HARM_EXPOSURES: tuple[Exposure, ...] = (Exposure.CLEAN, Exposure.CONTROL)


def compare(run: RunRecords, arm: str, reference: str, seed: int = 0) -> Comparison:
    """``arm`` against ``reference`` on the NEAR scenarios."""
    exposure = HEADLINE_EXPOSURE
    pairs = run.pairs(arm, reference, exposure)
    ours, theirs = [a.succeeded for a, _ in pairs], [b.succeeded for _, b in pairs]
    rng = _rng(seed, "success", arm, reference)
    difference = paired_difference(ours, theirs, rng, _sites(pairs))
    test = mcnemar_exact(ours, theirs)
    again = [(a, b) for a, b in pairs if can_repeat(run.e1[a.base_scenario_id])]
    reduction = paired_reduction(
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
        ci95_method=difference.method,
        gained=test.gained,
        lost=test.lost,
        mcnemar_p=test.p if pairs else None,
        mcnemar_p_holm=None,
        rfr_pairs=reduction.n,
        rfr_reduction=reduction.reduction,
        rfr_reduction_ci95=reduction.ci95,
        rfr_reduction_ci95_method=reduction.method,
    )


def harm(run: RunRecords, arm: str, seed: int = 0) -> Harm:
    """What the arm breaks among the CLEAN and CONTROL scenarios that E1 had solved."""
    solved = [r for r in run.last(arm, *HARM_EXPOSURES) if r.valid and run.e1[r.base_scenario_id].succeeded]
    failed = proportion(sum(r.failed for r in solved), len(solved))
    if arm == REFERENCE_ARM:
        return Harm(None, None, failed, len(solved), None, None)
    pairs = [(a, b) for a, b in run.pairs(arm, REFERENCE_ARM, *HARM_EXPOSURES) if run.e1[a.base_scenario_id].succeeded]
    ours, theirs = [a.failed for a, _ in pairs], [b.failed for _, b in pairs]
    difference = paired_difference(ours, theirs, _rng(seed, "harm", arm, REFERENCE_ARM), _sites(pairs))
    p = mcnemar_exact(ours, theirs).p if pairs else None
    return Harm(difference.difference, difference.ci95, failed, difference.n, p, difference.method)


def correction_effects(run: RunRecords, arm: str) -> dict[str, dict[str, CorrectionEffect]]:
    """By exposure and correction, the last round's episodes in which ``arm`` acted on one and the reference did not."""
    effects: dict[str, dict[str, CorrectionEffect]] = {}
    for exposure in SUMMARY_EXPOSURES:
        outcomes: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
        for ours, theirs in run.pairs(arm, REFERENCE_ARM, exposure):
            if ours.candidate is not None:
                outcomes[ours.candidate].append((ours.succeeded, theirs.succeeded))
        if outcomes:
            effects[exposure.value] = {name: _effect(outcomes[name]) for name in sorted(outcomes)}
    return effects


def _effect(outcomes: list[tuple[bool, bool]]) -> CorrectionEffect:
    helped = sum(ours and not theirs for ours, theirs in outcomes)
    harmed = sum(theirs and not ours for ours, theirs in outcomes)
    return CorrectionEffect(len(outcomes), helped, len(outcomes) - helped - harmed, harmed)


def adjust_for_many_arms(arms: dict[str, ArmSummary]) -> dict[str, ArmSummary]:
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


def _repeats(run: RunRecords, record: EpisodeRecord) -> bool:
    tolerance = POSE_TOLERANCE_BINS.get(record.exposure, 1)
    return same_failure(run.e1[record.base_scenario_id], record, tolerance)


def _sites(pairs: Pairs) -> list[int]:
    """The statistical cluster of each pair: the site whose hidden map both episodes met."""
    return [a.site for a, _ in pairs]


def _rng(seed: int, *names: str) -> np.random.Generator:
    """A generator for each estimate, so that adding an arm changes no other's interval."""
    digest = hashlib.sha256("\n".join(names).encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest[:16], dtype=np.uint32).tolist()])
