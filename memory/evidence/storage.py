"""Situations in the SQLite file of a memory: one row each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from flow_rag_vla.memory.evidence.situations import Exposures

SCHEMA = """CREATE TABLE exposures (
    id INTEGER PRIMARY KEY, key_state BLOB NOT NULL, counts BLOB NOT NULL, sha256 BLOB NOT NULL
)"""


def changed_rows(before: Exposures, after: Exposures) -> Iterator[tuple[Any, ...]]:
    """(id, key, counts) of the situations of ``after`` that are new or were met again since ``before``."""
    # Ids ascend and new ones lie above.
    num_kept = int(np.searchsorted(after.ids, before.ids[-1], side="right")) if len(before) else 0
    changed = np.ones(len(after), dtype=np.bool_)
    old = before.counts[np.searchsorted(before.ids, after.ids[:num_kept])]
    changed[:num_kept] = (after.counts[:num_kept] != old).any(axis=(1, 2))
    for row in np.flatnonzero(changed):
        yield int(after.ids[row]), after.keys[row].astype("<f4").tobytes(), after.counts[row].astype("<i8").tobytes()


def from_rows(rows: Iterable[tuple[Any, ...]], embedding_dim: int, num_choices: int) -> Exposures:
    """The situations in ``rows`` (id, key, counts), ascending.

    Raises:
        ValueError: a row has another size.
    """
    columns = list(zip(*rows, strict=True))
    if not columns:
        return Exposures.none(embedding_dim, num_choices)
    ids, keys, counts = columns
    return Exposures(
        np.array(ids, dtype=np.int64),
        np.frombuffer(b"".join(keys), dtype="<f4").reshape(len(ids), embedding_dim).astype(np.float32),
        np.frombuffer(b"".join(counts), dtype="<i8").reshape(len(ids), num_choices, 2).astype(np.int64),
    )
