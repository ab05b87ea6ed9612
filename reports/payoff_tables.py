"""What every arm is worth, from verdict to break-even point; and what came of each correction."""

from __future__ import annotations

from flow_rag_vla.benchmark.scoring.arms import REFERENCE_ARM, act_otherwise, guide_numbers, still_arms, told_arms
from flow_rag_vla.benchmark.scoring.compared import Comparison, MemoryAdds
from flow_rag_vla.benchmark.scoring.results import RunResults
from flow_rag_vla.benchmark.scoring.statistics.verdict import SIGNIFICANCE, Gain
from flow_rag_vla.benchmark.scoring.summary import ArmSummary
from flow_rag_vla.reports.table import Cell, Row, Table, arm_row, pointer
from flow_rag_vla.reports.tables import difference
from flow_rag_vla.reports.wording import (
    DASH,
    DIRECTION,
    EXPOSURE_ORDER,
    NO_DATA,
    answer,
    count,
    interval,
    number,
    ordered_arms,
    p_value,
    percent,
    points,
    prevalence,
    role,
    shares,
)

_REFERENCE = Cell("reference")
SHOWN_PREVALENCES = (0.0, 0.05, 0.15, 0.5, 0.8)
"""Of the curve's; nobody meets hazards alone, and none at all is what a memory must not make worse."""


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


def hard_impacts(results: RunResults) -> Table | None:
    """Every arm where a success with a hard impact does not count; None where NEAR was not run."""
    rows, bound_n = [], 0.0
    for name in ordered_arms(results.summary.arms):
        found, base = results.summary.arms[name].hard_impacts, ("summary", "arms", name, "hard_impacts")
        if found is None:
            continue
        bound_n, place = found.bound_n, pointer(*base, "success")
        cells = (
            Cell(count(found.beyond), pointer(*base, "beyond")),
            Cell(number(found.largest_force_n, 0), pointer(*base, "largest_force_n")),
            Cell(percent(found.success.rate), place, interval(found.success.ci95), place),
            *((_REFERENCE,) * 2 if name == REFERENCE_ARM else difference(found, base)),
        )
        rows.append(arm_row(results, name, cells))
    if not rows:
        return None
    return Table(
        "hard-impacts",
        f"Hard impacts: successes on NEAR in which the force between a finger and the object was beyond {bound_n:g} N "
        "in some physics step, the largest such force in a success, and success and gain where these count as "
        f"failures, {REFERENCE_ARM}'s, too. 95 % intervals.",
        "Arm",
        ("beyond", "largest, N", "success", "pairs", "gain"),
        tuple(rows),
        (("Of all successes", 2), (f"Within {bound_n:g} N", 3)),
    )


def memory_adds(results: RunResults) -> Table | None:
    """The memory's arm minus every other on the same scenarios; None where none has a memory."""
    adds = results.summary.memory_adds
    if adds is None:
        return None
    far = any(advantage.far is not None for advantage in adds.over.values())
    rows = []
    for name in ordered_arms(adds.over):
        advantage, base = adds.over[name], ("summary", "memory_adds", "over", name)
        cells = [Cell(role(name)), *_compared(advantage.near, advantage.near_known, (*base, "near"))]
        if far:
            cells += _compared(advantage.far, advantage.far_known, (*base, "far"))
        rows.append(Row(name, tuple(cells)))
    columns = ("pairs", "difference", "p", "it succeeds")
    return Table(
        "memory-adds",
        f"What the memory itself adds: success of {adds.arm} minus that of every other arm on the same scenarios, with "
        "its 95 % interval over pairs. Not told apart: the interval includes 0, or the exact McNemar p as shown is "
        f"{SIGNIFICANCE:g} or more. Holm adjusts p over the rivals: placebos, the constant habit, other memories and "
        "controls; the p of the base policy, of ceilings and of who holds still is not adjusted, and says so. A "
        "placebo's memory answers wrongly, or not at all; a ceiling is told what no agent can know. "
        f"{_more_than_the_memory(adds)}",
        "Against",
        ("is", *columns, *(columns if far else ())),
        tuple(rows),
        (("", 1), ("NEAR", len(columns)), *((("FAR", len(columns)),) if far else ())),
    )


def _compared(value: Comparison | None, known: Gain | None, base: tuple[str, ...]) -> list[Cell]:
    if value is None or known is None or not value.n_pairs:
        return [Cell(NO_DATA, pointer(*base, "success_diff"))] * 4
    return [
        *difference(value, base),
        _shown_p(value, base),
        Cell(DIRECTION[known]),
    ]


def _shown_p(value: Comparison, base: tuple[str, ...]) -> Cell:
    if value.mcnemar_p_holm is None:
        return Cell(f"{p_value(value.mcnemar_p)} (not adjusted)", pointer(*base, "mcnemar_p"))
    return Cell(p_value(value.mcnemar_p_holm), pointer(*base, "mcnemar_p_holm"))


def _more_than_the_memory(adds: MemoryAdds) -> str:
    named = [name for name in ordered_arms(adds.over) if name in act_otherwise(adds.arm)]
    said = f" Here: {', '.join(named)}." if named else ""
    return f"Other arms may differ from {adds.arm} in more than the memory: in their chunks, or how they steer.{said}"


def memory_net(results: RunResults) -> Table | None:
    """The same at chosen shares of hazards, harm subtracted; None where it is not known."""
    adds = results.summary.memory_adds
    if adds is None:
        return None
    rows = []
    for name in ordered_arms(adds.over):
        advantage, base = adds.over[name], ("summary", "memory_adds", "over", name)
        if name in (*told_arms(), *still_arms()) or not advantage.net:
            continue
        cells = [
            Cell(
                points(net.net),
                pointer(*base, "net", str(i), "net"),
                interval(net.ci95, signed=True),
                pointer(*base, "net", str(i), "ci95"),
            )
            for i, net in enumerate(advantage.net)
            if net.prevalence in SHOWN_PREVALENCES
        ]
        cells += [Cell(shares(getattr(advantage, key)), pointer(*base, key)) for key in ("ahead", "surely_ahead")]
        rows.append(Row(name, tuple(cells)))
    if not rows:
        return None
    return Table(
        "memory-net",
        f"Net success of {adds.arm} minus that of the other arm where hazards have the share above: NEAR for those, "
        "what is broken on CLEAN and CONTROL for the rest, with 95 % intervals that take gain and harm as independent "
        "(MOVER). Above 0: between which shares the estimate is, and the whole of each share's own interval: these "
        "are intervals for one share at a time, not for all of them together.",
        "Against",
        (*(f"{100 * share:g} %" for share in SHOWN_PREVALENCES), "estimate", "interval"),
        tuple(rows),
        (("Net success at hazards of", len(SHOWN_PREVALENCES)), ("Above 0", 2)),
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
