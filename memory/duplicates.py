"""Which new failures are already known."""

from __future__ import annotations

import functools
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from flow_rag_vla.memory.case import Float32Array, Int64Array
from flow_rag_vla.memory.index import CosineIndex
from flow_rag_vla.memory.stored_cases import CASES_AT_ONCE, CaseSource
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


def assign_ids(source: CaseSource, table: CaseTable, index: CosineIndex, threshold: float, next_id: int) -> Int64Array:
    """(n,) the id that each new case gets: a fresh one, or that of the case it duplicates.

    A case duplicates an earlier one of the same failure type and phase if *each* of its keys has a cosine similarity of
    at least ``threshold`` with some key of the earlier case: everything that would retrieve the new case retrieves the
    earlier one.  Among several, the most similar counts, the oldest on ties.  The earlier case may be stored already or
    come earlier in ``source`` (and be no duplicate itself).

    Args:
        source: new cases in merge order; a block of their keys is in memory at once.
        table: cases stored so far.
        index: their keys.
        threshold: cosine similarity.
        next_id: the first fresh id; fresh ids count up in the order of ``source``.
    """
    columns = source.columns
    kinds: dict[tuple[str, str], int] = {}
    codes = [kinds.setdefault((key.failure_type, key.phase), len(kinds)) for key in columns.cluster_keys]
    kind_of = np.array(codes)[columns.cluster_codes]
    known_id = np.zeros(len(columns), dtype=np.int64)
    original = np.arange(len(columns))

    def keys_at(positions: Int64Array) -> list[Float32Array]:
        return [case.key_states for case in source.take(positions)]

    window_of_row = np.cumsum(np.diff(index.row_case_ids, prepend=0) != 0) - 1
    for (failure_type, phase), kind in kinds.items():
        positions = np.flatnonzero(kind_of == kind)
        alike = [(key.failure_type, key.phase) == (failure_type, phase) for key in table.cluster_keys]
        stored = np.array(alike, dtype=np.bool_)[table.cluster_codes]
        stored_ids, rows = table.ids[stored], np.flatnonzero(stored[window_of_row])
        stored_keys = index.keys if len(rows) == len(index) else index.keys[rows]
        starts = np.flatnonzero(np.diff(index.row_case_ids[rows], prepend=0))
        first_of = _first_of_its_kind(_Windows(stored_keys, starts), positions, keys_at, threshold)
        known = first_of < len(stored_ids)
        known_id[positions[known]] = stored_ids[first_of[known]]
        original[positions[~known]] = positions[first_of[~known] - len(stored_ids)]
    fresh = (known_id == 0) & (original == np.arange(len(columns)))
    ids = known_id
    ids[fresh] = next_id + np.arange(fresh.sum())
    return ids[original]


class _Windows(NamedTuple):
    """Windows of keys, one after the other."""

    keys: Float32Array
    """(num_rows, embedding_dim)."""
    starts: Int64Array
    """(num_windows,) first row of each."""


def _first_of_its_kind(
    stored: _Windows, new: Int64Array, keys_at: Callable[[Int64Array], list[Float32Array]], threshold: float
) -> Int64Array:
    """(n,) for each window of ``new``: the window that it duplicates, or itself, counted from the first stored one.

    New windows are compared with what no duplicate is, not with each other's repeats: the work follows what is new.
    What is no duplicate is read again for every ``CASES_AT_ONCE`` later ones, so that no more of it is in memory.
    """
    num_stored = len(stored.starts)
    found, unique = array("q"), array("q")
    for first in range(0, len(new), CASES_AT_ONCE):
        keys = keys_at(new[first : first + CASES_AT_ONCE])
        blocks = [_windows(keys[begin : begin + _CASE_BLOCK]) for begin in range(0, len(keys), _CASE_BLOCK)]
        closest = [_most_covering(block, stored) for block in blocks]
        for begin in range(0, len(unique), CASES_AT_ONCE):
            earlier = unique[begin : begin + CASES_AT_ONCE]
            by, names = _windows(keys_at(new[np.array(earlier)])), num_stored + np.array(earlier)
            closest = [_closer(best, block, by, names) for best, block in zip(closest, blocks, strict=True)]
        here: list[int] = []
        for block, best in zip(blocks, closest, strict=True):
            begin = len(found)
            by, names = _windows([keys[i - first] for i in here]), num_stored + np.array(here, dtype=np.int64)
            scores, windows = _closer(best, block, by, names)
            within = _coverage(block, block)
            fresh: list[int] = []
            for i in range(len(block.starts)):
                score, window = scores[i], int(windows[i])
                if fresh:
                    nearest = int(within[i, fresh].argmax())
                    if within[i, fresh[nearest]] > score:  # the oldest of equals
                        score, window = within[i, fresh[nearest]], num_stored + begin + fresh[nearest]
                if score < threshold - ROUNDING:
                    fresh.append(i)
                    window = num_stored + begin + i
                found.append(window)
            here += [begin + i for i in fresh]
        unique.extend(here)
    return np.array(found, dtype=np.int64)


def _closer(
    best: tuple[Float32Array, Int64Array], windows: _Windows, by: _Windows, names: Int64Array
) -> tuple[Float32Array, Int64Array]:
    """``best`` of ``windows``, score and window, or what of ``by``, called ``names``, covers them more."""
    if not len(names):
        return best
    scores, found = _most_covering(windows, by)
    more = scores > best[0]
    return np.where(more, scores, best[0]), np.where(more, names[found], best[1])


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
