"""What to forget when the memory is full."""

from __future__ import annotations

import heapq
from collections import Counter

import numpy as np

from flow_rag_vla.memory.case import Float64Array, Int64Array


def rows_to_evict(cluster_codes: Int64Array, confidence: Float64Array, max_size: int) -> Int64Array:
    """Rows to drop, ascending, so that ``max_size`` cases remain.

    One case at a time leaves the largest cluster (the lowest code on ties): its least confident
    case, the oldest on ties.  So every cluster keeps its best case as long as there are at most
    ``max_size`` clusters.

    Args:
        cluster_codes: (num_cases,) cluster of each case, cases from oldest to newest.
        confidence: (num_cases,) confidence of each case.
        max_size: cases to keep.
    """
    excess = len(cluster_codes) - max_size
    if excess <= 0:
        return np.zeros(0, dtype=np.int64)
    sizes = np.bincount(cluster_codes)
    largest_first = [(-int(sizes[code]), int(code)) for code in np.flatnonzero(sizes)]
    heapq.heapify(largest_first)
    leaving: Counter[int] = Counter()
    for _ in range(excess):
        size, code = heapq.heappop(largest_first)
        leaving[code] += 1
        if size < -1:
            heapq.heappush(largest_first, (size + 1, code))
    evicted = []
    for code, count in leaving.items():
        members = np.flatnonzero(cluster_codes == code)
        evicted.append(members[np.argsort(confidence[members], kind="stable")[:count]])
    return np.sort(np.concatenate(evicted))
