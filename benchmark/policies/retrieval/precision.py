"""Retrieval precision: of the cases that a query finds, how many are of its hazard, and of its type of failure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flow_rag_vla.memory.case import BoolArray, Float32Array, Int64Array, StrArray
from flow_rag_vla.memory.index import CosineIndex

UNKNOWN = ""
"""Stands for no hazard that could be avoided, and for no failure."""


@dataclass(frozen=True)
class Cases:
    """What is remembered; one row a case."""

    keys: Float32Array
    """(num_cases, num_keys, embedding_dim) a case is found by whichever of its keys is nearest."""
    hazards: StrArray
    """(num_cases,) truth: what hid in the episode, ``UNKNOWN`` for nothing avoidable."""
    types: StrArray
    """(num_cases,) failure type, as the agent remembers it."""


@dataclass(frozen=True)
class Queries:
    """What is asked; one row an episode."""

    keys: Float32Array
    """(num_queries, embedding_dim)."""
    hazards: StrArray
    """(num_queries,) truth, as in ``Cases``; of a harmless twin the hazard that it looks like."""
    types: StrArray
    """(num_queries,) truth: type of the failure that the episode ended in, ``UNKNOWN`` where it succeeded."""
    felt: StrArray
    """(num_queries,) type of failure that the agent felt before it asked: only cases of it count; ``UNKNOWN`` where
    nothing was felt and all do."""

    def select(self, rows: BoolArray) -> Queries:
        """The ``rows`` (num_queries,)."""
        return Queries(self.keys[rows], self.hazards[rows], self.types[rows], self.felt[rows])


@dataclass(frozen=True)
class Precision:
    """Shares over the queries that found something; None where there are none."""

    queries: int
    found: int
    """Queries with a case that is similar enough."""
    hazard_first: float | None
    """The nearest case is of the query's hazard."""
    hazard_all: float | None
    """Share of the cases found, at most k a query, that are: mean over queries."""
    failed: int
    """Queries that found something and ended in a failure, so that they have a type."""
    type_first: float | None
    """Of these: the nearest case is of the query's type."""
    type_all: float | None
    """As ``hazard_all``."""


def precision(cases: Cases, queries: Queries, k: int, threshold: float) -> Precision:
    """Look the ``k`` nearest cases of each query up, of at least ``threshold`` cosine similarity, as an agent does.

    Where something was felt, cases of other types are left out of those ``k``.
    """
    found, similar = _search(cases, queries, k, threshold)
    similar &= (queries.felt == UNKNOWN)[:, None] | (cases.types[found] == queries.felt[:, None])
    any_found = similar.any(axis=1)
    hazard = (cases.hazards[found] == queries.hazards[:, None]) & (queries.hazards != UNKNOWN)[:, None]
    with_type = any_found & (queries.types != UNKNOWN)
    is_type = cases.types[found] == queries.types[:, None]
    return Precision(
        len(queries.keys),
        int(any_found.sum()),
        _first(hazard, similar, any_found),
        _all(hazard, similar, any_found),
        int(with_type.sum()),
        _first(is_type, similar, with_type),
        _all(is_type, similar, with_type),
    )


def threshold_that_finds(cases: Cases, queries: Queries, share: float) -> float:
    """The similarity threshold at which ``share`` of ``queries`` find a case: keys are compared where they find alike.

    Raises:
        ValueError: there are no cases or no queries.
    """
    if not len(cases.keys) or not len(queries.keys):
        raise ValueError(f"got {len(cases.keys)} cases and {len(queries.keys)} queries, expected at least one of each")
    nearest = np.sort(_index(cases).search(queries.keys, 1).similarity[:, 0])[::-1]
    count = round(share * len(nearest))
    return 1.0 if count == 0 else float(nearest[count - 1])


def _index(cases: Cases) -> CosineIndex:
    num_cases, num_keys, embedding_dim = cases.keys.shape
    index = CosineIndex(embedding_dim)
    index.add(np.repeat(np.arange(1, num_cases + 1), num_keys), cases.keys.reshape(-1, embedding_dim))
    return index


def _search(cases: Cases, queries: Queries, k: int, threshold: float) -> tuple[Int64Array, BoolArray]:
    """(num_queries, k) rows of cases, nearest first, and where there is one."""
    if not len(cases.keys):
        raise ValueError("nothing is remembered, so that nothing can be found")
    found = _index(cases).search(queries.keys, k, threshold)
    return np.where(found.valid, found.case_ids - 1, 0), found.valid.copy()


def _first(right: BoolArray, similar: BoolArray, rows: BoolArray) -> float | None:
    if not rows.any():
        return None
    nearest = similar.argmax(axis=1)
    return float(right[np.arange(len(right)), nearest][rows].mean())


def _all(right: BoolArray, similar: BoolArray, rows: BoolArray) -> float | None:
    if not rows.any():
        return None
    return float(((right & similar).sum(axis=1)[rows] / similar.sum(axis=1)[rows]).mean())
