"""The keys that are compared, and what each of them finds at the moments when a memory is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from flow_rag_vla.benchmark.episodes.records import Exposure
from flow_rag_vla.benchmark.policies.retrieval.precision import (
    UNKNOWN,
    Cases,
    Precision,
    Queries,
    precision,
    threshold_that_finds,
)
from flow_rag_vla.memory.case import Float32Array, StrArray, unit_rows

PRESENT, POLICY, CUE = "present", "policy", "cue"
"""The key in use; the policy's embedding of what it sees; of the key in use the cue and the work cell alone."""

CENTRED, WITH_CUE = "policy, standardised", "policy, standardised, and cue"
"""Made of them: the embedding on a common scale, and that with the cue, which count half each."""

FIRST, LATER = "first decision", "after the first alarm"
LATER_KEY = "after the first alarm, by what is sensed then"

EXPOSURES = (Exposure.NEAR, Exposure.FAR, Exposure.CONTROL, Exposure.CLEAN)


@dataclass(frozen=True)
class Asked:
    """What episodes asked, one row each; the mappings are by key."""

    exposures: StrArray
    """(n,) which exposure it was."""
    first: Mapping[str, Queries]
    """Asked at the first decision."""
    later: Mapping[str, Queries]
    """With the keys of the first decision after an alarm; those of the first where none came."""
    felt: StrArray
    """(n,) type of failure that the alarm named; ``UNKNOWN`` where none came before a decision."""


@dataclass(frozen=True)
class Row:
    """One key, at one moment, on episodes of one kind."""

    key: str
    threshold: float
    moment: str
    exposure: str
    result: Precision


@dataclass(frozen=True)
class KeyTable:
    """Everything that was found."""

    cases: int
    rows: tuple[Row, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return asdict(self)

    def __str__(self) -> str:
        """A Markdown table."""
        head = ("asked", "key", "on", "found", "hazard, nearest", "hazard, all", "type, nearest", "type, all")
        lines = [head, ("---",) * len(head), *(_cells(row) for row in self.rows)]
        return "\n".join([f"{self.cases} cases", "", *(f"| {' | '.join(line)} |" for line in lines)])


def compared(cases: Mapping[str, Cases], asked: Asked, k: int, threshold: float) -> KeyTable:
    """What each key finds among its ``k`` nearest cases.

    The present key finds what is at least ``threshold`` similar; the others have no threshold of their own, and each
    gets the one at which as many NEAR episodes find something at their first decision.
    """
    is_near = asked.exposures == Exposure.NEAR
    mean, spread = _scale(cases[POLICY].keys)
    cases = _with_made(cases, mean, spread)
    first, later = (_with_made(queries, mean, spread) for queries in (asked.first, asked.later))
    share = precision(cases[PRESENT], first[PRESENT].select(is_near), k, threshold)
    rows: list[Row] = []
    for key in (PRESENT, POLICY, CENTRED, WITH_CUE):
        limit = threshold
        if key != PRESENT:
            limit = threshold_that_finds(cases[key], first[key].select(is_near), share.found / share.queries)
        felt = asked.felt != UNKNOWN
        moments = (
            (FIRST, first[key], np.ones_like(felt)),
            (LATER, replace(first[key], felt=asked.felt), felt),
            (LATER_KEY, replace(later[key], felt=asked.felt), felt),
        )
        for moment, queries, counts in moments:
            for exposure in EXPOSURES:
                of_kind = queries.select((asked.exposures == exposure) & counts)
                rows.append(Row(key, limit, moment, str(exposure), precision(cases[key], of_kind, k, limit)))
    order = {moment: i for i, moment in enumerate((FIRST, LATER, LATER_KEY))}
    return KeyTable(len(cases[PRESENT].keys), tuple(sorted(rows, key=lambda row: order[row.moment])))


def _with_made[T: (Cases, Queries)](found: Mapping[str, T], mean: Float32Array, spread: Float32Array) -> dict[str, T]:
    """``found`` and the two keys made of them."""
    keys = ((found[POLICY].keys - mean) / spread).astype(np.float32)
    centred = unit_rows(keys.reshape(-1, keys.shape[-1])).reshape(keys.shape)
    with_cue = np.concatenate([centred, found[CUE].keys], axis=-1)
    return {**found, CENTRED: replace(found[POLICY], keys=centred), WITH_CUE: replace(found[POLICY], keys=with_cue)}


def _scale(keys: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Mean and standard deviation (embedding_dim,) of what is remembered; 1 for numbers that never change."""
    flat = keys.reshape(-1, keys.shape[-1])
    spread = flat.std(axis=0)
    return flat.mean(axis=0), np.where(spread > 0, spread, 1.0).astype(np.float32)


def _cells(row: Row) -> tuple[str, ...]:
    r = row.result

    def shown(share: float | None) -> str:
        return "-" if share is None else f"{100 * share:.1f} %"

    found = f"{r.found} of {r.queries}"
    key = f"{row.key} ({row.threshold:.3f})"
    shares = (r.hazard_first, r.hazard_all, r.type_first, r.type_all)
    return (row.moment, key, row.exposure.upper(), found, *map(shown, shares))
