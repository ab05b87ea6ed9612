"""Which new failures are already known."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from flow_rag_vla.memory.case import FailureCase, Float32Array, Int64Array
from flow_rag_vla.memory.index import CosineIndex
from flow_rag_vla.memory.table import CaseTable

ROUNDING = 1.0e-6
"""Slack for float32 rounding: equal states are duplicates at a threshold of 1."""

_CASE_BLOCK = 256
"""New cases compared at once; bounds the similarity matrix to tens of megabytes."""


@dataclass(frozen=True)
class AddReport:
    """What became of the cases of one ``add``, in their order."""

    case_ids: tuple[int, ...]
    """The id of each case: its own, or that of the case it was merged into."""
    is_new: tuple[bool, ...]
    """False where a case was merged into an earlier one."""
    pruned: tuple[int, ...]
    """Ids forgotten to keep the size, ascending; may contain new ones."""

    @property
    def added(self) -> tuple[int, ...]:
        """Ids of the new cases."""
        return tuple(case_id for case_id, new in zip(self.case_ids, self.is_new, strict=True) if new)

    @property
    def merged(self) -> tuple[int, ...]:
        """For each duplicate, the id that it was merged into."""
        return tuple(case_id for case_id, new in zip(self.case_ids, self.is_new, strict=True) if not new)


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
    window_of_row = np.cumsum(np.diff(index.row_case_ids, prepend=0) != 0) - 1
    for (failure_type, phase), positions in groups.items():
        alike = [(key.failure_type, key.phase) == (failure_type, phase) for key in table.cluster_keys]
        stored = np.array(alike, dtype=np.bool_)[table.cluster_codes]
        stored_ids, rows = table.ids[stored], np.flatnonzero(stored[window_of_row])
        stored_keys = index.keys if len(rows) == len(index) else index.keys[rows]
        starts = np.flatnonzero(np.diff(index.row_case_ids[rows], prepend=0))
        new_keys = [cases[position].key_states for position in positions]
        first_of = _first_of_its_kind(_Windows(stored_keys, starts), new_keys, threshold)
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


class _Windows(NamedTuple):
    """Windows of keys, one after the other."""

    keys: Float32Array
    """(num_rows, embedding_dim)."""
    starts: Int64Array
    """(num_windows,) first row of each."""


def _first_of_its_kind(stored: _Windows, new: Sequence[Float32Array], threshold: float) -> list[int]:
    """For each window of ``new``: the window that it duplicates, or itself, counted from the first stored one.

    New windows are compared with what no duplicate is, not with each other's repeats: the work follows what is new.
    """
    num_stored = len(stored.starts)
    found: list[int] = []
    unique: list[int] = []
    for begin in range(0, len(new), _CASE_BLOCK):
        block = _windows(new[begin : begin + _CASE_BLOCK])
        known_score, known = _most_covering(block, stored)
        earlier_score, earlier = _most_covering(block, _windows([new[i] for i in unique]))
        within = _coverage(block, block)
        fresh: list[int] = []
        for i in range(len(block.starts)):
            candidates = [(known_score[i], int(known[i]))]
            if unique:
                candidates.append((earlier_score[i], num_stored + unique[earlier[i]]))
            if fresh:
                best = int(within[i, fresh].argmax())
                candidates.append((within[i, fresh[best]], num_stored + begin + fresh[best]))
            score, window = max(candidates, key=lambda candidate: candidate[0])  # the oldest of equals
            if score < threshold - ROUNDING:
                fresh.append(i)
                window = num_stored + begin + i
            found.append(window)
        unique += [begin + i for i in fresh]
    return found


def _windows(keys: Sequence[Float32Array]) -> _Windows:
    """``keys``, arrays (num_keys, embedding_dim), as windows."""
    if not keys:
        return _Windows(np.zeros((0, 0), np.float32), np.zeros(0, np.int64))
    return _Windows(np.concatenate(keys), np.cumsum([0, *map(len, keys[:-1])]))


def _coverage(windows: _Windows, by: _Windows) -> Float32Array:
    """(windows, by) least similarity of a key of a window to the closest key of the window that is to cover it."""
    similarity = windows.keys @ by.keys.T
    similarity = _reduced(np.maximum, similarity.T, by.starts).T
    return _reduced(np.minimum, similarity, windows.starts)


def _reduced(reduce: np.ufunc, rows: Float32Array, starts: Int64Array) -> Float32Array:
    """(len(starts), n) ``reduce`` over each window of ``rows``; windows of one size, as agents keep them, are fast."""
    size = len(rows) // len(starts)
    if (np.diff(starts, append=len(rows)) == size).all():
        return functools.reduce(reduce, [rows[i::size] for i in range(size)])
    return reduce.reduceat(rows, starts, axis=0)


def _most_covering(windows: _Windows, by: _Windows) -> tuple[Float32Array, Int64Array]:
    """(windows,) the highest coverage of each and the window it comes from, the oldest of equals; -inf for none."""
    if not len(by.starts):
        return np.full(len(windows.starts), -np.inf, np.float32), np.zeros(len(windows.starts), np.int64)
    coverage = _coverage(windows, by)
    best = coverage.argmax(axis=1)
    return coverage[np.arange(len(best)), best], best
