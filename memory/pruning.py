"""What to forget when the memory is full."""

from __future__ import annotations

import heapq
import itertools

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
    order = np.lexsort((np.arange(len(cluster_codes)), confidence, cluster_codes))
    members = {
        int(code): [int(row) for row in rows]
        for code, rows in itertools.groupby(order, key=lambda row: cluster_codes[row])
    }
    largest_first = [(-len(rows), code) for code, rows in members.items()]
    heapq.heapify(largest_first)
    evicted: list[int] = []
    for _ in range(excess):
        size, code = heapq.heappop(largest_first)
        evicted.append(members[code][len(members[code]) + size])
        if size < -1:
            heapq.heappush(largest_first, (size + 1, code))
    return np.array(sorted(evicted), dtype=np.int64)
