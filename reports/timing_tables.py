"""The tables of the report that show ``timing.json``: everything that a clock measured."""

from __future__ import annotations

from flow_rag_vla.benchmark.scoring.arms import REFERENCE_ARM
from flow_rag_vla.benchmark.scoring.results import RunResults
from flow_rag_vla.benchmark.scoring.timing import ArmTiming
from flow_rag_vla.reports.table import Cell, Table, arm_row, pointer
from flow_rag_vla.reports.wording import DASH, megabytes, number, ordered_arms, p_value, percent

_UNTIMED = ArmTiming()


def latency(results: RunResults) -> Table:
    """Batch-1 decisions of every arm, and whether they take as long as the reference arm's."""
    rows = []
    for arm in ordered_arms(results.summary.arms):
        timing, base = results.timing.arms.get(arm, _UNTIMED), ("timing", "arms", arm)
        decision, equal = timing.decision_latency_ms, timing.latency_equivalence
        missing = number(None) if results.summary.arms[arm].memory_entries is not None else DASH
        cells = [
            Cell(number(decision and getattr(decision, name), 2), pointer(*base, "decision_latency_ms", name))
            for name in ("p50", "p95", "p99")
        ]
        first = timing.first_decision_ms
        cells += [
            Cell(number(first and first.p50, 2), pointer(*base, "first_decision_ms", "p50")),
            Cell(percent(timing.deadline_miss_rate, number(None)), pointer(*base, "deadline_miss_rate")),
            Cell(number(timing.avg_frequency_hz), pointer(*base, "avg_frequency_hz")),
            Cell(percent(timing.correction_rate, missing), pointer(*base, "correction_rate")),
            Cell(percent(timing.rag_timeout_rate, missing), pointer(*base, "rag_timeout_rate")),
        ]
        if equal is None:
            cells.append(Cell(DASH))
        else:
            place = pointer(*base, "latency_equivalence")
            note = f"±{number(equal.margin_ms)}, p {p_value(equal.p)}"
            cells.append(Cell(f"{number(equal.mean_difference_ms, 2)} ms", place, note, place))
        rows.append(arm_row(results, arm, cells))
    return Table(
        "latency",
        "A batch-1 probe with real threads: decisions throughout episodes, of which the first asks the memory "
        "(its median apart); missed: over the 25 ms deadline; late: retrievals that timed out. TOST: "
        f"mean difference from {REFERENCE_ARM}, and the p-value of two one-sided tests that it lies within the margin.",
        "Arm",
        ("p50", "p95", "p99", "first", "missed", "Hz", "corrected", "late", "TOST"),
        tuple(rows),
        (("Decision latency, ms", 4), ("Decisions", 4), ("Equivalence", 1)),
    )


def fleet(results: RunResults) -> Table:
    """All environments at once: throughput and memory."""
    rows = []
    for arm in ordered_arms(results.summary.arms):
        timing, base = results.timing.arms.get(arm, _UNTIMED), ("timing", "arms", arm)
        cells = (
            Cell(number(timing.ms_per_env_decision, 3), pointer(*base, "ms_per_env_decision")),
            Cell(number(timing.env_steps_per_s, 0), pointer(*base, "env_steps_per_s")),
            Cell(megabytes(timing.peak_rss_bytes), pointer(*base, "peak_rss_bytes")),
        )
        rows.append(arm_row(results, arm, cells))
    return Table(
        "fleet",
        "All environments at once, as the episodes of this report were run.",
        "Arm",
        ("ms per environment and decision", "environment steps per second", "peak memory, MB"),
        tuple(rows),
    )
