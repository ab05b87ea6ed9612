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
    cases: Sequence[FailureCase], table: CaseTable, index: CosineIndex, threshold: float, next_id: int
) -> list[int]:
    """The id that each new case gets: a fresh one, or that of the case it duplicates.

    A case duplicates an earlier one of the same failure type and phase if *each* of its keys has a cosine similarity of
    at least ``threshold`` with some key of the earlier case: everything that would retrieve the new case retrieves the
    earlier one.  Among several, the most similar counts, the oldest on ties.  The earlier case may be stored already or
    come earlier in ``cases`` (and be no duplicate itself).

    Args:
        cases: new cases in merge order.
        table: cases stored so far.
        index: their keys.
        threshold: cosine similarity.
        next_id: the first fresh id; fresh ids count up in the order of ``cases``.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    for position, case in enumerate(cases):
        groups.setdefault((case.failure_type, case.phase), []).append(position)

    known_id = [0] * len(cases)
    original = list(range(len(cases)))
    for (failure_type, phase), positions in groups.items():
        codes = [
            i for i, key in enumerate(table.cluster_keys) if (key.failure_type, key.phase) == (failure_type, phase)
        ]
        stored_ids = table.ids[np.isin(table.cluster_codes, codes)]
        stored_rows = np.isin(index.row_case_ids, stored_ids)
        new_keys = [cases[position].key_states for position in positions]
        keys = np.concatenate([index.keys[stored_rows], *new_keys])
        new_starts = stored_rows.sum() + np.cumsum([0, *map(len, new_keys)])
        stored_starts = np.searchsorted(index.row_case_ids[stored_rows], stored_ids)
        first_of = _first_of_its_kind(keys, np.concatenate([stored_starts, new_starts]), len(stored_ids), threshold)
        for position, first in zip(positions, first_of, strict=True):
            if first < len(stored_ids):
                known_id[position] = int(stored_ids[first])
            else:
                original[position] = positions[first - len(stored_ids)]

    ids: list[int] = []
    for position in range(len(cases)):
        if known_id[position]:
            ids.append(known_id[position])
        elif original[position] < position:
            ids.append(ids[original[position]])
        else:
            ids.append(next_id)
            next_id += 1
    return ids


def _first_of_its_kind(keys: Float32Array, starts: Int64Array, num_stored: int, threshold: float) -> list[int]:
    """For each window after the first ``num_stored``: the window that it duplicates, or itself.

    Args:
        keys: (num_rows, embedding_dim) rows of one window after the other, oldest window first.
        starts: (num_windows + 1,) first row of each window, and ``num_rows``.
        num_stored: windows that are known to be no duplicates.
        threshold: cosine similarity.
    """
    num_windows = len(starts) - 1
    is_first = np.arange(num_windows) < num_stored
    found: list[int] = []
    for begin in range(num_stored, num_windows, _CASE_BLOCK):
        end = min(begin + _CASE_BLOCK, num_windows)
        similarity = keys[starts[begin] : starts[end]] @ keys[: starts[end]].T
        closest_key = np.maximum.reduceat(similarity, starts[:end], axis=1)
        covered = np.minimum.reduceat(closest_key, starts[begin:end] - starts[begin], axis=0)
        for window in range(begin, end):
            score = np.where(is_first[:end], covered[window - begin], -np.inf)
            best = int(score.argmax())
            is_first[window] = score[best] < threshold - ROUNDING
            found.append(window if is_first[window] else best)
    return found
