"""The durable truth of a failure memory: one SQLite file; every search index is rebuilt from it."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from flow_rag_vla.memory.case import ACTION_DIM, CaseShape, ClusterKey, FailureCase, Int64Array
from flow_rag_vla.memory.index import NO_CASE
from flow_rag_vla.memory.table import CaseTable

APPLICATION_ID = 0x464D454D
"""Marks a SQLite file as a failure memory ("FMEM")."""

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE cases (
    id INTEGER PRIMARY KEY, failure_type TEXT NOT NULL, phase TEXT NOT NULL, region TEXT NOT NULL,
    num_keys INTEGER NOT NULL, key_states BLOB NOT NULL,
    failed_action BLOB NOT NULL, correction BLOB NOT NULL, prior BLOB NOT NULL, sha256 BLOB NOT NULL
);
CREATE TABLE evidence (
    case_id INTEGER PRIMARY KEY, occurrences INTEGER NOT NULL, counts BLOB NOT NULL, sha256 BLOB NOT
    NULL
);
CREATE TABLE clusters (
    code INTEGER PRIMARY KEY, failure_type TEXT NOT NULL, phase TEXT NOT NULL, region TEXT NOT NULL,
    counts BLOB NOT NULL, sha256 BLOB NOT NULL
);
"""


@dataclass(frozen=True)
class StoredMemory:
    """What a file holds."""

    table: CaseTable
    next_id: int
    """The id of the next new case; ids are never given out twice."""


class CaseStore:
    """Reads and appends failure memories on disk.

    Arrays are raw little-endian blobs (keys, chunks and priors float32, counts int64) whose shapes
    follow from the row's own columns and from ``meta``; each row carries the SHA-256 of all its
    other columns.  Writes are transactions with ``synchronous=FULL``: after a crash the file holds
    a whole number of them, and every one that returned.  There are no times in the file, so the
    same writes leave the same content.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, shape: CaseShape) -> None:
        """Use ``create``, ``open`` or ``open_or_create`` instead."""
        self._connection = connection
        self.path = path
        self.shape = shape

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
        connection = _connect(path, "rwc", journal)
        store = cls(connection, path, shape)
        meta = {**shape._asdict(), "next_id": NO_CASE + 1}
        with store._transaction():
            for statement in filter(str.strip, _SCHEMA.split(";")):
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
        with _unreadable_is_value_error(path):
            connection = _connect(path, "rw", None)
            try:
                application_id = connection.execute("PRAGMA application_id").fetchone()[0]
                version = connection.execute("PRAGMA user_version").fetchone()[0]
                if application_id != APPLICATION_ID:
                    raise ValueError("the file is not marked as a failure memory")
                if version != SCHEMA_VERSION:
                    raise ValueError(f"schema version {version}, expected {SCHEMA_VERSION}")
                problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
                if problem != "ok":
                    raise ValueError(problem)
                meta = dict(connection.execute("SELECT name, value FROM meta"))
                return cls(connection, path, CaseShape(*(meta[name] for name in CaseShape._fields)))
            except BaseException:
                connection.close()
                raise

    def read(self) -> StoredMemory:
        """Everything in the store.

        Raises:
            ValueError: a row does not match its checksum or its shape.
        """
        with _unreadable_is_value_error(self.path):
            clusters = self._read_clusters()
            evidence = {
                case_id: (occurrences, self._counts(counts))
                for case_id, occurrences, counts in self._rows("evidence", "case_id")
            }
            ids: list[int] = []
            cases: list[FailureCase] = []
            for case_id, *columns in self._rows("cases", "id"):
                ids.append(case_id)
                cases.append(self._case(columns, *evidence[case_id]))
            if len(evidence) != len(ids):
                raise ValueError(f"{len(evidence)} rows of evidence for {len(ids)} cases")
            keys, counts = tuple(clusters), np.array(list(clusters.values()), dtype=np.int64)
            table = CaseTable.build(
                self.shape,
                ids,
                tuple(cases),
                keys,
                counts.reshape(-1, self.shape.num_candidates, 2),
            )
            meta = dict(self._connection.execute("SELECT name, value FROM meta"))
            if ids and meta["next_id"] <= ids[-1]:
                raise ValueError(f"next_id {meta['next_id']} is not above the last id {ids[-1]}")
            return StoredMemory(table, meta["next_id"])

    def write(self, before: CaseTable, after: CaseTable, next_id: int) -> None:
        """Bring the store from ``before`` to ``after`` in one durable transaction."""
        gone = [(int(case_id),) for case_id in np.setdiff1d(before.ids, after.ids)]
        is_new = ~np.isin(after.ids, before.ids)
        changed = is_new.copy()
        old_rows = before.rows_of(after.ids[~is_new])
        changed[~is_new] = (after.occurrences[~is_new] != before.occurrences[old_rows]) | (
            after.counts[~is_new] != before.counts[old_rows]
        ).any(axis=(1, 2))
        num_old = len(before.cluster_keys)
        stale = (after.cluster_counts[:num_old] != before.cluster_counts).any(axis=(1, 2))
        codes = [*np.flatnonzero(stale), *range(num_old, len(after.cluster_keys))]
        with self._transaction():
            self._connection.executemany("DELETE FROM cases WHERE id = ?", gone)
            self._connection.executemany("DELETE FROM evidence WHERE case_id = ?", gone)
            for row in np.flatnonzero(is_new):
                self._put("cases", _case_columns(int(after.ids[row]), after.cases[row]))
            for row in np.flatnonzero(changed):
                counts = _blob(after.counts[row], "<i8")
                self._put("evidence", (int(after.ids[row]), int(after.occurrences[row]), counts))
            for code in codes:
                counts = _blob(after.cluster_counts[code], "<i8")
                self._put("clusters", (int(code), *after.cluster_keys[code], counts))
            self._connection.execute("UPDATE meta SET value = ? WHERE name = 'next_id'", (next_id,))

    def close(self) -> None:
        """Close the file; a write-ahead log is folded into it."""
        self._connection.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _put(self, table: str, columns: tuple[Any, ...]) -> None:
        marks = ", ".join("?" * (len(columns) + 1))
        self._connection.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", (*columns, _row_sha256(columns)))

    def _rows(self, table: str, key: str) -> Iterator[tuple[Any, ...]]:
        """Rows of ``table`` without their checksum, which is checked."""
        for *columns, checksum in self._connection.execute(f"SELECT * FROM {table} ORDER BY {key}"):
            if checksum != _row_sha256(tuple(columns)):
                raise ValueError(f"checksum mismatch in {table}, {key} {columns[0]}")
            yield tuple(columns)

    def _read_clusters(self) -> dict[ClusterKey, Int64Array]:
        clusters: dict[ClusterKey, Int64Array] = {}
        for code, failure_type, phase, region, counts in self._rows("clusters", "code"):
            if code != len(clusters):
                raise ValueError(f"cluster {len(clusters)} is missing")
            clusters[ClusterKey(failure_type, phase, region)] = self._counts(counts)
        return clusters

    def _counts(self, blob: bytes) -> Int64Array:
        return np.frombuffer(blob, dtype="<i8").reshape(self.shape.num_candidates, 2).astype(np.int64)

    def _case(self, columns: list[Any], occurrences: int, counts: Int64Array) -> FailureCase:
        failure_type, phase, region, num_keys, keys, failed_action, correction, prior = columns
        return FailureCase(
            key_states=np.frombuffer(keys, dtype="<f4").reshape(num_keys, self.shape.embedding_dim),
            failed_action=np.frombuffer(failed_action, dtype="<f4").reshape(self.shape.horizon, ACTION_DIM),
            failure_type=failure_type,
            correction=np.frombuffer(correction, dtype="<f4").reshape(self.shape.horizon, ACTION_DIM),
            phase=phase,
            region=region,
            prior=np.frombuffer(prior, dtype="<f4").reshape(self.shape.num_candidates, 2),
            counts=counts,
            occurrences=occurrences,
        )


def _connect(path: Path, mode: str, journal: str | None) -> sqlite3.Connection:
    """A connection without implicit transactions; ``journal`` None keeps the file's mode."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute("PRAGMA synchronous = FULL")
    if journal is not None:
        connection.execute(f"PRAGMA journal_mode = {journal}")
    return connection


@contextlib.contextmanager
def _unreadable_is_value_error(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.DatabaseError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a readable failure memory: {error}") from error


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


def _row_sha256(columns: tuple[Any, ...]) -> bytes:
    digest = hashlib.sha256()
    for value in columns:
        data = value if isinstance(value, bytes) else str(value).encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.digest()
