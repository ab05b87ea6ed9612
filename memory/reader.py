"""Reading a memory: retrieval by state, and what is known of the cases retrieved."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flow_rag_vla.memory.case import ClusterKey, FailureCase, Float32Array, Int64Array, StrArray
from flow_rag_vla.memory.evidence.outcomes import CandidateChoice, borrowed_counts, posterior_means
from flow_rag_vla.memory.evidence.situations import MOMENTS, Exposures
from flow_rag_vla.memory.index import NO_CASE, CosineIndex, SearchResult
from flow_rag_vla.memory.table import CaseTable

DEFAULT_K = 5
"""Cases retrieved for a query (the guide's value)."""


class CaseReader:
    """What can be asked of a memory, for thousands of rows a call.

    Case id 0 means "no case" (see ``SearchResult``).  ``candidate_means``, ``best_candidates``,
    ``corrections`` and ``failed_actions`` answer it with zeros, so that a padded search result can
    be used without masking first.
    """

    def __init__(
        self,
        index: CosineIndex,
        table: CaseTable,
        similarity_threshold: float,
        cluster_weight: float,
    ) -> None:
        """Read ``table`` through ``index``; ``FailureMemory`` explains the other arguments."""
        self.similarity_threshold = similarity_threshold
        self.cluster_weight = cluster_weight
        self._index = index
        self._table = table
        self._exposures = Exposures.none(table.shape.embedding_dim, MOMENTS * table.shape.num_candidates)

    def __len__(self) -> int:
        """Number of cases."""
        return len(self._table)

    @property
    def embedding_dim(self) -> int:
        """Length of a state embedding."""
        return self._table.shape.embedding_dim

    @property
    def horizon(self) -> int:
        """Actions in a chunk."""
        return self._table.shape.horizon

    @property
    def num_candidates(self) -> int:
        """Corrections that are told apart."""
        return self._table.shape.num_candidates

    @property
    def index(self) -> CosineIndex:
        """The key states; to be read only."""
        return self._index

    @property
    def table(self) -> CaseTable:
        """The cases as columns; another object once anything has changed."""
        return self._table

    @property
    def exposures(self) -> Exposures:
        """What was tried in which situation, to do nothing included; another object once anything has changed."""
        return self._exposures

    def search(self, states: npt.ArrayLike, k: int = DEFAULT_K, min_similarity: float | None = None) -> SearchResult:
        """The cases most similar to each state.

        Args:
            states: (num_queries, embedding_dim), or (embedding_dim,) for one query; scaled to unit
                length.
            k: cases for each state.
            min_similarity: cosine similarity that a hit needs; None stands for the memory's
                ``similarity_threshold``.

        Raises:
            ValueError: wrong shape, a state that is not finite or is all zeros, or ``k`` below 1.
        """
        queries = np.array(states, dtype=np.float32, ndmin=2, copy=None)
        return self._index.search(queries, k, self.similarity_threshold if min_similarity is None else min_similarity)

    def candidate_means(self, case_ids: npt.ArrayLike) -> Float32Array:
        """(*case_ids.shape, num_candidates) posterior mean chance to help, 0 to 1.

        A posterior is the case's prior, its own outcomes, and what it borrows from its cluster.

        Raises:
            KeyError: an id was never given out or its case has been forgotten.
        """
        ids = np.asarray(case_ids, dtype=np.int64)
        means = np.zeros((*ids.shape, self.num_candidates), dtype=np.float32)
        present = ids != NO_CASE
        rows = self._table.rows_of(ids[present])
        own = self._table.counts[rows]
        cluster = self._table.cluster_counts[self._table.cluster_codes[rows]]
        borrowed = borrowed_counts(own, cluster, self.cluster_weight)
        means[present] = posterior_means(self._table.priors[rows], own, borrowed)
        return means

    def best_candidates(self, case_ids: npt.ArrayLike) -> CandidateChoice:
        """The most promising candidate of each case; errors as in ``candidate_means``."""
        means = self.candidate_means(case_ids)
        return CandidateChoice(candidate=means.argmax(axis=-1).astype(np.int64), reliability=means.max(axis=-1))

    def corrections(self, case_ids: npt.ArrayLike) -> Float32Array:
        """(*case_ids.shape, horizon, 7) corrected chunks, zeros where there is no case.

        Raises:
            KeyError: an id was never given out or its case has been forgotten.
        """
        return self._gather(case_ids, self._table.corrections)

    def failed_actions(self, case_ids: npt.ArrayLike) -> Float32Array:
        """(*case_ids.shape, horizon, 7) failed chunks; zeros and errors as in ``corrections``."""
        return self._gather(case_ids, self._table.failed_actions)

    def failure_types(self, case_ids: npt.ArrayLike) -> StrArray:
        """Failure type of each case, shape of ``case_ids``; "" for no case; KeyError as above."""
        ids = np.asarray(case_ids, dtype=np.int64)
        names = np.array(["", *(key.failure_type for key in self._table.cluster_keys)], dtype=np.str_)
        codes = np.full(ids.shape, -1, dtype=np.int64)
        present = ids != NO_CASE
        codes[present] = self._table.cluster_codes[self._table.rows_of(ids[present])]
        return names[codes + 1]

    def case(self, case_id: int) -> FailureCase:
        """One case with its present counts.

        Raises:
            KeyError: the id was never given out or its case has been forgotten.
        """
        return self._table.case(case_id)

    @property
    def case_ids(self) -> Int64Array:
        """(num_cases,) all ids, oldest first."""
        return self._table.ids.copy()

    @property
    def clusters(self) -> dict[ClusterKey, tuple[int, ...]]:
        """The ids of each cluster that has a case, oldest first."""
        members: dict[ClusterKey, list[int]] = {}
        for case_id, code in zip(self._table.ids.tolist(), self._table.cluster_codes.tolist(), strict=True):
            members.setdefault(self._table.cluster_keys[code], []).append(case_id)
        return {key: tuple(ids) for key, ids in members.items()}

    @property
    def num_keys(self) -> int:
        """Key states over all cases: the rows that a search compares."""
        return len(self._index)

    @property
    def num_bytes(self) -> int:
        """Bytes of all arrays in memory: index, cases, columns and exposures."""
        arrays = ("key_states", "failed_action", "correction", "prior", "counts")
        cases = sum(getattr(case, name).nbytes for case in self._table.cases for name in arrays)
        columns = ("ids", "counts", "occurrences", "cluster_codes", "cluster_counts")
        cases += self._exposures.num_bytes
        return self._index.keys.nbytes + cases + sum(getattr(self._table, name).nbytes for name in columns)

    def _gather(self, case_ids: npt.ArrayLike, values: Float32Array) -> Float32Array:
        ids = np.asarray(case_ids, dtype=np.int64)
        gathered = np.zeros((*ids.shape, *values.shape[1:]), dtype=np.float32)
        present = ids != NO_CASE
        gathered[present] = values[self._table.rows_of(ids[present])]
        return gathered
