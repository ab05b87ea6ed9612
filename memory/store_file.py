"""How the file of a failure memory is opened, so that nothing in a crafted one is carried out."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from flow_rag_vla.memory.evidence import storage

APPLICATION_ID = 0x464D454D
"""Marks a SQLite file as a failure memory ("FMEM")."""

SCHEMA_VERSION = 2
READABLE_VERSIONS = (1, 2)
"""Version 1 knew of failures alone; it becomes version 2 when exposures are written to it."""

SCHEMA = (
    storage.SCHEMA,
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE cases (
    id INTEGER PRIMARY KEY, failure_type TEXT NOT NULL, phase TEXT NOT NULL, region TEXT NOT NULL,
    num_keys INTEGER NOT NULL, key_states BLOB NOT NULL,
    failed_action BLOB NOT NULL, correction BLOB NOT NULL, prior BLOB NOT NULL, sha256 BLOB NOT NULL
)""",
    """CREATE TABLE evidence (
    case_id INTEGER PRIMARY KEY, occurrences INTEGER NOT NULL, counts BLOB NOT NULL, sha256 BLOB NOT
    NULL
)""",
    """CREATE TABLE clusters (
    code INTEGER PRIMARY KEY, failure_type TEXT NOT NULL, phase TEXT NOT NULL, region TEXT NOT NULL,
    counts BLOB NOT NULL, sha256 BLOB NOT NULL
)""",
)
"""All that a file may define."""

_HARMLESS = (
    (sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER, False),
    (sqlite3.SQLITE_DBCONFIG_ENABLE_VIEW, False),
    (sqlite3.SQLITE_DBCONFIG_TRUSTED_SCHEMA, False),
    (sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True),
)


def connect(path: Path, mode: str, journal: str | None) -> sqlite3.Connection:
    """A connection without implicit transactions; ``journal`` None keeps the file's mode."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
    )
    for option, value in _HARMLESS:
        connection.setconfig(option, value)
    connection.execute("PRAGMA synchronous = FULL")
    if journal is not None:
        connection.execute(f"PRAGMA journal_mode = {journal}")
    return connection


def require_failure_memory(connection: sqlite3.Connection) -> None:
    """Check marks, definitions and pages of an open file.

    What it defines is checked first: a view in place of a table may never end.

    Raises:
        ValueError: it is no failure memory, of another version, defines something else, or is damaged.
    """
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    version = schema_version(connection)
    if application_id != APPLICATION_ID:
        raise ValueError("the file is not marked as a failure memory")
    if version not in READABLE_VERSIONS:
        raise ValueError(f"schema version {version}, expected one of {READABLE_VERSIONS}")
    expected = {_normal(statement) for statement in SCHEMA}
    for kind, name, statement in connection.execute("SELECT type, name, sql FROM sqlite_schema"):
        if statement is None and kind == "index":
            continue  # of a primary key
        if _normal(str(statement)) not in expected:
            raise ValueError(f"it defines {kind} {name!r:.80}, which no failure memory has")
    problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if problem != "ok":
        raise ValueError(problem)


def schema_version(connection: sqlite3.Connection) -> int:
    """The version that an open file says it has."""
    return connection.execute("PRAGMA user_version").fetchone()[0]


@contextlib.contextmanager
def unreadable_is_value_error(path: Path) -> Iterator[None]:
    """What goes wrong in this block is the file's fault."""
    try:
        yield
    except (sqlite3.DatabaseError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"{path} is not a readable failure memory: {error}") from error


def _normal(statement: str) -> str:
    return " ".join(statement.split())
