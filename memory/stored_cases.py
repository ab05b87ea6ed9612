"""Many cases at once, from columns or from the rows of a file: one by one, checking costs more than what is checked.

What a memory is asked to remember is held a block at a time: a round may bring many times what is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt

from flow_rag_vla.memory.case import (
    ACTION_DIM,
    CaseShape,
    ClusterKey,
    FailureCase,
    Float32Array,
    Int64Array,
    unit_rows,
)

CASES_AT_ONCE = 2048
"""New cases whose keys and chunks are in memory at once: with 512 dimensions and 2 keys, about 20 MB."""


@dataclass(frozen=True)
class CaseColumns:
    """What is known of all new cases without keys, chunks and evidence, in the order in which they are remembered."""

    shape: CaseShape
    """Of all of them."""
    cluster_keys: tuple[ClusterKey, ...]
    """Each once."""
    cluster_codes: Int64Array
    """(num_cases,) row of each case's cluster in ``cluster_keys``."""
    occurrences: Int64Array
    """(num_cases,) failures merged into each."""

    @classmethod
    def of(cls, shape: CaseShape, cases: Sequence[FailureCase]) -> Self:
        """The columns of ``cases``, all of ``shape``."""
        code_of: dict[ClusterKey, int] = {}
        codes = [code_of.setdefault(case.cluster, len(code_of)) for case in cases]
        return cls(
            shape,
            tuple(code_of),
            np.array(codes, dtype=np.int64),
            np.array([case.occurrences for case in cases], dtype=np.int64),
        )

    def __len__(self) -> int:
        """Number of cases."""
        return len(self.occurrences)

    def clusters_of(self, positions: Int64Array) -> list[ClusterKey]:
        """The cluster of each case at ``positions`` (n,)."""
        return [self.cluster_keys[code] for code in self.cluster_codes[positions].tolist()]


class Evidence(NamedTuple):
    """What is believed of n cases."""

    positions: Int64Array
    """(n,) among all."""
    priors: Float32Array
    """(n, num_candidates, 2)."""
    counts: Int64Array
    """(n, num_candidates, 2) outcomes (helped, not helped)."""


class CaseSource(Protocol):
    """New cases, somewhere: columns at once, the rest when it is asked for."""

    @property
    def columns(self) -> CaseColumns:
        """What is known of all of them."""
        ...

    def evidence(self) -> Iterator[Evidence]:
        """Of every case once, a block at a time."""
        ...

    def take(self, positions: Int64Array) -> list[FailureCase]:
        """The cases at ``positions`` (n,), in that order."""
        ...


class ListedCases:
    """Cases that are in memory anyhow."""

    def __init__(self, shape: CaseShape, cases: Sequence[FailureCase]) -> None:
        """Take ``cases``, all of ``shape``."""
        self.columns = CaseColumns.of(shape, cases)
        self._cases = cases

    def evidence(self) -> Iterator[Evidence]:
        """As in ``CaseSource``."""
        for begin in range(0, len(self._cases), CASES_AT_ONCE):
            block = self._cases[begin : begin + CASES_AT_ONCE]
            priors, counts = np.array([case.prior for case in block]), np.array([case.counts for case in block])
            yield Evidence(np.arange(begin, begin + len(block)), priors, counts)

    def take(self, positions: Int64Array) -> list[FailureCase]:
        """As in ``CaseSource``."""
        return [self._cases[position] for position in positions.tolist()]


def cases_of_rows(
    shape: CaseShape, rows: Sequence[Sequence[Any]], occurrences: Int64Array, counts: Int64Array
) -> list[FailureCase]:
    """A case of each row, equal to what ``FailureCase`` would make of it; their arrays are parts of shared ones.

    Args:
        shape: Of all cases.
        rows: Failure type, phase, region, number of keys, then keys, failed chunk, correction and prior as raw
            little-endian float32.
        occurrences: (n,) failures merged into each.
        counts: (n, num_candidates, 2) outcomes of each.

    Raises:
        ValueError: a row has words that are no text, arrays of other sizes, or numbers that no case can have.
    """
    if not rows:
        return []
    types, phases, regions, nums_keys, keys, failed, corrections, priors = zip(*rows, strict=True)
    if not all(isinstance(word, str) for words in (types, phases, regions) for word in words):
        raise ValueError("failure type, phase and region must be text")
    num_keys = np.array(nums_keys, dtype=np.int64)
    chunk_rows = np.full(len(rows), shape.horizon)
    return cases_of_columns(
        failure_types=types,
        phases=phases,
        regions=regions,
        keys=_floats("key_states", keys, num_keys, shape.embedding_dim),
        num_keys=num_keys,
        failed_actions=_floats("failed_action", failed, chunk_rows, ACTION_DIM).reshape(-1, shape.horizon, ACTION_DIM),
        corrections=_floats("correction", corrections, chunk_rows, ACTION_DIM).reshape(-1, shape.horizon, ACTION_DIM),
        priors=_floats("prior", priors, np.full(len(rows), shape.num_candidates), 2).reshape(
            -1, shape.num_candidates, 2
        ),
        counts=counts,
        occurrences=occurrences,
    )


def cases_of_columns(
    *,
    failure_types: Sequence[str],
    phases: Sequence[str],
    regions: Sequence[str],
    keys: Float32Array,
    num_keys: Int64Array,
    failed_actions: Float32Array,
    corrections: Float32Array,
    priors: Float32Array,
    counts: Int64Array | None = None,
    occurrences: Int64Array | None = None,
) -> list[FailureCase]:
    """A case of each row, equal to what ``FailureCase`` would make of it; their arrays are parts of shared ones.

    Args:
        failure_types: n of them, as of phases and regions.
        phases: Of the failures.
        regions: Bins of the failures.
        keys: (sum of ``num_keys``, embedding_dim) the keys of the cases, one case after the other.
        num_keys: (n,) keys of each.
        failed_actions: (n, horizon, 7).
        corrections: (n, horizon, 7).
        priors: (n, num_candidates, 2).
        counts: (n, num_candidates, 2) outcomes; None for none yet.
        occurrences: (n,) failures merged into each; None for one.

    Raises:
        ValueError: arrays of other shapes, or numbers that no case can have.
    """
    n = len(failure_types)
    if counts is None:
        counts = np.zeros(priors.shape, dtype=np.int64)
    if occurrences is None:
        occurrences = np.ones(n, dtype=np.int64)
    chunks = failed_actions.shape[1:]
    if failed_actions.shape != corrections.shape or len(chunks) != 2 or chunks[0] < 1 or chunks[1] != ACTION_DIM:
        raise ValueError(
            f"expected chunks of shape ({n}, horizon, {ACTION_DIM}), got {failed_actions.shape} and {corrections.shape}"
        )
    if priors.ndim != 3 or priors.shape[1] < 1 or priors.shape[2] != 2 or counts.shape != priors.shape:
        raise ValueError(f"expected priors and counts of shape ({n}, num_candidates, 2), got {priors.shape}")
    if any(len(column) != n for column in (phases, regions, num_keys, failed_actions, priors, occurrences)):
        raise ValueError(f"expected {n} rows in every column")
    if (num_keys < 1).any() or (occurrences < 1).any() or (counts < 0).any():
        raise ValueError("expected at least one key, one occurrence and no negative count for each case")
    if num_keys.sum() != len(keys):
        raise ValueError(f"expected {num_keys.sum()} keys, got {len(keys)}")
    key_rows = unit_rows(keys)
    failed = _finite("failed_action", np.array(failed_actions, dtype=np.float32))
    corrected = _finite("correction", np.array(corrections, dtype=np.float32))
    prior = _finite("prior", np.array(priors, dtype=np.float32))
    if (prior <= 0).any():
        raise ValueError("prior: expected pseudo-counts above zero")
    counts = np.array(counts, dtype=np.int64)
    for array in (key_rows, failed, corrected, prior, counts):
        array.setflags(write=False)
    ends = np.cumsum(num_keys).tolist()
    starts = [0, *ends[:-1]]
    cases = []
    for i, times in enumerate(occurrences.tolist()):
        case = object.__new__(FailureCase)
        vars(case).update(
            key_states=key_rows[starts[i] : ends[i]],
            failed_action=failed[i],
            failure_type=failure_types[i],
            correction=corrected[i],
            phase=phases[i],
            region=regions[i],
            prior=prior[i],
            counts=counts[i],
            occurrences=times,
        )
        cases.append(case)
    return cases


def _floats(name: str, blobs: Sequence[bytes], num_rows: npt.NDArray[np.int64], width: int) -> npt.NDArray[np.float32]:
    """(sum of ``num_rows``, width) the float32 of all ``blobs``."""
    lengths = np.array([len(blob) for blob in blobs])
    if (lengths != num_rows * (4 * width)).any():
        raise ValueError(f"{name}: a row has another size than its shape says")
    return np.frombuffer(bytearray().join(blobs), dtype="<f4").astype(np.float32, copy=False).reshape(-1, width)


def _finite(name: str, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: expected finite values, got nan or inf")
    return values
