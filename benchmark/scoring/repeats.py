"""Does a failure come back?  Signatures, and the split into repeated, substituted, resolved.

The population is F1's avoidable failures in which the fault had fired: only those could a changed
action have prevented.  The same episodes are asked of every arm, so no arm chooses its denominator.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from flow_rag_vla.benchmark.episodes.records import Exposure
from flow_rag_vla.benchmark.scoring.columns.episode_columns import NONE, Episodes, Mask, Vocabulary, groups
from flow_rag_vla.benchmark.scoring.columns.run_records import RunRecords
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


def can_repeat(first: Episodes, vocabulary: Vocabulary) -> Mask:
    """Which E1 episodes belong to the population of the repeat-failure rate."""
    return first.failed & first.fault_fired & (first.fault_class == vocabulary.classes.code("avoidable"))


def same_failure(first: Episodes, again: Episodes, vocabulary: Vocabulary, tolerance_bins: int | None = 1) -> Mask:
    """Where ``again`` fails as ``first`` did: equal type and phase, pose within tolerance."""
    alike = again.failed & (first.failure_type == again.failure_type) & (first.failure_phase == again.failure_phase)
    if tolerance_bins is None:
        return alike
    cells = _cells(vocabulary.pose_bins.words)
    one, other = first.failure_pose_bin, again.failure_pose_bin
    # The code of None is that of the last row, which stands for no cell and is far from all but itself.
    distance = np.abs(cells[one] - cells[other]).max(axis=1)
    return alike & (distance <= tolerance_bins) & ((one == NONE) == (other == NONE))


def _cells(pose_bins: list[str]) -> np.ndarray:
    """(n + 1, 3) cell indices of ``pose_bins``, then a row for no pose.

    Raises:
        ValueError: a name that is not three integers.
    """
    cells = [[int(v) for v in name.split(",")] for name in pose_bins]
    for name, cell in zip(pose_bins, cells, strict=True):
        if len(cell) != 3:
            raise ValueError(f"pose bin {name!r}, expected x,y,z")
    return np.array([*cells, [0, 0, 0]], dtype=np.int64)


def repeats(run: RunRecords, again: Episodes, exposure: Exposure) -> Mask:
    """Where ``again``, met on ``exposure``, fails as its first attempt did."""
    return same_failure(run.first(again), again, run.vocabulary, POSE_TOLERANCE_BINS.get(exposure, 1))


def repeat_counts(run: RunRecords, again: Episodes, exposure: Exposure) -> RepeatCounts:
    """What became in ``again`` of E1's repeatable failures."""
    first = run.first(again)
    asked = can_repeat(first, run.vocabulary)
    counted = asked & again.valid
    first, valid = first[counted], again[counted]
    n = len(valid)

    def repeated(tolerance: int | None) -> int:
        return int(same_failure(first, valid, run.vocabulary, tolerance).sum())

    def share(tolerance: int | None) -> float | None:
        return proportion(repeated(tolerance), n).rate

    count = repeated(POSE_TOLERANCE_BINS.get(exposure, 1))
    resolved = int(valid.succeeded.sum())
    return RepeatCounts(
        n=n,
        repeated=count,
        substituted=n - count - resolved,
        resolved=resolved,
        invalid=int(asked.sum()) - n,
        repeated_ci95=proportion(count, n).ci95,
        repeated_same_bin=share(0),
        repeated_two_bins=share(2),
        repeated_any_pose=share(None),
    )


class EpisodePlace(NamedTuple):
    """Names an episode of a run."""

    arm: str
    round: int
    exposure: str
    scenario_id: str


@dataclass(frozen=True)
class Exemplar[E]:
    """A failure that came back, of the kind that most often does, and another arm's success on the same scenario.

    ``E`` is how an episode is told of: its place, or its record.
    """

    repeated: E
    resolved: E | None
    """None where the arm did not resolve it."""
    count: int
    """Repeated failures of this kind: equal fault, failure type and phase."""
    of: int
    """All repeated failures."""


def exemplars(run: RunRecords, reference: str, arm: str, exposure: Exposure) -> list[Exemplar[EpisodePlace]]:
    """Last-round episodes of ``reference`` that fail again in the commonest way; first those that ``arm`` resolved."""
    met, other = run.last(reference, exposure), run.last(arm, exposure)
    again = met[can_repeat(run.first(met), run.vocabulary) & repeats(run, met, exposure)]
    kinds = dict(_kinds(run.vocabulary, again))
    if not kinds:
        return []
    commonest = min(kinds, key=lambda kind: (-len(kinds[kind]), kind))
    resolved = set(other[other.succeeded].scenario.tolist())
    found = []
    for scenario in again[kinds[commonest]].scenario.tolist():
        failure, success = (
            EpisodePlace(name, run.rounds[name][-1], exposure, run.scenario_id(scenario)) for name in (reference, arm)
        )
        found.append(Exemplar(failure, success if scenario in resolved else None, len(kinds[commonest]), len(again)))
    return sorted(found, key=lambda exemplar: (exemplar.resolved is None, exemplar.repeated.scenario_id))


def _kinds(vocabulary: Vocabulary, again: Episodes) -> Iterator[tuple[tuple[str, str, str], np.ndarray]]:
    """Fault, failure type and phase, and the rows of ``again`` that have them."""
    faults, types, phases = ([*words.words, ""] for words in (vocabulary.faults, vocabulary.types, vocabulary.phases))
    for (fault, kind, phase), rows in groups(again.fault, again.failure_type, again.failure_phase):
        yield (faults[fault], types[kind], phases[phase]), rows


def loss_chains(run: RunRecords, again: Episodes) -> dict[str, LossChain]:
    """Per fault and for ``all``: repeatable failures noticed, retrieved, rightly, and to effect.

    Noticed: the agent's detector called a failure in E1.  Retrieved: a stored case passed the
    confidence gate in the repetition.  Right type: the first case retrieved names the true type of
    the E1 failure.  Corrected: the repetition then succeeded.
    """
    asked = can_repeat(run.first(again), run.vocabulary) & again.valid
    second = again[asked]
    first, faults = run.first(second), run.vocabulary.faults.words
    by_fault = {faults[fault]: rows for (fault,), rows in groups(first.fault)}
    chains = {fault: _loss_chain(first[rows], second[rows]) for fault, rows in sorted(by_fault.items())}
    chains[ALL_FAULTS] = _loss_chain(first, second)
    return chains


def _loss_chain(first: Episodes, second: Episodes) -> LossChain:
    noticed = first.noticed
    retrieved = noticed & second.retrieved
    right_type = retrieved & (second.retrieved_type == first.failure_type)
    corrected = right_type & second.succeeded
    n, *counts = len(first), *(int(stage.sum()) for stage in (noticed, retrieved, right_type, corrected))
    return LossChain(
        n=n,
        noticed=proportion(counts[0], n),
        retrieved=proportion(counts[1], counts[0]),
        right_type=proportion(counts[2], counts[1]),
        corrected=proportion(counts[3], counts[2]),
    )
