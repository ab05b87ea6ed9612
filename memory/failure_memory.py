"""The selective failure memory: add failures, find them by state, learn what helps."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from flow_rag_vla.memory.case import BoolArray, CaseShape, FailureCase, unit_rows
from flow_rag_vla.memory.duplicates import AddReport, assign_ids
from flow_rag_vla.memory.evidence.situations import KeySource, choices_of
from flow_rag_vla.memory.index import NO_CASE, CosineIndex
from flow_rag_vla.memory.reader import CaseReader
from flow_rag_vla.memory.store import CaseStore
from flow_rag_vla.memory.stored_cases import CASES_AT_ONCE, CaseSource, ListedCases
from flow_rag_vla.memory.table import CaseTable


class FrozenMemoryError(RuntimeError):
    """A frozen memory was asked to change."""


class FailureMemory(CaseReader):
    """Failures keyed by the states that led to them.

    Reading is ``CaseReader``'s.  Writing is deterministic: the same calls in the same order leave
    the same memory.  With ``store_path`` every write is durable when the call returns, and a write
    that fails on disk changes nothing.
    """

    def __init__(
        self,
        embedding_dim: int = 512,
        max_size: int = 10_000,
        similarity_threshold: float = 0.9,
        *,
        duplicate_threshold: float = 0.95,
        horizon: int = 1,
        num_candidates: int = 1,
        cluster_weight: float = 4.0,
        search_threads: int = 1,
        store_path: str | os.PathLike[str] | None = None,
    ) -> None:
        """An empty memory, or the one that ``store_path`` holds.

        Args:
            embedding_dim: length of a state embedding.
            max_size: cases (not keys) kept, applied after each ``add``; as many situations are kept of exposures.
            similarity_threshold: cosine similarity that a case needs to be retrieved.
            duplicate_threshold: cosine similarity from which a failure of the same type and phase
                is the same one (``duplicates.assign_ids`` says how windows are compared).
            horizon: actions in every chunk.
            num_candidates: corrections that are told apart; every case's prior has as many rows.
            cluster_weight: the most trials that a cluster lends to one candidate of one case
                (``outcomes.borrowed_counts``).
            search_threads: FAISS threads of one search.
            store_path: SQLite file to continue or to start; None keeps nothing on disk.

        Raises:
            ValueError: an argument is out of range, or the file is damaged or has other dimensions.
        """
        for name, count in (
            ("max_size", max_size),
            ("horizon", horizon),
            ("num_candidates", num_candidates),
        ):
            if count < 1:
                raise ValueError(f"{name}: expected at least 1, got {count}")
        for name, value in (
            ("similarity", similarity_threshold),
            ("duplicate", duplicate_threshold),
        ):
            if not -1.0 <= value <= 1.0:
                raise ValueError(f"{name}_threshold: expected a cosine similarity in [-1, 1], got {value}")
        if not cluster_weight >= 0.0:
            raise ValueError(f"cluster_weight: expected at least 0, got {cluster_weight}")
        super().__init__(
            CosineIndex(embedding_dim, search_threads),
            CaseTable.build(CaseShape(embedding_dim, horizon, num_candidates)),
            similarity_threshold,
            cluster_weight,
        )
        self.max_size = max_size
        self.duplicate_threshold = duplicate_threshold
        self.is_frozen = False
        self._next_id = NO_CASE + 1
        self._store: CaseStore | None = None
        if store_path is not None:
            self._store = CaseStore.open_or_create(Path(store_path), self._table.shape)
            self._adopt(self._store)

    def frozen(self) -> Self:
        """A copy that cannot change, for use within a round; later writes do not reach it."""
        copy = type(self)(
            self.embedding_dim,
            self.max_size,
            self.similarity_threshold,
            duplicate_threshold=self.duplicate_threshold,
            horizon=self.horizon,
            num_candidates=self.num_candidates,
            cluster_weight=self.cluster_weight,
            search_threads=self._index.num_threads,
        )
        copy._index = self._index.clone()
        copy._table, copy._next_id, copy._exposures = self._table, self._next_id, self._exposures
        copy.is_frozen = True
        return copy

    # Writing

    def add(self, cases: Sequence[FailureCase] | CaseSource) -> AddReport:
        """Remember ``cases`` in the given order, then forget the least useful beyond ``max_size``.

        A duplicate adds its occurrences and outcomes to the case it repeats, which keeps its keys
        and chunks.  Of a source no more than a block is in memory at once, beside what is kept.

        Raises:
            FrozenMemoryError: the memory is frozen.
            ValueError: a case does not fit this memory; nothing is added then.
        """
        self._require_writable()
        source = cases if not isinstance(cases, Sequence) else self._listed(cases)
        columns = source.columns
        if not len(columns):
            return AddReport((), (), ())
        self._require_shape(columns.shape)
        ids = assign_ids(source, self._table, self._index, self.duplicate_threshold, self._next_id)
        # Fresh ids count up, so each is met for the first time where it is above all before it.
        highest = np.maximum.accumulate(np.append(self._next_id - 1, ids))
        is_new = ids > highest[:-1]
        table, pruned = self._table.with_new(ids, is_new, source, self.max_size)
        first_new = self._next_id
        self._commit(table, int(highest[-1]) + 1)
        if len(pruned):
            self._index.remove(pruned)
        # What is forgotten at once is never in the index: a round may bring many times what is kept.
        self._to_index(int(np.searchsorted(table.ids, first_new)))
        return AddReport(tuple(ids.tolist()), tuple(is_new.tolist()), tuple(pruned.tolist()))

    def add_failure(
        self,
        state: npt.ArrayLike,
        action: npt.ArrayLike,
        failure_type: str,
        correction: npt.ArrayLike,
        *,
        phase: str = "",
        region: str = "",
    ) -> bool:
        """Remember one failure with a uniform prior (the guide's call); False if already known.

        Args:
            state: (embedding_dim,) or (num_keys, embedding_dim).
            action: (7,) or (horizon, 7) what failed.
            failure_type: its type.
            correction: the action corrected, same shape.
            phase: phase of the failure.
            region: coarse bin, see ``FailureCase.region``.

        Raises:
            FrozenMemoryError: the memory is frozen.
            ValueError: a shape or value does not fit.
        """
        case = FailureCase(
            key_states=np.array(state, dtype=np.float32),
            failed_action=np.array(action, dtype=np.float32, ndmin=2),
            failure_type=failure_type,
            correction=np.array(correction, dtype=np.float32, ndmin=2),
            phase=phase,
            region=region,
            prior=np.ones((self.num_candidates, 2), dtype=np.float32),
        )
        return self.add([case]).is_new[0]

    def record_outcomes(self, case_ids: npt.ArrayLike, candidates: npt.ArrayLike, helped: npt.ArrayLike) -> None:
        """Count how uses of retrieved cases ended; a case may occur several times.

        Args:
            case_ids: (n,) the cases used.
            candidates: (n,) the candidate tried with each.
            helped: (n,) bool, whether the failure was avoided.

        Raises:
            FrozenMemoryError: the memory is frozen.
            KeyError: an id was never given out or its case has been forgotten (record outcomes
                before adding cases); nothing is counted then.
            ValueError: unequal shapes or a candidate out of range; nothing is counted then.
        """
        self._require_writable()
        rows = self._table.rows_of(np.atleast_1d(np.asarray(case_ids, dtype=np.int64)))
        tried = np.atleast_1d(np.asarray(candidates, dtype=np.int64))
        success: BoolArray = np.atleast_1d(np.asarray(helped, dtype=np.bool_))
        if rows.ndim != 1 or not rows.shape == tried.shape == success.shape:
            raise ValueError(
                f"expected three arrays of one shape (n,), got case_ids {rows.shape}, "
                f"candidates {tried.shape}, helped {success.shape}"
            )
        if ((tried < 0) | (tried >= self.num_candidates)).any():
            raise ValueError(f"candidates: expected 0 to {self.num_candidates - 1}, got {tried.min()} to {tried.max()}")
        used, which = np.unique(rows, return_inverse=True)
        counts = np.zeros((len(used), self.num_candidates, 2), dtype=np.int64)
        np.add.at(counts, (which, tried, np.where(success, 0, 1)), 1)
        self._commit(
            self._table.with_evidence(used, counts, np.zeros(len(used), dtype=np.int64)),
            self._next_id,
        )

    def record_exposures(
        self,
        states: npt.ArrayLike | KeySource,
        candidates: npt.ArrayLike,
        worked: npt.ArrayLike,
        felt: npt.ArrayLike = False,
    ) -> None:
        """Count how n episodes ended, successes as well as failures; errors as in ``record_outcomes``.

        Args:
            states: (n, embedding_dim) what each episode began in, or where a block of that is found.
            candidates: (n,) the candidate tried; 0 where nothing was.
            worked: (n,) bool, whether the episode came to its end.
            felt: (n,) bool, whether something had been felt to go wrong when it was taken (ever, where nothing was).
        """
        self._require_writable()
        choices = choices_of(np.asarray(candidates), np.asarray(felt, dtype=np.bool_), self.num_candidates)
        keys = states if isinstance(states, KeySource) else KeySource.of(unit_rows(states))
        exposures = self._exposures.with_trials(
            keys, choices, np.asarray(worked, dtype=np.bool_), self.duplicate_threshold, self.max_size
        )
        if self._store is not None:
            self._store.write_exposures(self._exposures, exposures)
        self._exposures = exposures

    # Keeping

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a snapshot to one file; what is at ``path`` is replaced once that is complete.

        Raises:
            ValueError: ``path`` is this memory's own store, which is up to date already.
        """
        target = Path(path)
        if self._store is not None and target.absolute() == self._store.path.absolute():
            raise ValueError(f"{target} is the store of this memory; every write is in it already")
        unfinished = target.with_name(target.name + ".unfinished")
        unfinished.unlink(missing_ok=True)
        store = CaseStore.create(unfinished, self._table.shape, journal="DELETE")
        store.write(CaseTable.build(self._table.shape), self._table, self._next_id)
        store.write_exposures(self._exposures.emptied(), self._exposures)
        store.close()
        unfinished.replace(target)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        max_size: int = 10_000,
        similarity_threshold: float = 0.9,
        *,
        duplicate_threshold: float = 0.95,
        cluster_weight: float = 4.0,
        search_threads: int = 1,
    ) -> Self:
        """The memory in the file at ``path``, which is only read; arguments as in the constructor.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is damaged or no failure memory.
        """
        store = CaseStore.open(Path(path))
        try:
            memory = cls(
                store.shape.embedding_dim,
                max_size,
                similarity_threshold,
                duplicate_threshold=duplicate_threshold,
                horizon=store.shape.horizon,
                num_candidates=store.shape.num_candidates,
                cluster_weight=cluster_weight,
                search_threads=search_threads,
            )
            memory._adopt(store)
        finally:
            store.close()
        return memory

    def close(self) -> None:
        """Close the store, if there is one; the memory can be read but not written afterwards."""
        if self._store is not None:
            self._store.close()
            self.is_frozen = True

    # Inside

    def _adopt(self, store: CaseStore) -> None:
        stored = store.read()
        self._table, self._next_id, self._exposures = stored.table, stored.next_id, stored.exposures
        self._to_index(0)

    def _to_index(self, first_row: int) -> None:
        """Add the keys of the cases from ``first_row`` on, a block at a time: they are copied on the way."""
        for begin in range(first_row, len(self._table), CASES_AT_ONCE):
            cases = self._table.cases[begin : begin + CASES_AT_ONCE]
            self._index.add(
                np.repeat(self._table.ids[begin : begin + CASES_AT_ONCE], [len(case.key_states) for case in cases]),
                np.concatenate([case.key_states for case in cases]),
            )

    def _commit(self, table: CaseTable, next_id: int) -> None:
        """Make ``table`` durable, then current."""
        if self._store is not None:
            self._store.write(self._table, table, next_id)
        self._table, self._next_id = table, next_id

    def _require_writable(self) -> None:
        if self.is_frozen:
            raise FrozenMemoryError("this memory is frozen or closed: change the memory that it was made from")

    def _listed(self, cases: Sequence[FailureCase]) -> ListedCases:
        for position, case in enumerate(cases):
            self._require_shape(case.shape, f"case {position}: ")
        return ListedCases(self._table.shape, cases)

    def _require_shape(self, shape: CaseShape, whose: str = "") -> None:
        for what, got, expected in zip(CaseShape._fields, shape, self._table.shape, strict=True):
            if got != expected:
                raise ValueError(f"{whose}{what} is {got}, expected {expected} in this memory")
