"""One arm against another on the scenarios that both met."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from flow_rag_vla.benchmark.scoring.arms import REFERENCE_ARM
from flow_rag_vla.benchmark.scoring.columns.episode_columns import NONE, Episodes, groups
from flow_rag_vla.benchmark.scoring.columns.run_records import RunRecords
from flow_rag_vla.benchmark.scoring.repeats import can_repeat, repeats
from flow_rag_vla.benchmark.scoring.statistics import (
    holm,
    mcnemar_exact,
    paired_difference,
    paired_reduction,
    proportion,
)
from flow_rag_vla.benchmark.scoring.summary import (
    HARM_EXPOSURES,
    HEADLINE_EXPOSURE,
    SUMMARY_EXPOSURES,
    ArmSummary,
    Comparison,
    CorrectionEffect,
    Harm,
)


def compare(run: RunRecords, arm: str, reference: str, seed: int = 0) -> Comparison:
    """``arm`` against ``reference`` on the NEAR scenarios."""
    exposure = HEADLINE_EXPOSURE
    ours, theirs = run.pairs(arm, reference, exposure)
    rng = _rng(seed, "success", arm, reference)
    difference = paired_difference(ours.succeeded, theirs.succeeded, rng, _sites(ours))
    test = mcnemar_exact(ours.succeeded, theirs.succeeded)
    again = can_repeat(run.first(ours), run.vocabulary)
    reduction = paired_reduction(
        repeats(run, ours[again], exposure),
        repeats(run, theirs[again], exposure),
        _rng(seed, "repeats", arm, reference),
        _sites(ours[again]),
    )
    return Comparison(
        exposure=exposure,
        n_pairs=len(ours),
        success_diff=difference.difference,
        ci95=difference.ci95,
        ci95_method=difference.method,
        gained=test.gained,
        lost=test.lost,
        mcnemar_p=test.p if len(ours) else None,
        mcnemar_p_holm=None,
        rfr_pairs=reduction.n,
        rfr_reduction=reduction.reduction,
        rfr_reduction_ci95=reduction.ci95,
        rfr_reduction_ci95_method=reduction.method,
    )


def harm(run: RunRecords, arm: str, seed: int = 0) -> Harm:
    """What the arm breaks among the CLEAN and CONTROL scenarios that E1 had solved.

    With FAR they come on new layouts, too: those count whose scenario E1 had solved on its own layout.
    """
    met = run.last(arm, *HARM_EXPOSURES)
    solved = met[met.valid & run.first(met).succeeded]
    failed = proportion(int(solved.failed.sum()), len(solved))
    if arm == REFERENCE_ARM:
        return Harm(None, None, failed, len(solved), None, None)
    ours, theirs = run.pairs(arm, REFERENCE_ARM, *HARM_EXPOSURES)
    before = run.first(ours).succeeded
    ours, theirs = ours[before], theirs[before]
    rng = _rng(seed, "harm", arm, REFERENCE_ARM)
    difference = paired_difference(ours.failed, theirs.failed, rng, _sites(ours))
    p = mcnemar_exact(ours.failed, theirs.failed).p if len(ours) else None
    return Harm(difference.difference, difference.ci95, failed, difference.n, p, difference.method)


def correction_effects(run: RunRecords, arm: str) -> dict[str, dict[str, CorrectionEffect]]:
    """By exposure and correction, the last round's episodes in which ``arm`` took one, beside the reference's."""
    names = run.vocabulary.corrections.words
    effects: dict[str, dict[str, CorrectionEffect]] = {}
    for exposure in SUMMARY_EXPOSURES:
        ours, theirs = run.pairs(arm, REFERENCE_ARM, exposure)
        took = ours.correction != NONE
        ours, theirs = ours[took], theirs[took]
        found = {names[code]: _effect(ours[rows], theirs[rows]) for (code,), rows in groups(ours.correction)}
        if found:
            effects[exposure.value] = dict(sorted(found.items()))
    return effects


def _effect(ours: Episodes, theirs: Episodes) -> CorrectionEffect:
    helped = int((ours.succeeded & ~theirs.succeeded).sum())
    harmed = int((theirs.succeeded & ~ours.succeeded).sum())
    return CorrectionEffect(len(ours), helped, len(ours) - helped - harmed, harmed)


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


def _sites(episodes: Episodes) -> list[int]:
    """The statistical cluster of each pair: the site whose hidden map both episodes met."""
    return episodes.site.tolist()


def _rng(seed: int, *names: str) -> np.random.Generator:
    """A generator for each estimate, so that adding an arm changes no other's interval."""
    digest = hashlib.sha256("\n".join(names).encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest[:16], dtype=np.uint32).tolist()])
