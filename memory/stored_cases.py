"""Cases from the rows of a file, checked all at once: one by one, their arrays cost more than the reading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from flow_rag_vla.memory.case import ACTION_DIM, CaseShape, FailureCase, Int64Array, unit_rows


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
    if (num_keys < 1).any() or (occurrences < 1).any() or (counts < 0).any():
        raise ValueError("expected at least one key, one occurrence and no negative count for each case")
    key_rows = unit_rows(_floats("key_states", keys, num_keys, shape.embedding_dim))
    chunk_rows = np.full(len(rows), shape.horizon)
    chunks = [
        _finite(name, _floats(name, blobs, chunk_rows, ACTION_DIM)).reshape(-1, shape.horizon, ACTION_DIM)
        for name, blobs in (("failed_action", failed), ("correction", corrections))
    ]
    prior = _finite("prior", _floats("prior", priors, np.full(len(rows), shape.num_candidates), 2))
    if (prior <= 0).any():
        raise ValueError("prior: expected pseudo-counts above zero")
    prior = prior.reshape(-1, shape.num_candidates, 2)
    counts = counts.copy()
    for array in (key_rows, *chunks, prior, counts):
        array.setflags(write=False)
    ends = np.cumsum(num_keys).tolist()
    starts = [0, *ends[:-1]]
    cases = []
    for i in range(len(rows)):
        case = object.__new__(FailureCase)
        vars(case).update(
            key_states=key_rows[starts[i] : ends[i]],
            failed_action=chunks[0][i],
            failure_type=types[i],
            correction=chunks[1][i],
            phase=phases[i],
            region=regions[i],
            prior=prior[i],
            counts=counts[i],
            occurrences=int(occurrences[i]),
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
