"""Two engines beside each other: who succeeds on which, how many episodes end alike, and whether the rest is chance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.engines.cells import CellKey
from flow_rag_vla.benchmark.episodes.records import Outcome
from flow_rag_vla.benchmark.scoring.statistics import (
    Interval,
    McNemar,
    Proportion,
    mcnemar_exact,
    newcombe_paired_interval,
    proportion,
)

if TYPE_CHECKING:
    from flow_rag_vla.benchmark.engines.outcomes import PlayedCell
    from flow_rag_vla.tasks.contract import FaultClass


@dataclass(frozen=True)
class EngineResult:
    """A cell on one engine; an episode with invalid physics stays in n and is no success."""

    key: CellKey
    success: Proportion
    invalid: int
    deepest_mm: float | None
    """Deepest penetration of all episodes; None where the physics never gave a number."""


@dataclass(frozen=True)
class ComparisonRow:
    """The same episodes of one arm on two engines."""

    task: str
    fault: str
    fault_class: FaultClass
    arm: str
    n: int
    first: EngineResult
    second: EngineResult
    agreement: Proportion
    """Episodes that end alike: success, failure or invalid."""
    difference_points: float | None
    """Success on the second engine minus that on the first, in percentage points."""
    difference_ci95_points: Interval | None
    mcnemar: McNemar
    """Of success: ``gained`` on the second engine alone, ``lost`` on the first alone."""


def engine_result(played: PlayedCell) -> EngineResult:
    """What ``played`` amounts to."""
    depths = [end.penetration_mm for end in played.ends if end.penetration_mm is not None]
    return EngineResult(
        played.key,
        proportion(sum(_succeeded(played)), len(played.ends)),
        sum(end.outcome is Outcome.INVALID for end in played.ends),
        max(depths, default=None),
    )


def compare_cells(first: PlayedCell, second: PlayedCell) -> ComparisonRow:
    """The row of a cell that was played on two engines.

    Raises:
        ValueError: they are not the same scenarios in the same order.
    """
    if first.scenario_ids != second.scenario_ids:
        raise ValueError(f"{first.key} and {second.key} were played on other scenarios: nothing to compare")
    before, after = _succeeded(first), _succeeded(second)
    n, interval = len(before), newcombe_paired_interval(after, before)
    alike = sum(a.outcome is b.outcome for a, b in zip(first.ends, second.ends, strict=True))
    return ComparisonRow(
        task=first.key.task,
        fault=first.key.fault,
        fault_class=first.key.fault_class,
        arm=first.key.arm,
        n=n,
        first=engine_result(first),
        second=engine_result(second),
        agreement=proportion(alike, n),
        difference_points=100 * (sum(after) - sum(before)) / n if n else None,
        difference_ci95_points=None if interval is None else (100 * interval[0], 100 * interval[1]),
        mcnemar=mcnemar_exact(after, before),
    )


def compare_engines(played: Iterable[PlayedCell], first: str, second: str) -> list[ComparisonRow]:
    """A row for every cell that was played on both engines, in the order of the first.

    Raises:
        ValueError: as ``compare_cells``.
    """
    by_key = {cell.key: cell for cell in played}
    pairs = [(cell, by_key.get(key._replace(physics=second))) for key, cell in by_key.items() if key.physics == first]
    return [compare_cells(cell, other) for cell, other in pairs if other is not None]


def _succeeded(played: PlayedCell) -> Sequence[bool]:
    return [end.outcome is Outcome.SUCCESS for end in played.ends]
