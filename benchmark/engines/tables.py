"""Outcomes on one engine and comparisons of two as Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from flow_rag_vla.benchmark.engines.comparison import ComparisonRow, EngineResult
    from flow_rag_vla.tasks.contract import FaultClass


def engine_markdown(results: Sequence[EngineResult]) -> str:
    """Task, fault and arm against success on one engine."""
    rows = [
        {
            **_cell(result.key.task, result.key.fault, result.key.fault_class, result.key.arm),
            f"{result.key.physics} succeeds [95 %]": str(result.success),
            "invalid": str(result.invalid),
            "pads, mm": _mm(result.deepest_mm),
        }
        for result in results
    ]
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)


def comparison_markdown(rows: Sequence[ComparisonRow]) -> str:
    """Task, fault and arm against success on both engines and what sets them apart; ``a / b`` is first, then second."""
    return pd.DataFrame([_compared(row) for row in rows]).to_markdown(index=False, disable_numparse=True)


def _compared(row: ComparisonRow) -> dict[str, str]:
    first, second = row.first, row.second
    low, high = row.difference_ci95_points or (0.0, 0.0)
    points = "-" if row.difference_points is None else f"{row.difference_points:+.1f} [{low:+.1f}, {high:+.1f}]"
    return {
        **_cell(row.task, row.fault, row.fault_class, row.arm),
        f"{first.key.physics} succeeds [95 %]": str(first.success),
        f"{second.key.physics} succeeds [95 %]": str(second.success),
        "invalid": f"{first.invalid} / {second.invalid}",
        "pads, mm": f"{_mm(first.deepest_mm)} / {_mm(second.deepest_mm)}",
        "end alike": f"{row.agreement.k}/{row.agreement.n}",
        "difference, points [95 %]": points,
        "McNemar p": "< 1e-6" if row.mcnemar.p < 1e-6 else f"{row.mcnemar.p:.2g}",
    }


def _cell(task: str, fault: str, fault_class: FaultClass, arm: str) -> dict[str, str]:
    return {"task": task, "fault": f"`{fault}`", "class": str(fault_class), "arm": f"`{arm}`"}


def _mm(depth: float | None) -> str:
    return "-" if depth is None else f"{depth:.1f}"
