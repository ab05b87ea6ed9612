"""Exact nearest-neighbour search over the key states of all cases, by cosine similarity."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import faiss
import numpy as np
import numpy.typing as npt

from flow_rag_vla.memory.case import BoolArray, Float32Array, Int64Array, unit_rows

NO_CASE = 0
"""Stands for "no case" wherever a case id is expected; real ids start at 1."""

_QUERY_BLOCK = 1024
"""Queries searched at once; bounds the temporary arrays to tens of megabytes."""

_SCANNED = 1 << 24
"""Similarities of tied queries to all keys that are held at once: 64 MB."""

_ROUNDING = 2.0e-6
"""How far two similarities may lie apart that the rounding of FAISS, or of a matrix product, can turn around."""


@dataclass(frozen=True)
class SearchResult:
    """The nearest cases of each query, most similar first, each case at most once in a row.

    A row with fewer than ``k`` hits is padded: there ``valid`` is False, ``case_ids`` is 0
    (``NO_CASE``, never the id of a case) and ``similarity`` is 0.
    """

    case_ids: Int64Array
    """(num_queries, k)."""
    similarity: Float32Array
    """(num_queries, k) cosine similarity of the query and the case's closest key, -1 to 1."""
    valid: BoolArray
    """(num_queries, k) where there is a hit; hits come first in each row."""

    @property
    def hit(self) -> BoolArray:
        """(num_queries,) True where at least one case was found."""
        return self.valid.any(axis=1)


class CosineIndex:
    """Exact search by ``similarity = query . key`` on unit vectors.

    The similarity is a cosine: -1 to 1, without units, whatever the encoder's scale.  (A threshold
    on squared L2 distance means something else for every scale; on unit rows it is ``2 - 2 *
    similarity``.)

    A case owns one or more consecutive rows.  Rows are kept in ascending order of case id, so
    contents and answers follow from what was added and removed, in that order, alone.
    """

    def __init__(self, embedding_dim: int, num_threads: int = 1) -> None:
        """An empty index.

        Args:
            embedding_dim: length of every key and query.
            num_threads: threads of one search, set for the duration of the call only, so that
                nothing else that runs FAISS is changed.

        Raises:
            ValueError: an argument is below 1.
        """
        if embedding_dim < 1 or num_threads < 1:
            raise ValueError(
                f"embedding_dim and num_threads: expected at least 1, got {embedding_dim} and {num_threads}"
            )
        self.embedding_dim = embedding_dim
        self.num_threads = num_threads
        self._faiss: Any = faiss.IndexFlatIP(embedding_dim)
        self._case_ids = np.zeros(0, dtype=np.int64)
        self._most_keys = 0
        self._version = 0

    def __len__(self) -> int:
        """Number of rows (keys, not cases)."""
        return len(self._case_ids)

    @property
    def version(self) -> int:
        """Another number once rows have been added or dropped."""
        return self._version

    @property
    def row_case_ids(self) -> Int64Array:
        """(num_rows,) the case of each row, ascending."""
        return self._case_ids

    @property
    def most_keys(self) -> int:
        """Rows of the case that has most; 0 without rows."""
        return self._most_keys

    @property
    def keys(self) -> Float32Array:
        """(num_rows, embedding_dim) all rows: a view that is good until the index changes."""
        if not len(self):
            return np.zeros((0, self.embedding_dim), dtype=np.float32)
        flat = faiss.rev_swig_ptr(self._faiss.get_xb(), len(self) * self.embedding_dim)
        return flat.reshape(len(self), self.embedding_dim)

    def clone(self) -> Self:
        """A copy that later changes of this index do not reach."""
        copy = type(self)(self.embedding_dim, self.num_threads)
        copy._faiss = faiss.clone_index(self._faiss)
        copy._set_case_ids(self._case_ids)
        return copy

    def add(self, case_ids: npt.ArrayLike, keys: npt.ArrayLike) -> None:
        """Append rows: ``keys`` (n, embedding_dim), scaled to unit length, of ``case_ids`` (n,).

        Raises:
            ValueError: wrong shapes, keys that are not finite, or ids that are below 1 or not above
                the ids present.
        """
        ids = np.asarray(case_ids, dtype=np.int64)
        rows = self._checked(keys)
        if ids.shape != (len(rows),):
            raise ValueError(f"case_ids: expected shape ({len(rows)},), one for each key, got {ids.shape}")
        last = self._case_ids[-1] if len(self) else NO_CASE
        if len(ids) and (ids[0] <= last or (np.diff(ids) < 0).any()):
            raise ValueError(f"case_ids: expected ascending ids above {last}, got {ids[:5].tolist()}")
        self._faiss.add(rows)
        self._case_ids = np.concatenate([self._case_ids, ids])
        self._most_keys = max(self._most_keys, _longest_run(ids))
        self._version += 1

    def remove(self, case_ids: npt.ArrayLike) -> None:
        """Drop all rows of ``case_ids`` (n,); ids that are not present are ignored."""
        gone = np.isin(self._case_ids, np.asarray(case_ids, dtype=np.int64))
        if gone.any():
            self._faiss.remove_ids(faiss.IDSelectorBatch(np.flatnonzero(gone)))
            self._set_case_ids(self._case_ids[~gone])

    def search(self, queries: npt.ArrayLike, k: int, min_similarity: float = -1.0) -> SearchResult:
        """The ``k`` most similar cases of each query, ties by lower id.

        A query's answer does not depend on the other queries of the batch: FAISS proposes, then the
        similarities are computed again row by row (its batched kernels round differently from its
        single-query kernel).

        Args:
            queries: (num_queries, embedding_dim), scaled to unit length.
            k: cases for each query.
            min_similarity: less similar cases are no hits.

        Raises:
            ValueError: wrong shape, a query that is not finite, or ``k`` below 1.
        """
        if k < 1:
            raise ValueError(f"k: expected at least 1, got {k}")
        rows = self._checked(queries)
        result = SearchResult(
            case_ids=np.full((len(rows), k), NO_CASE, dtype=np.int64),
            similarity=np.zeros((len(rows), k), dtype=np.float32),
            valid=np.zeros((len(rows), k), dtype=np.bool_),
        )
        if len(self):
            # The nearest k * (most keys of a case) rows contain at least k different cases; one more shows a tie.
            num_rows = min(k * self._most_keys + 1, len(self))
            for start in range(0, len(rows), _QUERY_BLOCK):
                block = slice(start, start + _QUERY_BLOCK)
                self._search_block(rows[block], num_rows, min_similarity, result, block)
        return result

    def _search_block(
        self,
        queries: Float32Array,
        num_rows: int,
        min_similarity: float,
        result: SearchResult,
        block: slice,
    ) -> None:
        with _faiss_threads(self.num_threads):
            scores, found = self._faiss.search(queries, num_rows)
        k = result.case_ids.shape[1]
        first = _first_of_each_case(self._case_ids[found])
        # Which of equal cases FAISS proposes depends on its kernel.  Equal cases that are no hits concern nobody.
        tied = _tied_with_the_next(scores, first, k, complete=num_rows == len(self))
        may_hit = scores >= min_similarity - _ROUNDING
        hits = (first & may_hit).sum(axis=1)
        proposed, found = found, _first_rows(found, first, k)
        among_all = tied & (hits >= k)
        found[among_all] = self._nearest_rows(queries[among_all], found.shape[1])
        for query in np.flatnonzero(tied & (hits > 0) & (hits < k)):
            rows = np.sort(proposed[query, may_hit[query]])
            found[query] = self._nearest_of(rows, queries[query], found.shape[1])
        present = found >= 0
        similarity = np.einsum("bkd,bd->bk", self.keys[found], queries).clip(-1.0, 1.0)
        present &= similarity >= min_similarity
        case_ids = np.where(present, self._case_ids[found], NO_CASE)
        order = np.lexsort((case_ids, np.where(present, -similarity, np.inf)), axis=-1)
        columns = slice(0, found.shape[1])
        for target, values in (
            (result.case_ids, case_ids),
            (result.similarity, np.where(present, similarity, 0.0)),
            (result.valid, present),
        ):
            target[block, columns] = np.take_along_axis(values, order, axis=1)

    def _nearest_rows(self, queries: Float32Array, k: int) -> Int64Array:
        """(n, k) the closest rows of the cases closest to ``queries`` (n, embedding_dim), ties by lower id.

        -1 where there are fewer cases.
        """
        keys = self.keys
        starts = np.flatnonzero(np.diff(self._case_ids, prepend=NO_CASE))
        nearest = np.full((len(queries), k), -1, dtype=np.int64)
        at_once = max(1, _SCANNED // len(keys))
        for begin in range(0, len(queries), at_once):
            block = queries[begin : begin + at_once]
            roughly = block @ keys.T
            kth = min(k, len(starts))
            of_case = np.maximum.reduceat(roughly, starts, axis=1)
            least = np.partition(of_case, -kth, axis=1)[:, -kth] - _ROUNDING
            for query, near in enumerate(roughly >= least[:, None]):
                rows = np.flatnonzero(near)
                nearest[begin + query] = self._nearest_of(rows, block[query], k)
        return nearest

    def _nearest_of(self, rows: Int64Array, query: Float32Array, k: int) -> Int64Array:
        """(k,) as ``_nearest_rows``, among ``rows`` (n,), ascending."""
        similarity = np.einsum("bkd,bd->bk", self.keys[rows][None], query[None])[0].clip(-1.0, 1.0)
        starts = np.flatnonzero(np.diff(self._case_ids[rows], prepend=NO_CASE))
        ends = np.append(starts, len(rows))[1:]
        closest = np.argsort(-np.maximum.reduceat(similarity, starts), kind="stable")[:k]
        nearest = np.full(k, -1, dtype=np.int64)
        for i, (start, end) in enumerate(zip(starts[closest], ends[closest], strict=True)):
            nearest[i] = rows[start + similarity[start:end].argmax()]
        return nearest

    def _set_case_ids(self, case_ids: Int64Array) -> None:
        self._case_ids = case_ids
        self._most_keys = _longest_run(case_ids)
        self._version += 1

    def _checked(self, rows: npt.ArrayLike) -> Float32Array:
        array = np.asarray(rows, dtype=np.float32)
        if array.ndim != 2 or array.shape[1] != self.embedding_dim:
            raise ValueError(f"embeddings: expected shape (n, {self.embedding_dim}), got {array.shape}")
        return unit_rows(array)


def _longest_run(case_ids: Int64Array) -> int:
    """How often the most frequent of ``case_ids`` (n,), ascending, stands there."""
    starts = np.flatnonzero(np.diff(case_ids, prepend=NO_CASE))
    return int(np.diff(starts, append=len(case_ids)).max(initial=0))


def _first_of_each_case(case_ids: Int64Array) -> BoolArray:
    """(num_queries, n) True where a case stands for the first time in its row of ``case_ids`` (num_queries, n)."""
    by_case = np.argsort(case_ids, axis=1, kind="stable")
    sorted_ids = np.take_along_axis(case_ids, by_case, axis=1)
    starts_run = np.ones(case_ids.shape, dtype=np.bool_)
    starts_run[:, 1:] = sorted_ids[:, 1:] != sorted_ids[:, :-1]
    first = np.zeros(case_ids.shape, dtype=np.bool_)
    np.put_along_axis(first, by_case, starts_run, axis=1)
    return first


def _first_rows(found: Int64Array, first: BoolArray, k: int) -> Int64Array:
    """(num_queries, min(k, n)) rows ``found`` (num_queries, n) where ``first``; -1 where a query has fewer cases."""
    rank = np.cumsum(first, axis=1) - 1
    query, column = np.nonzero(first & (rank < k))
    kept = np.full((len(found), min(k, found.shape[1])), -1, dtype=np.int64)
    kept[query, rank[query, column]] = found[query, column]
    return kept


def _tied_with_the_next(scores: Float32Array, first: BoolArray, k: int, *, complete: bool) -> BoolArray:
    """(num_queries,) True where, as far as FAISS can tell, the ``k``-th case ties with one that is left out.

    Args:
        scores: (num_queries, n) similarities, descending.
        first: (num_queries, n) where a case stands for the first time.
        k: cases to keep.
        complete: these are all rows that there are.
    """
    rank = np.cumsum(first, axis=1)
    last = np.where(first & (rank == k), scores, -np.inf).max(axis=1)
    following = np.where(first & (rank == k + 1), scores, -np.inf).max(axis=1)
    if not complete:
        following = np.maximum(following, scores[:, -1])
    return np.isfinite(last) & (following >= last - _ROUNDING)


@contextmanager
def _faiss_threads(num_threads: int) -> Iterator[None]:
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(num_threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
