"""The tables of the report that show ``summary.json``."""

from __future__ import annotations

from flow_rag_vla.benchmark.episodes.records import Exposure
from flow_rag_vla.benchmark.scoring.arms import HABIT_ARM, REFERENCE_ARM, guide_numbers
from flow_rag_vla.benchmark.scoring.compared import Comparison, HardImpacts
from flow_rag_vla.benchmark.scoring.results import RunResults
from flow_rag_vla.benchmark.scoring.statistics import Proportion
from flow_rag_vla.reports.table import Cell, Row, Table, arm_row, pointer
from flow_rag_vla.reports.wording import (
    DASH,
    NO_DATA,
    count,
    exposures_met,
    interval,
    megabytes,
    number,
    ordered_arms,
    p_value,
    percent,
    points,
)


def ablation(results: RunResults) -> Table:
    """Latency, success and memory of every arm beside the guide's expectation."""
    rows = []
    for arm in _arms(results):
        summary, guide = results.summary.arms[arm], guide_numbers().get(arm)
        timing = results.timing.arms.get(arm)
        latency = timing.decision_latency_ms if timing else None
        base, clock = ("summary", "arms", arm), ("timing", "arms", arm)
        cells = (
            Cell(number(latency and latency.p50), pointer(*clock, "decision_latency_ms", "p50")),
            Cell(number(guide.latency_ms, 0) if guide else DASH),
            _share(summary.near.success, pointer(*base, Exposure.NEAR, "success")),
            _share(summary.clean.success, pointer(*base, Exposure.CLEAN, "success")),
            Cell(guide.success if guide else DASH),
            Cell(percent(summary.near.repeated), pointer(*base, Exposure.NEAR, "repeated")),
            Cell(megabytes(timing.model_bytes if timing else None), pointer(*clock, "model_bytes")),
            _database(results, arm),
            Cell(guide.memory_mb, note=guide.memory_of) if guide else Cell(DASH),
        )
        rows.append(arm_row(results, arm, cells))
    return Table(
        "ablation",
        "Every arm beside the numbers that the implementation guide expects. Success with its 95 % Wilson interval.",
        "Arm",
        ("median", "guide", "NEAR", "CLEAN", "guide", "NEAR", "model", "database", "guide"),
        tuple(rows),
        (("Decision latency, ms", 2), ("Success", 3), ("Repeated", 1), ("Memory, MB", 3)),
    )


def _database(results: RunResults, arm: str) -> Cell:
    timing = results.timing.arms.get(arm)
    size = timing.memory_bytes if timing else None
    if size is None and results.summary.arms[arm].memory_entries is None:
        return Cell(DASH)
    return Cell(megabytes(size), pointer("timing", "arms", arm, "memory_bytes"))


def success(results: RunResults) -> Table:
    """Success of every arm on every exposure that was run."""
    exposures = exposures_met(results)
    rows = []
    for arm in _arms(results):
        cells = [
            _share(
                results.summary.arms[arm].exposure(name).success,
                pointer("summary", "arms", arm, name, "success"),
                counted=True,
            )
            for name in exposures
        ]
        near = results.summary.arms[arm].near
        base = ("summary", "arms", arm, Exposure.NEAR)
        cells.append(_share(near.recovery, pointer(*base, "recovery")))
        steps = near.steps_to_success.median
        cells.append(Cell(NO_DATA if steps is None else number(steps, 0), pointer(*base, "steps_to_success", "median")))
        rows.append(arm_row(results, arm, cells))
    return Table(
        "success",
        "Success by arm and exposure with 95 % Wilson intervals and counts of valid episodes. Recovery: success where "
        "an exogenous fault fired (NEAR). Steps: median control steps to success (NEAR).",
        "Arm",
        (*(name.upper() for name in exposures), "recovery", "steps"),
        tuple(rows),
        (("Success", len(exposures)), ("NEAR", 2)) if exposures else (),
    )


def comparisons(results: RunResults) -> Table:
    """Every arm against the reference and, where it ran, the constant habit."""
    rows = []
    for arm in _arms(results):
        summary = results.summary.arms[arm]
        for name, value in ((REFERENCE_ARM, summary.vs_flow_only), (HABIT_ARM, summary.vs_always_cautious)):
            if value is not None:
                cells = (Cell(name), *_comparison(value, ("summary", "arms", arm, f"vs_{name}")))
                rows.append(arm_row(results, arm, cells))
    return Table(
        "comparisons",
        "Paired comparisons on NEAR. Difference in success with its 95 % interval; gained and lost are the discordant "
        "pairs of the exact McNemar test; Holm adjusts over the arms compared with the same reference.",
        "Arm",
        ("against", "pairs", "difference", "gained", "lost", "p", "p (Holm)"),
        tuple(rows),
    )


def difference(value: Comparison | HardImpacts, base: tuple[str, ...]) -> tuple[Cell, Cell]:
    """Pairs of a comparison that lies at ``base``, and the difference in success with its interval."""
    return (
        Cell(str(value.n_pairs), pointer(*base, "n_pairs")),
        Cell(
            points(value.success_diff),
            pointer(*base, "success_diff"),
            interval(value.ci95, signed=True),
            pointer(*base, "ci95"),
        ),
    )


def _comparison(value: Comparison, base: tuple[str, ...]) -> tuple[Cell, ...]:
    return (
        *difference(value, base),
        Cell(str(value.gained), pointer(*base, "gained")),
        Cell(str(value.lost), pointer(*base, "lost")),
        Cell(p_value(value.mcnemar_p), pointer(*base, "mcnemar_p")),
        Cell(p_value(value.mcnemar_p_holm), pointer(*base, "mcnemar_p_holm")),
    )


def repeats(results: RunResults, exposure: Exposure) -> Table:
    """Repeated, substituted and resolved on one exposure."""
    rows = []
    for arm in _arms(results):
        block, base = results.summary.arms[arm].exposure(exposure), ("summary", "arms", arm, exposure)
        f1 = block.f1
        cells = [
            Cell(str(f1.n), pointer(*base, "f1", "n")),
            Cell(
                percent(block.repeated),
                pointer(*base, "repeated"),
                interval(f1.repeated_ci95),
                pointer(*base, "f1", "repeated_ci95"),
            ),
            Cell(percent(block.substituted), pointer(*base, "substituted")),
            Cell(percent(block.resolved), pointer(*base, "resolved")),
            Cell(str(f1.invalid), pointer(*base, "f1", "invalid")),
        ]
        cells += [
            Cell(percent(getattr(f1, key)), pointer(*base, "f1", key))
            for key in ("repeated_same_bin", "repeated_two_bins", "repeated_any_pose")
        ]
        rows.append(arm_row(results, arm, cells))
    return Table(
        f"repeats-{exposure}",
        f"What became of F1's avoidable, fault-fired failures on {exposure.upper()}. The last three columns ask how "
        "the repeated share depends on the pose tolerance.",
        "Arm",
        ("n", "repeated", "substituted", "resolved", "invalid", "same bin", "two bins", "any pose"),
        tuple(rows),
        (("F1 met again", 5), ("Repeated if", 3)),
    )


def reductions(results: RunResults) -> Table:
    """How much of the reference arm's repeated share each arm removes, and what it breaks instead."""
    rows = []
    for arm in _arms(results):
        summary, base = results.summary.arms[arm], ("summary", "arms", arm)
        against, harm = summary.vs_flow_only, summary.harm
        avoided = broken = Cell("reference")
        if against is not None:
            avoided = Cell(
                percent(against.rfr_reduction),
                pointer(*base, "vs_flow_only", "rfr_reduction"),
                interval(against.rfr_reduction_ci95),
                pointer(*base, "vs_flow_only", "rfr_reduction_ci95"),
            )
            broken = Cell(
                points(harm.rate),
                pointer(*base, "harm", "rate"),
                interval(harm.ci95, signed=True),
                pointer(*base, "harm", "ci95"),
            )
        entries = "none" if summary.memory_entries is None else str(summary.memory_entries)
        cells = (
            avoided,
            Cell(count(harm.failed), pointer(*base, "harm", "failed")),
            broken,
            _off_support(results, arm),
            Cell(entries, pointer(*base, "memory_entries")),
        )
        rows.append(arm_row(results, arm, cells))
    return Table(
        "harm",
        f"Repeat failures avoided on NEAR (1 - repeated share / {REFERENCE_ARM}'s), and harm: failures on CLEAN and "
        f"CONTROL scenarios that E1 had solved, minus {REFERENCE_ARM}'s. Both with 95 % intervals. Off support: "
        "steered chunks that fit worse than all of the flow's own for the same state; of unsteered ones 1 in 16 do.",
        "Arm",
        ("avoided", "failed", "harm", "off support", "entries"),
        tuple(rows),
        (("Repeat failures", 1), ("Solved in E1, CLEAN and CONTROL", 2), ("Steered chunks", 1), ("Memory", 1)),
    )


def _off_support(results: RunResults, arm: str) -> Cell:
    found, base = results.summary.arms[arm].off_support, ("summary", "arms", arm, "off_support")
    if found is None:
        return Cell(DASH)
    return Cell(percent(found.rate), pointer(*base, "rate"), f"{found.k}/{found.n}", pointer(*base))


def loss_chain(results: RunResults) -> Table | None:
    """Where memory arms lose NEAR failures, by fault; None where no arm has a memory."""
    rows = []
    for arm in _arms(results):
        for fault, chain in results.summary.arms[arm].loss_chain.get(Exposure.NEAR, {}).items():
            base = ("summary", "arms", arm, "loss_chain", Exposure.NEAR, fault)
            cells = [Cell(fault), Cell(str(chain.n), pointer(*base, "n"))]
            for stage in ("noticed", "retrieved", "right_type", "corrected"):
                value, place = getattr(chain, stage), pointer(*base, stage)
                cells.append(Cell(percent(value.rate), place, count(value) if value.n else "", place))
            rows.append(arm_row(results, arm, cells))
    if not rows:
        return None
    return Table(
        "loss-chain",
        "Where the memory loses a failure on NEAR. Every stage is a share of the stage before it.",
        "Arm",
        ("fault", "F1", "noticed", "retrieved", "right type", "corrected"),
        tuple(rows),
    )


def faults(results: RunResults) -> Table:
    """Failures by fault, exposure and arm, with their types."""
    rows = []
    for fault, exposures in results.summary.by_fault.items():
        for exposure, arms in exposures.items():
            for arm in ordered_arms(arms):
                value, base = arms[arm], ("summary", "by_fault", fault, exposure, arm)
                types = ", ".join(f"{name} {k}" for name, k in value.failure_types.items())
                cells = (
                    Cell(exposure.upper()),
                    Cell(arm),
                    Cell(count(value.success), pointer(*base, "success")),
                    Cell(percent(value.failed.rate), pointer(*base, "failed", "rate")),
                    Cell(types or "none", pointer(*base, "failure_types")),
                    Cell(percent(value.repeated, DASH), pointer(*base, "repeated")),
                    Cell(str(value.invalid), pointer(*base, "invalid")),
                    Cell(number(value.penetration_mm, 2), pointer(*base, "penetration_mm")),
                )
                rows.append(arm_row(results, fault, cells))
    return Table(
        "faults",
        "Every fault on every exposure: success k/n over valid episodes, failure types by truth, repeated share of F1, "
        "and how deep both finger pads together lastingly sank into the object at most.",
        "Fault",
        ("exposure", "arm", "success", "failed", "failure types", "repeated", "invalid", "pads, mm"),
        tuple(rows),
    )


def rounds(results: RunResults) -> Table | None:
    """Every round of every arm; None where there is only one round."""
    summaries = {arm: results.summary.arms[arm].rounds for arm in _arms(results)}
    if len({r.round for values in summaries.values() for r in values}) < 2:
        return None
    rows = []
    for arm, values in summaries.items():
        for i, value in enumerate(values):
            base = ("summary", "arms", arm, "rounds", str(i))
            cells = (
                Cell(str(value.round), pointer(*base, "round")),
                Cell(value.exposure.upper()),
                _share(value.success, pointer(*base, "success")),
                Cell(percent(value.repeated, DASH), pointer(*base, "repeated")),
                Cell(percent(value.substituted, DASH), pointer(*base, "substituted")),
                Cell(percent(value.resolved, DASH), pointer(*base, "resolved")),
                Cell(str(value.invalid), pointer(*base, "invalid")),
            )
            rows.append(arm_row(results, arm, cells))
    return Table(
        "rounds",
        "Every round; the numbers elsewhere are those of each arm's last.",
        "Arm",
        ("round", "exposure", "success", "repeated", "substituted", "resolved", "invalid"),
        tuple(rows),
    )


def first_exposure(results: RunResults) -> Table:
    """E1: the failures that all arms share."""
    e1 = results.summary.e1
    base = ("summary", Exposure.E1)
    cells = (
        Cell(str(e1.n), pointer(*base, "n")),
        _share(e1.success, pointer(*base, "success")),
        Cell(str(e1.failed), pointer(*base, "failed")),
        Cell(str(e1.fault_fired), pointer(*base, "fault_fired")),
        Cell(str(e1.own), pointer(*base, "own")),
        Cell(str(e1.invalid), pointer(*base, "invalid")),
        Cell(", ".join(f"{name} {k}" for name, k in e1.by_type.items()) or "none", pointer(*base, "by_type")),
    )
    return Table(
        "e1",
        "First exposure (E1). Failures in which the scripted fault had fired, the policy's own, and their true types.",
        "Arm",
        ("scenarios", "success", "failed (F1)", "fault fired", "own", "invalid", "failure types"),
        (Row(REFERENCE_ARM, cells),),
    )


def _share(value: Proportion, source: str, *, counted: bool = False) -> Cell:
    note = interval(value.ci95)
    if counted and value.n:
        note = f"{note} · {count(value)}"
    return Cell(percent(value.rate), source, note, source if note else "")


def _arms(results: RunResults) -> list[str]:
    return ordered_arms(results.summary.arms)
