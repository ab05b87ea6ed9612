"""What every arm is worth, from verdict to break-even point; and what came of each correction."""

from __future__ import annotations

from flow_rag_vla.benchmark.scoring.arms import REFERENCE_ARM, guide_numbers
from flow_rag_vla.benchmark.scoring.results import RunResults
from flow_rag_vla.benchmark.scoring.summary import ArmSummary
from flow_rag_vla.reports.table import Cell, Table, arm_row, pointer
from flow_rag_vla.reports.wording import (
    DASH,
    EXPOSURE_ORDER,
    answer,
    interval,
    ordered_arms,
    percent,
    points,
    prevalence,
)

_REFERENCE = Cell("reference")


def payoff(results: RunResults) -> Table:
    """Every arm against the reference, from hazards everywhere to hazards nowhere."""
    rows = []
    for name in ordered_arms(results.summary.arms):
        arm, base = results.summary.arms[name], ("summary", "arms", name)
        guide = guide_numbers().get(name)
        mix = arm.deployment
        place = pointer(*base, "deployment")
        mixed = Cell(percent(mix and mix.success), place, interval(mix and mix.ci95), place if mix else "")
        cells = (*_against_reference(arm, base), mixed, Cell(guide.success if guide else DASH))
        rows.append(arm_row(results, name, cells))
    return Table(
        "payoff",
        f"Gain and harm of every arm against {REFERENCE_ARM} over pairs, with 95 % intervals, and the verdict that "
        "they allow. Pays from: the share of scenarios with a hazard from which gain outweighs harm; may and surely: "
        "from which the upper and the lower end of the net gain's interval do. Success on a mix with 15 % hazards: "
        "NEAR for those, CLEAN and CONTROL for the rest; beside it the guide's.",
        "Arm",
        ("verdict", "gain", "harm", "estimate", "may", "surely", "success", "guide"),
        tuple(rows),
        (("Against the reference", 3), ("Pays from", 3), ("15 % hazards", 2)),
    )


def _against_reference(arm: ArmSummary, base: tuple[str, ...]) -> tuple[Cell, ...]:
    against, broken = arm.vs_flow_only, arm.harm
    if against is None:
        return (_REFERENCE,) * 6
    even = arm.payoff and arm.payoff.break_even
    missing = [Cell(points(None), pointer(*base, "payoff"))] * 3
    return (
        Cell(answer(arm.answer), pointer(*base, "answer")),
        Cell(
            points(against.success_diff),
            pointer(*base, "vs_flow_only", "success_diff"),
            interval(against.ci95, signed=True),
            pointer(*base, "vs_flow_only", "ci95"),
        ),
        Cell(
            points(broken.rate),
            pointer(*base, "harm", "rate"),
            interval(broken.ci95, signed=True),
            pointer(*base, "harm", "ci95"),
        ),
        *(
            missing
            if even is None
            else [
                Cell(prevalence(getattr(even, key)), pointer(*base, "payoff", "break_even", key))
                for key in ("pays_from", "may_pay_from", "surely_pays_from")
            ]
        ),
    )


def corrections(results: RunResults) -> Table | None:
    """What came of every correction, by arm and exposure; None where nobody took one."""
    rows = []
    for name in ordered_arms(results.summary.arms):
        by_exposure = results.summary.arms[name].corrections
        for exposure in (e for e in EXPOSURE_ORDER if e in by_exposure):
            for correction, effect in by_exposure[exposure].items():
                base = ("summary", "arms", name, "corrections", exposure, correction)
                counts = (
                    Cell(str(getattr(effect, k)), pointer(*base, k)) for k in ("n", "helped", "no_effect", "harmed")
                )
                rows.append(arm_row(results, name, (Cell(exposure.upper()), Cell(correction), *counts)))
    if not rows:
        return None
    return Table(
        "corrections",
        f"Episodes of the last round in which an arm took a correction, beside {REFERENCE_ARM} on the same ones: it "
        f"helped where {REFERENCE_ARM} fails and it does not, harmed where it is the other way round.",
        "Arm",
        ("exposure", "correction", "episodes", "helped", "no effect", "harmed"),
        tuple(rows),
    )
