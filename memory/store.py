"""The durable truth of a failure memory: one SQLite file; every search index is rebuilt from it."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import sqlite3
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from flow_rag_vla.memory.case import CaseShape, ClusterKey, FailureCase, Int64Array
from flow_rag_vla.memory.evidence import storage
from flow_rag_vla.memory.evidence.situations import MOMENTS, Exposures
from flow_rag_vla.memory.index import NO_CASE
from flow_rag_vla.memory.store_file import (
    APPLICATION_ID,
    SCHEMA,
    SCHEMA_VERSION,
    connect,
    require_failure_memory,
    schema_version,
    unreadable_is_value_error,
)
from flow_rag_vla.memory.stored_cases import cases_of_rows
from flow_rag_vla.memory.table import CaseTable

_READ_AT_ONCE = 2048
"""Rows of a block; with 512 dimensions and 4 keys, cases of 20 MB."""

_SIZE = struct.Struct("<Q").pack

_MOST = CaseShape(embedding_dim=65_536, horizon=4096, num_candidates=4096)
"""Sizes beyond these are taken for damage."""


class StoreChangedError(RuntimeError):
    """Somebody else has written to the file since it was read; what was to be written is not."""


@dataclass(frozen=True)
class StoredMemory:
    """What a file holds."""

    table: CaseTable
    next_id: int
    """The id of the next new case; ids are never given out twice."""
    exposures: Exposures
    """None in a file of version 1."""


class CaseStore:
    """Reads and appends failure memories on disk.

    Arrays are raw little-endian blobs (keys, chunks and priors float32, counts int64) whose shapes
    follow from the row's own columns and from ``meta``; each row carries the SHA-256 of all its
    other columns.  Writes are transactions with ``synchronous=FULL``: after a crash the file holds
    a whole number of them, and every one that returned.  There are no times in the file, so the
    same writes leave the same content.  One writes at a time: who finds that another has written
    since it read the file is refused before anything is changed.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, shape: CaseShape) -> None:
        """Use ``create``, ``open`` or ``open_or_create`` instead."""
        self._connection = connection
        self.path = path
        self.shape = shape
        self._seen = self._data_version()

    @classmethod
    def open_or_create(cls, path: Path, shape: CaseShape) -> Self:
        """The store at ``path``, made if there is none.

        Raises:
            ValueError: the file is no failure memory, or one with other dimensions.
        """
        if not path.exists() or path.stat().st_size == 0:
            return cls.create(path, shape)
        store = cls.open(path)
        if store.shape != shape:
            store.close()
            raise ValueError(f"{path} holds cases of {store.shape}, expected {shape}")
        return store

    @classmethod
    def create(cls, path: Path, shape: CaseShape, journal: str = "WAL") -> Self:
        """A new store at ``path``, which must be missing or empty.

        Raises:
            FileNotFoundError: its folder does not exist.
        """
        if not path.parent.is_dir():
            raise FileNotFoundError(f"cannot make {path}: there is no folder {path.parent}")
        connection = connect(path, "rwc", journal)
        store = cls(connection, path, shape)
        meta = {**shape._asdict(), "next_id": NO_CASE + 1}
        with store._transaction():
            for statement in SCHEMA:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
        return store

    @classmethod
    def open(cls, path: Path) -> Self:
        """The store at ``path``.

        Raises:
            FileNotFoundError: there is none.
            ValueError: the file is damaged, no failure memory, or of another schema version.
        """
        if not path.is_file():
            raise FileNotFoundError(f"no failure memory at {path}")
        with unreadable_is_value_error(path):
            connection = connect(path, "rw", None)
            try:
                require_failure_memory(connection)
                meta = dict(connection.execute("SELECT name, value FROM meta"))
                shape = CaseShape(*(meta[name] for name in CaseShape._fields))
                for name, size, most in zip(CaseShape._fields, shape, _MOST, strict=True):
                    if not (isinstance(size, int) and 1 <= size <= most):
                        raise ValueError(f"{name} is {size!r:.40}, expected 1 to {most}")
                return cls(connection, path, shape)
            except BaseException:
                connection.close()
                raise

    def read(self) -> StoredMemory:
        """Everything in the store.

        Raises:
            ValueError: a row does not match its checksum or its shape.
        """
        with unreadable_is_value_error(self.path), self._transaction("DEFERRED"):
            self._seen = self._data_version()
            clusters = self._read_clusters()
            evidence_ids, occurrences, counts = self._read_evidence()
            ids: list[int] = []
            cases: list[FailureCase] = []
            for rows in itertools.batched(self._rows("cases", "id"), _READ_AT_ONCE):
                block = slice(len(ids), len(ids) + len(rows))
                ids += [row[0] for row in rows]
                if evidence_ids[block] != ids[block]:
                    break
                cases += cases_of_rows(self.shape, [row[1:] for row in rows], occurrences[block], counts[block])
            if evidence_ids != ids:
                raise ValueError(f"{len(evidence_ids)} rows of evidence do not belong to {len(ids)} cases")
            keys, cluster_counts = tuple(clusters), np.array(list(clusters.values()), dtype=np.int64)
            table = CaseTable.build(
                self.shape,
                ids,
                tuple(cases),
                keys,
                cluster_counts.reshape(-1, self.shape.num_candidates, 2),
            )
            meta = dict(self._connection.execute("SELECT name, value FROM meta"))
            if ids and meta["next_id"] <= ids[-1]:
                raise ValueError(f"next_id {meta['next_id']} is not above the last id {ids[-1]}")
            return StoredMemory(table, meta["next_id"], self._read_exposures())

    def write(self, before: CaseTable, after: CaseTable, next_id: int) -> None:
        """Bring the store from ``before``, which it holds, to ``after`` in one durable transaction.

        Raises:
            StoreChangedError: somebody else has written since; nothing is written.
        """
        # Ids ascend and new ones lie above: what is old comes first.
        num_kept = int(np.searchsorted(after.ids, before.ids[-1], side="right")) if len(before) else 0
        nobody_left = num_kept == len(before)
        old_rows = slice(num_kept) if nobody_left else before.rows_of(after.ids[:num_kept])
        gone = [] if nobody_left else [(int(case_id),) for case_id in np.delete(before.ids, old_rows)]
        changed = np.ones(len(after), dtype=np.bool_)
        changed[:num_kept] = after.occurrences[:num_kept] != before.occurrences[old_rows]
        if after.counts is not before.counts:
            changed[:num_kept] |= (after.counts[:num_kept] != before.counts[old_rows]).any(axis=(1, 2))
        num_old = len(before.cluster_keys)
        stale = (after.cluster_counts[:num_old] != before.cluster_counts).any(axis=(1, 2))
        codes = [*np.flatnonzero(stale), *range(num_old, len(after.cluster_keys))]
        with self._transaction():
            self._require_unchanged()
            self._connection.executemany("DELETE FROM cases WHERE id = ?", gone)
            self._connection.executemany("DELETE FROM evidence WHERE case_id = ?", gone)
            ids, times = after.ids.tolist(), after.occurrences.tolist()
            self._put("cases", (_case_columns(ids[row], after.cases[row]) for row in range(num_kept, len(after))))
            self._put(
                "evidence",
                ((ids[row], times[row], _blob(after.counts[row], "<i8")) for row in np.flatnonzero(changed).tolist()),
            )
            self._put(
                "clusters",
                ((int(code), *after.cluster_keys[code], _blob(after.cluster_counts[code], "<i8")) for code in codes),
            )
            self._connection.execute("UPDATE meta SET value = ? WHERE name = 'next_id'", (next_id,))

    def write_exposures(self, before: Exposures, after: Exposures) -> None:
        """Bring the situations from ``before``, which it holds, to ``after``; errors as in ``write``."""
        gone = [(int(situation),) for situation in np.setdiff1d(before.ids, after.ids)]
        with self._transaction():
            self._require_unchanged()
            if schema_version(self._connection) == 1:
                self._connection.execute(storage.SCHEMA)
                self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            self._connection.executemany("DELETE FROM exposures WHERE id = ?", gone)
            self._put("exposures", storage.changed_rows(before, after))

    def close(self) -> None:
        """Close the file; a write-ahead log is folded into it."""
        self._connection.close()

    @contextlib.contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[None]:
        self._connection.execute(f"BEGIN {kind}")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _data_version(self) -> int:
        """Another number once another connection has written."""
        return self._connection.execute("PRAGMA data_version").fetchone()[0]

    def _require_unchanged(self) -> None:
        if self._data_version() != self._seen:
            raise StoreChangedError(
                f"another process has written to {self.path} since it was opened here; nothing of this write is "
                "in it: open it again, and let one write at a time"
            )

    def _put(self, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
        rows = iter(rows)
        if (first := next(rows, None)) is None:
            return
        marks = ", ".join("?" * (len(first) + 1))
        self._connection.executemany(
            f"INSERT OR REPLACE INTO {table} VALUES ({marks})",
            ((*columns, _row_sha256(columns)) for columns in itertools.chain([first], rows)),
        )

    def _rows(self, table: str, key: str) -> Iterator[tuple[Any, ...]]:
        """Rows of ``table`` without their checksum, which is checked."""
        for *columns, checksum in self._connection.execute(f"SELECT * FROM {table} ORDER BY {key}"):
            if checksum != _row_sha256(columns):
                raise ValueError(f"checksum mismatch in {table}, {key} {columns[0]}")
            yield tuple(columns)

    def _read_exposures(self) -> Exposures:
        sizes = self.shape.embedding_dim, MOMENTS * self.shape.num_candidates
        if schema_version(self._connection) == 1:
            return Exposures.none(*sizes)
        return storage.from_rows(self._rows("exposures", "id"), *sizes)

    def _read_clusters(self) -> dict[ClusterKey, Int64Array]:
        clusters: dict[ClusterKey, Int64Array] = {}
        for code, failure_type, phase, region, counts in self._rows("clusters", "code"):
            if code != len(clusters):
                raise ValueError(f"cluster {len(clusters)} is missing")
            clusters[ClusterKey(failure_type, phase, region)] = self._counts(counts)
        return clusters

    def _read_evidence(self) -> tuple[list[int], Int64Array, Int64Array]:
        """Case ids, ascending, occurrences (n,) and counts (n, num_candidates, 2)."""
        ids: list[int] = []
        occurrences: list[int] = []
        counts: list[Int64Array] = []
        for case_id, occurrence, blob in self._rows("evidence", "case_id"):
            ids.append(case_id)
            occurrences.append(occurrence)
            counts.append(self._counts(blob))
        every = np.array(counts, dtype=np.int64).reshape(-1, self.shape.num_candidates, 2)
        return ids, np.array(occurrences, dtype=np.int64), every

    def _counts(self, blob: bytes) -> Int64Array:
        return np.frombuffer(blob, dtype="<i8").reshape(self.shape.num_candidates, 2)


def _case_columns(case_id: int, case: FailureCase) -> tuple[Any, ...]:
    return (
        case_id,
        *case.cluster,
        len(case.key_states),
        _blob(case.key_states, "<f4"),
        _blob(case.failed_action, "<f4"),
        _blob(case.correction, "<f4"),
        _blob(case.prior, "<f4"),
    )


def _blob(array: npt.NDArray[Any], dtype: str) -> bytes:
    return np.ascontiguousarray(array, dtype=dtype).tobytes()


def _row_sha256(columns: Sequence[Any]) -> bytes:
    parts: list[bytes] = []
    for value in columns:
        data = value if type(value) is bytes else str(value).encode()
        parts.append(_SIZE(len(data)))
        parts.append(data)
    return hashlib.sha256(b"".join(parts)).digest()
