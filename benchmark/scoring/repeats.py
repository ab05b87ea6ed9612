"""Does a failure come back?  Signatures, and the split into repeated, substituted, resolved.

The population is F1's avoidable failures in which the fault had fired: only those could a changed
action have prevented.  The same episodes are asked of every arm, so no arm chooses its denominator.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flow_rag_vla.benchmark.episodes.records import EpisodeRecord, Exposure
from flow_rag_vla.benchmark.scoring.statistics import proportion
from flow_rag_vla.benchmark.scoring.summary import LossChain, RepeatCounts

POSE_TOLERANCE_BINS: dict[Exposure, int | None] = {Exposure.EXACT: 1, Exposure.NEAR: 1, Exposure.FAR: None}
"""Largest distance, in pose bins along any axis, at which two failures are the same failure.

One bin (5 cm) on EXACT and NEAR: positions within 5 cm always match, whichever side of a bin's
edge they fall on, and positions 10 cm apart never do.  NEAR moves the object by 2 cm at most.  On
FAR the layout is new, so type and phase decide alone (None).
"""

ALL_FAULTS = "all"
"""The key of a loss chain summed over faults."""


def can_repeat(first: EpisodeRecord) -> bool:
    """Whether an E1 episode belongs to the population of the repeat-failure rate."""
    return first.failed and first.fault_fired and first.fault_class == "avoidable"


def same_failure(first: EpisodeRecord, again: EpisodeRecord, tolerance_bins: int | None = 1) -> bool:
    """Whether ``again`` fails as ``first`` did: equal type and phase, pose within tolerance."""
    if not again.failed or (first.failure_type, first.failure_phase) != (
        again.failure_type,
        again.failure_phase,
    ):
        return False
    if tolerance_bins is None:
        return True
    if first.failure_pose_bin is None or again.failure_pose_bin is None:
        return first.failure_pose_bin == again.failure_pose_bin
    return pose_bin_distance(first.failure_pose_bin, again.failure_pose_bin) <= tolerance_bins


def pose_bin_distance(a: str, b: str) -> int:
    """Bins between two pose bins, along the axis where they differ most.

    Raises:
        ValueError: a name that is not three integers.
    """
    first, second = [int(v) for v in a.split(",")], [int(v) for v in b.split(",")]
    if len(first) != 3 or len(second) != 3:
        raise ValueError(f"pose bins {a!r} and {b!r}, expected x,y,z")
    return max(abs(x - y) for x, y in zip(first, second, strict=True))


def repeat_counts(e1: Mapping[str, EpisodeRecord], again: Iterable[EpisodeRecord], exposure: Exposure) -> RepeatCounts:
    """What became of the repeatable failures of ``e1`` (by scenario id) in ``again``."""
    pairs = [(e1[r.base_scenario_id], r) for r in again if can_repeat(e1[r.base_scenario_id])]
    valid = [(first, second) for first, second in pairs if second.valid]
    n = len(valid)

    def repeated(tolerance: int | None) -> int:
        return sum(same_failure(first, second, tolerance) for first, second in valid)

    def share(tolerance: int | None) -> float | None:
        return proportion(repeated(tolerance), n).rate

    count = repeated(POSE_TOLERANCE_BINS.get(exposure, 1))
    resolved = sum(second.succeeded for _, second in valid)
    return RepeatCounts(
        n=n,
        repeated=count,
        substituted=n - count - resolved,
        resolved=resolved,
        invalid=len(pairs) - n,
        repeated_ci95=proportion(count, n).ci95,
        repeated_same_bin=share(0),
        repeated_two_bins=share(2),
        repeated_any_pose=share(None),
    )


@dataclass(frozen=True)
class Exemplar:
    """A failure that came back, of the kind that most often does, and another arm's success on the same scenario."""

    repeated: EpisodeRecord
    resolved: EpisodeRecord | None
    """None where the arm did not resolve it."""
    count: int
    """Repeated failures of this kind: equal fault, failure type and phase."""
    of: int
    """All repeated failures."""


def exemplars(
    e1: Mapping[str, EpisodeRecord], reference: Iterable[EpisodeRecord], arm: Iterable[EpisodeRecord]
) -> list[Exemplar]:
    """``reference`` episodes that repeat a failure of ``e1`` in the commonest way; first those that ``arm`` resolved.

    Both met the same exposure of the same scenarios.
    """
    resolved = {r.scenario_id: r for r in arm if r.succeeded}
    again = [
        r
        for r in reference
        if can_repeat(e1[r.base_scenario_id])
        and same_failure(e1[r.base_scenario_id], r, POSE_TOLERANCE_BINS.get(r.exposure, 1))
    ]
    kinds = Counter(_kind(r) for r in again)
    if not kinds:
        return []
    commonest = min(kinds, key=lambda kind: (-kinds[kind], kind))
    found = [
        Exemplar(r, resolved.get(r.scenario_id), kinds[commonest], len(again)) for r in again if _kind(r) == commonest
    ]
    return sorted(found, key=lambda exemplar: (exemplar.resolved is None, exemplar.repeated.scenario_id))


def _kind(record: EpisodeRecord) -> tuple[str, str, str]:
    return record.fault, record.failure_type or "", record.failure_phase or ""


def loss_chains(e1: Mapping[str, EpisodeRecord], again: Iterable[EpisodeRecord]) -> dict[str, LossChain]:
    """Per fault and for ``all``: repeatable failures noticed, retrieved, rightly, and to effect.

    Noticed: the agent's detector called a failure in E1.  Retrieved: a stored case passed the
    confidence gate in the repetition.  Right type: the first case retrieved names the true type of
    the E1 failure.  Corrected: the repetition then succeeded.
    """
    by_fault: dict[str, list[tuple[EpisodeRecord, EpisodeRecord]]] = {}
    for second in again:
        first = e1[second.base_scenario_id]
        if can_repeat(first) and second.valid:
            by_fault.setdefault(first.fault, []).append((first, second))
    chains = {fault: _loss_chain(pairs) for fault, pairs in sorted(by_fault.items())}
    chains[ALL_FAULTS] = _loss_chain([pair for pairs in by_fault.values() for pair in pairs])
    return chains


def _loss_chain(pairs: list[tuple[EpisodeRecord, EpisodeRecord]]) -> LossChain:
    noticed = [(a, b) for a, b in pairs if a.agent_failure_type is not None]
    retrieved = [(a, b) for a, b in noticed if b.retrievals > 0]
    right_type = [(a, b) for a, b in retrieved if b.retrieved_type == a.failure_type]
    corrected = [(a, b) for a, b in right_type if b.succeeded]
    return LossChain(
        n=len(pairs),
        noticed=proportion(len(noticed), len(pairs)),
        retrieved=proportion(len(retrieved), len(noticed)),
        right_type=proportion(len(right_type), len(retrieved)),
        corrected=proportion(len(corrected), len(right_type)),
    )
