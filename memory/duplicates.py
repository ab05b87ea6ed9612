"""Which new failures are already known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flow_rag_vla.memory.case import FailureCase, Float32Array, Int64Array
from flow_rag_vla.memory.index import CosineIndex
from flow_rag_vla.memory.table import CaseTable

ROUNDING = 1.0e-6
"""Slack for float32 rounding: equal states are duplicates at a threshold of 1."""

_CASE_BLOCK = 256
"""New cases compared at once; bounds the similarity matrix to tens of megabytes."""


def assign_ids(
    cases: Sequence[FailureCase],
    table: CaseTable,
    index: CosineIndex,
    threshold: float,
    next_id: int,
) -> list[int]:
    """The id that each new case gets: a fresh one, or that of the case it duplicates.

    A case duplicates an earlier one of the same failure type and phase if *each* of its keys has a
    cosine similarity of at least ``threshold`` with some key of the earlier case: everything that
    would retrieve the new case retrieves the earlier one.  Among several, the most similar counts,
    the oldest on ties.  The earlier case may be stored already or come earlier in ``cases`` (and be
    no duplicate itself).

    Args:
        cases: new cases in merge order.
        table: cases stored so far.
        index: their keys.
        threshold: cosine similarity.
        next_id: the first fresh id; fresh ids count up in the order of ``cases``.
    """
    groups: dict[tuple[str, str], int] = {}
    new_group = np.array(
        [groups.setdefault((case.failure_type, case.phase), len(groups)) for case in cases],
        np.int64,
    )
    cluster_group = np.array([groups.get((key[0], key[1]), -1) for key in table.cluster_keys], np.int64)
    stored_group = cluster_group[table.cluster_codes]

    num_keys = np.array([len(case.key_states) for case in cases], dtype=np.int64)
    new_keys = np.concatenate([case.key_states for case in cases])
    new_starts = np.cumsum(num_keys) - num_keys
    stored_starts = np.searchsorted(index.row_case_ids, table.ids)

    ids: list[int] = []
    fresh = np.zeros(len(cases), dtype=np.bool_)
    for first in range(0, len(cases), _CASE_BLOCK):
        last = min(first + _CASE_BLOCK, len(cases))
        rows = slice(new_starts[first], new_starts[last - 1] + num_keys[last - 1])
        starts = new_starts[first:last] - new_starts[first]
        stored = _least_covered(new_keys[rows], starts, index.keys, stored_starts)
        stored[new_group[first:last, None] != stored_group] = -np.inf
        batch = _least_covered(new_keys[rows], starts, new_keys[: rows.stop], new_starts[:last])
        batch[new_group[first:last, None] != new_group[:last]] = -np.inf
        for i in range(first, last):
            in_batch = np.where(fresh[:last], batch[i - first], -np.inf)
            in_store = stored[i - first]
            best_stored = in_store.max(initial=-np.inf)
            best_batch = in_batch.max()
            if max(best_stored, best_batch) < threshold - ROUNDING:
                ids.append(next_id)
                next_id += 1
                fresh[i] = True
            elif best_stored >= best_batch:
                ids.append(int(table.ids[in_store.argmax()]))
            else:
                ids.append(ids[in_batch.argmax()])
    return ids


def _least_covered(
    keys: Float32Array, starts: Int64Array, other_keys: Float32Array, other_starts: Int64Array
) -> Float32Array:
    """(num_cases, num_others) similarity of the case's key that the other case covers worst.

    ``keys`` and ``other_keys`` hold the rows of one case after the other; ``starts`` says where
    each case begins.
    """
    if not len(other_starts):
        return np.zeros((len(starts), 0), dtype=np.float32)
    similarity = keys @ other_keys.T
    closest = np.maximum.reduceat(similarity, other_starts, axis=1)
    return np.minimum.reduceat(closest, starts, axis=0)
