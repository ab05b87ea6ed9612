"""One arm against another on the scenarios that both met."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from flow_rag_vla.benchmark.episodes.records import Exposure
from flow_rag_vla.benchmark.scoring.arms import REFERENCE_ARM, adjusted_for_one_another, memory_arm
from flow_rag_vla.benchmark.scoring.columns.episode_columns import NONE, Episodes, groups
from flow_rag_vla.benchmark.scoring.columns.run_records import RunRecords
from flow_rag_vla.benchmark.scoring.compared import (
    Advantage,
    Comparison,
    CorrectionEffect,
    HardImpacts,
    Harm,
    MemoryAdds,
)
from flow_rag_vla.benchmark.scoring.repeats import can_repeat, repeats
from flow_rag_vla.benchmark.scoring.statistics import (
    holm,
    mcnemar_exact,
    paired_difference,
    paired_reduction,
    proportion,
)
from flow_rag_vla.benchmark.scoring.statistics.prevalence import ahead, estimate, net_curve, surely_ahead
from flow_rag_vla.benchmark.scoring.statistics.verdict import gain_known
from flow_rag_vla.benchmark.scoring.summary import (
    HARM_EXPOSURES,
    HEADLINE_EXPOSURE,
    SUMMARY_EXPOSURES,
    ArmSummary,
)

HARD_IMPACT_N = 100.0
"""The collision threshold of libfranka's ``cartesian_impedance_control`` example, which calls it high; its default
behaviour takes 10 to 20 N.  A real arm compares the estimated force on its whole hand with it."""


def compare(
    run: RunRecords, arm: str, reference: str, seed: int = 0, exposure: Exposure = HEADLINE_EXPOSURE
) -> Comparison:
    """``arm`` against ``reference`` on the scenarios of one exposure."""
    ours, theirs = run.pairs(arm, reference, exposure)
    named = (arm, reference) if exposure is HEADLINE_EXPOSURE else (arm, reference, exposure)
    rng = _rng(seed, "success", *named)
    difference = paired_difference(ours.succeeded, theirs.succeeded, rng, _sites(ours))
    test = mcnemar_exact(ours.succeeded, theirs.succeeded)
    again = can_repeat(run.first(ours), run.vocabulary)
    reduction = paired_reduction(
        repeats(run, ours[again], exposure),
        repeats(run, theirs[again], exposure),
        _rng(seed, "repeats", *named),
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


def harm(run: RunRecords, arm: str, seed: int = 0, reference: str = REFERENCE_ARM) -> Harm:
    """What the arm breaks among the CLEAN and CONTROL scenarios that E1 had solved, minus what ``reference`` does.

    With FAR they come on new layouts, too: those count whose scenario E1 had solved on its own layout.
    """
    met = run.last(arm, *HARM_EXPOSURES)
    solved = met[met.valid & run.first(met).succeeded]
    failed = proportion(int(solved.failed.sum()), len(solved))
    if arm == reference:
        return Harm(None, None, failed, len(solved), None, None)
    ours, theirs = run.pairs(arm, reference, *HARM_EXPOSURES)
    before = run.first(ours).succeeded
    ours, theirs = ours[before], theirs[before]
    rng = _rng(seed, "harm", arm, reference)
    difference = paired_difference(ours.failed, theirs.failed, rng, _sites(ours))
    p = mcnemar_exact(ours.failed, theirs.failed).p if len(ours) else None
    return Harm(difference.difference, difference.ci95, failed, difference.n, p, difference.method)


def hard_impacts(run: RunRecords, arm: str, seed: int = 0, bound_n: float = HARD_IMPACT_N) -> HardImpacts | None:
    """The arm on the headline exposure where hard impacts are no successes; None if it was not run."""
    met = run.last(arm, HEADLINE_EXPOSURE)
    if not len(met):
        return None
    forces = met.peak_finger_force_n[met.succeeded]
    known = forces[~np.isnan(forces)]
    counted = int(_succeeded_within(met, bound_n).sum())
    beyond = proportion(len(forces) - counted, len(forces))
    largest = round(float(known.max()), 3) if len(known) else None
    success = proportion(counted, int(met.valid.sum()))
    if arm == REFERENCE_ARM:
        return HardImpacts(bound_n, beyond, largest, success, 0, None, None, None)
    ours, theirs = run.pairs(arm, REFERENCE_ARM, HEADLINE_EXPOSURE)
    rng = _rng(seed, "hard impacts", arm)
    gain = paired_difference(_succeeded_within(ours, bound_n), _succeeded_within(theirs, bound_n), rng, _sites(ours))
    return HardImpacts(bound_n, beyond, largest, success, len(ours), gain.difference, gain.ci95, gain.method)


def _succeeded_within(episodes: Episodes, bound_n: float) -> npt.NDArray[np.bool_]:
    """(n,) the task was completed, and no force was beyond the bound or without a number."""
    return episodes.succeeded & (episodes.peak_finger_force_n <= bound_n)


def memory_adds(run: RunRecords, seed: int = 0) -> MemoryAdds | None:
    """The memory's arm against every other that ran; None where there is no such arm."""
    arm = memory_arm(run.rounds)
    if arm is None:
        return None
    others = [other for other in run.rounds if other != arm]
    family = adjusted_for_one_another(arm, others)
    near = _adjusted({other: compare(run, arm, other, seed) for other in others}, family)
    far: dict[str, Comparison] = {}
    if any(len(run.last(name, Exposure.FAR)) for name in run.rounds):
        far = _adjusted({other: compare(run, arm, other, seed, Exposure.FAR) for other in others}, family)
    over = {other: _advantage(near[other], far.get(other), harm(run, arm, seed, other)) for other in others}
    return MemoryAdds(arm, over)


def _advantage(near: Comparison, far: Comparison | None, broken: Harm) -> Advantage:
    known = gain_known(near.ci95, near.shown_p)
    far_known = None if far is None else gain_known(far.ci95, far.shown_p)
    gain, harmed = estimate(near.success_diff, near.ci95), estimate(broken.rate, broken.ci95)
    if gain is None or harmed is None:
        return Advantage(near, known, far, far_known, broken, [], None, None)
    net = net_curve(gain, harmed)
    return Advantage(near, known, far, far_known, broken, net, ahead(gain, harmed), surely_ahead(gain, harmed))


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
        family = {arm: compared for arm, summary in arms.items() if (compared := getattr(summary, name))}
        for arm, comparison in _adjusted(family, family).items():
            arms[arm] = replace(arms[arm], **{name: comparison})
    return arms


def _adjusted(compared: Mapping[str, Comparison], family: Collection[str]) -> dict[str, Comparison]:
    """``compared`` with the p-values of the ``family`` among them adjusted for one another."""
    tested = {name: p for name in family if (p := compared[name].mcnemar_p) is not None}
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    return {name: replace(one, mcnemar_p_holm=adjusted.get(name)) for name, one in compared.items()}


def _sites(episodes: Episodes) -> list[int]:
    """The statistical cluster of each pair: the site whose hidden map both episodes met."""
    return episodes.site.tolist()


def _rng(seed: int, *names: str) -> np.random.Generator:
    """A generator for each estimate, so that adding an arm changes no other's interval."""
    digest = hashlib.sha256("\n".join(names).encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest[:16], dtype=np.uint32).tolist()])
