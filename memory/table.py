"""The remembered cases as columns, so that one indexing operation answers thousands of ids."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from flow_rag_vla.memory.case import (
    ACTION_DIM,
    BoolArray,
    CaseShape,
    ClusterKey,
    FailureCase,
    Float32Array,
    Float64Array,
    Int64Array,
)
from flow_rag_vla.memory.evidence.outcomes import posterior_means
from flow_rag_vla.memory.pruning import rows_to_evict
from flow_rag_vla.memory.stored_cases import CASES_AT_ONCE, CaseSource

_GATHERED = {"priors": "prior", "corrections": "correction", "failed_actions": "failed_action"}
"""Columns that are gathered from the cases when they are first asked for, and the field that each comes from."""


@dataclass(frozen=True)
class CaseTable:
    """All cases, oldest first, and their clusters; every change makes a new table.

    Old tables stay valid, so a change can be written to disk before it is adopted, and a frozen
    memory costs nothing. Clusters are numbered in order of first appearance and keep their outcomes
    when a case is forgotten: what was learned outlives the case that it was learned on.
    """

    shape: CaseShape
    ids: Int64Array
    """(num_cases,) ascending."""
    cases: tuple[FailureCase, ...]
    """What never changes of each case; counts and occurrences live in the columns."""
    counts: Int64Array
    """(num_cases, num_candidates, 2) outcomes (helped, not helped)."""
    occurrences: Int64Array
    """(num_cases,) failures merged into each case."""
    cluster_codes: Int64Array
    """(num_cases,) row of each case's cluster in ``cluster_keys``."""
    cluster_keys: tuple[ClusterKey, ...]
    cluster_counts: Int64Array
    """(num_clusters, num_candidates, 2) outcomes of all cases that the cluster ever had."""
    _code_of: dict[ClusterKey, int] = field(repr=False)

    @classmethod
    def build(
        cls,
        shape: CaseShape,
        ids: npt.ArrayLike = (),
        cases: tuple[FailureCase, ...] = (),
        cluster_keys: tuple[ClusterKey, ...] = (),
        cluster_counts: Int64Array | None = None,
    ) -> Self:
        """A table of ``cases`` with ids ``ids``; ``cluster_keys`` names all their clusters."""
        code_of = {key: code for code, key in enumerate(cluster_keys)}
        empty = np.zeros((0, shape.num_candidates, 2), dtype=np.int64)
        return cls(
            shape=shape,
            ids=np.array(ids, dtype=np.int64),
            cases=cases,
            counts=np.array([case.counts for case in cases], np.int64).reshape(-1, *empty.shape[1:]),
            occurrences=np.array([case.occurrences for case in cases], dtype=np.int64),
            cluster_codes=np.array([code_of[case.cluster] for case in cases], dtype=np.int64),
            cluster_keys=cluster_keys,
            cluster_counts=empty if cluster_counts is None else cluster_counts,
            _code_of=code_of,
        )

    def __len__(self) -> int:
        """Number of cases."""
        return len(self.ids)

    @cached_property
    def priors(self) -> Float32Array:
        """(num_cases, num_candidates, 2)."""
        return np.array([case.prior for case in self.cases], np.float32).reshape(self.counts.shape)

    @cached_property
    def corrections(self) -> Float32Array:
        """(num_cases, horizon, 7)."""
        return self._chunks([case.correction for case in self.cases])

    @cached_property
    def failed_actions(self) -> Float32Array:
        """(num_cases, horizon, 7)."""
        return self._chunks([case.failed_action for case in self.cases])

    def rows_of(self, case_ids: npt.ArrayLike) -> Int64Array:
        """Rows of ``case_ids``, same shape.

        Raises:
            KeyError: an id was never given out or its case has been forgotten.
        """
        ids = np.asarray(case_ids, dtype=np.int64)
        rows = np.searchsorted(self.ids, ids)
        missing = ids[(rows == len(self)) | (np.append(self.ids, -1)[rows] != ids)]
        if missing.size:
            raise KeyError(
                f"no case with id {missing.flat[0]} among {len(self)} cases: never stored, or "
                "pruned since the search (record outcomes before adding cases)"
            )
        return rows

    def case(self, case_id: int) -> FailureCase:
        """The case with this id, with its present counts; KeyError as in ``rows_of``."""
        row = int(self.rows_of(case_id))
        return dataclasses.replace(self.cases[row], counts=self.counts[row], occurrences=int(self.occurrences[row]))

    def with_new(
        self, ids: Int64Array, is_new: BoolArray, source: CaseSource, max_size: int
    ) -> tuple[Self, Int64Array]:
        """This table and what new cases add to it, within ``max_size``; and the ids that had to leave, ascending.

        Outcomes count for clusters, too, those of cases that leave at once included.

        Args:
            ids: (n,) the id of each new case, or of the case that it repeats, here or among them.
            is_new: (n,) False where it repeats one.
            source: The n cases; its cases are asked only for those that stay.
            max_size: Cases to keep (``pruning.rows_to_evict``).
        """
        columns = source.columns
        fresh = np.flatnonzero(is_new)
        code_of = dict(self._code_of)
        known = np.array([code_of.setdefault(key, len(code_of)) for key in columns.clusters_of(fresh)], dtype=np.int64)
        all_ids = np.concatenate([self.ids, ids[fresh]])
        all_codes = np.concatenate([self.cluster_codes, known])
        rows = np.searchsorted(all_ids, ids)
        occurrences = np.concatenate([self.occurrences, np.zeros(len(fresh), np.int64)])
        np.add.at(occurrences, rows, columns.occurrences)
        new_clusters = np.zeros((len(code_of) - len(self._code_of), *self.counts.shape[1:]), np.int64)
        cluster_counts = np.concatenate([self.cluster_counts, new_clusters])
        repeated = _Repeated(len(all_ids), self.counts.shape[1:])
        for positions, _, counts in source.evidence():
            np.add.at(cluster_counts, all_codes[rows[positions]], counts)
            repeats = ~is_new[positions]
            repeated.add(rows[positions[repeats]], counts[repeats])
        own_counts = repeated.added_to(np.arange(len(self)), self.counts)
        stays = np.ones(len(all_ids), dtype=np.bool_)
        if len(all_ids) > max_size:
            confidence = np.zeros(len(all_ids))
            confidence[: len(self)] = _confidence(self.priors, own_counts)
            for positions, priors, counts in source.evidence():
                new = is_new[positions]
                at = rows[positions[new]]
                confidence[at] = _confidence(priors[new], repeated.added_to(at, counts[new]))
            stays[rows_to_evict(all_codes, confidence, max_size)] = False
        old, staying = stays[: len(self)], fresh[stays[len(self) :]]
        cases = [
            case
            for begin in range(0, len(staying), CASES_AT_ONCE)
            for case in source.take(staying[begin : begin + CASES_AT_ONCE])
        ]
        new_counts = np.array([case.counts for case in cases], np.int64).reshape(-1, *self.counts.shape[1:])
        table = type(self)(
            shape=self.shape,
            ids=all_ids[stays],
            cases=(self.cases if old.all() else tuple(itertools.compress(self.cases, old.tolist()))) + tuple(cases),
            counts=np.concatenate([own_counts[old], repeated.added_to(rows[staying], new_counts)]),
            occurrences=occurrences[stays],
            cluster_codes=all_codes[stays],
            cluster_keys=tuple(code_of),
            cluster_counts=cluster_counts,
            _code_of=code_of,
        )
        for name, values in self._gathered():
            new = np.array([getattr(case, _GATHERED[name]) for case in cases], np.float32)
            kept = values if old.all() else values[old]
            vars(table)[name] = np.concatenate([kept, new.reshape(-1, *values.shape[1:])])
        return table, all_ids[~stays]

    def with_evidence(self, rows: Int64Array, counts: Int64Array, occurrences: Int64Array) -> Self:
        """This table with ``rows`` (n,) given counts (n, num_candidates, 2) and occurrences."""
        new_counts = self.counts.copy() if counts.any() else self.counts
        new_occurrences = self.occurrences.copy()
        cluster_counts = self.cluster_counts.copy()
        if new_counts is not self.counts:
            np.add.at(new_counts, rows, counts)
        np.add.at(new_occurrences, rows, occurrences)
        np.add.at(cluster_counts, self.cluster_codes[rows], counts)
        table = dataclasses.replace(self, counts=new_counts, occurrences=new_occurrences, cluster_counts=cluster_counts)
        vars(table).update(self._gathered())
        return table

    def _gathered(self) -> Iterator[tuple[str, Float32Array]]:
        """What has been gathered from the cases already: to do it anew for every change costs more than the change."""
        return ((name, vars(self)[name]) for name in _GATHERED if name in vars(self))

    def _chunks(self, chunks: list[Float32Array]) -> Float32Array:
        return np.array(chunks, dtype=np.float32).reshape(-1, self.shape.horizon, ACTION_DIM)


class _Repeated:
    """Outcomes of cases that repeat others, by the row of those; few bring any."""

    def __init__(self, num_rows: int, shape: tuple[int, ...]) -> None:
        self._place = np.full(num_rows, -1, np.int32)
        self._sums = np.zeros((0, *shape), np.int64)

    def add(self, rows: Int64Array, counts: Int64Array) -> None:
        """``counts`` (n, num_candidates, 2) of cases that repeat ``rows`` (n,)."""
        told = counts.any(axis=(1, 2))
        rows, counts = rows[told], counts[told]
        new = np.unique(rows[self._place[rows] < 0])
        self._place[new] = len(self._sums) + np.arange(len(new))
        self._sums = np.concatenate([self._sums, np.zeros((len(new), *counts.shape[1:]), np.int64)])
        np.add.at(self._sums, self._place[rows], counts)

    def added_to(self, rows: Int64Array, counts: Int64Array) -> Int64Array:
        """``counts`` (n, num_candidates, 2) of ``rows`` (n,), and what was added there."""
        places = self._place[rows]
        told = places >= 0
        if not told.any():
            return counts
        counts = counts.copy()
        counts[told] += self._sums[places[told]]
        return counts


def _confidence(priors: Float32Array, counts: Int64Array) -> Float64Array:
    """(n,) posterior mean of each case's best candidate, from its own outcomes; a block at a time takes less room."""
    best = np.zeros(len(counts))
    for begin in range(0, len(counts), CASES_AT_ONCE):
        rows = slice(begin, begin + CASES_AT_ONCE)
        best[rows] = posterior_means(priors[rows], counts[rows]).max(axis=-1, initial=0.0)
    return best
