"""Prints what a large failure memory pays for what is new; run by hand, not collected as a test.

    python tests/perf/memory_growth.py [--cases 100000] [--duplicates 20000] [--json FILE]

Set ``OPENBLAS_NUM_THREADS=1`` for single-threaded additions.  CPU time is printed beside wall time: on a busy machine a
single-threaded operation takes its CPU time once the machine is quiet.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

import numpy as np

from flow_rag_vla.memory.case import CaseShape, FailureCase
from flow_rag_vla.memory.failure_memory import FailureMemory
from flow_rag_vla.memory.store import CaseStore
from flow_rag_vla.memory.stored_cases import ListedCases
from flow_rag_vla.memory.table import CaseTable

SHAPE = CaseShape(embedding_dim=512, horizon=8, num_candidates=12)
NUM_TYPES, NUM_PHASES, NUM_REGIONS = 4, 5, 7


class Row(TypedDict):
    """One measured operation."""

    what: str
    ms: float
    cpu_ms: float


def main() -> None:
    """Time loading, adding and repeating in a memory of ``--cases`` cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--duplicates", type=int, default=20_000, help="repeats of one failure in one add")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    rows: list[Row] = []

    def measure[T](what: str, operation: Callable[[], T]) -> T:
        start, cpu_start = time.perf_counter(), time.process_time()
        result = operation()
        ms, cpu_ms = 1000.0 * (time.perf_counter() - start), 1000.0 * (time.process_time() - cpu_start)
        rows.append({"what": what, "ms": ms, "cpu_ms": cpu_ms})
        print(f"{what:<44} {ms:10.1f} ms {cpu_ms:10.1f} ms CPU", flush=True)
        return result

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "memory.sqlite"
        _fill(path, arguments.cases, rng)
        size = 2 * arguments.cases + arguments.duplicates
        memory = measure(
            f"open {arguments.cases} cases",
            lambda: _memory(size, path),
        )
        for trial in range(3):
            case = [_case(rng, 0)]
            measure(f"add one more, durably ({trial + 1})", lambda case=case: memory.add(case))
        repeat = [_again(memory.case(1))]
        measure("add one known failure, durably", lambda: memory.add(repeat))
        ids = memory.case_ids[:1]
        measure("record one outcome, durably", lambda: memory.record_outcomes(ids, [0], [True]))
        thousand = [_case(rng, i) for i in range(1000)]
        measure("add 1000 more, durably", lambda: memory.add(thousand))
        memory.close()
        full = _memory(len(memory), path)
        case = [_case(rng, 0)]
        measure("add one more to a full memory, durably", lambda: full.add(case))
        full.close()
    fresh = _memory(arguments.duplicates, None)
    one = _case(rng, 0)
    duplicates = [_again(one) for _ in range(arguments.duplicates)]
    measure(f"add {arguments.duplicates} duplicates to an empty memory", lambda: fresh.add(duplicates))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


def _memory(max_size: int, path: Path | None) -> FailureMemory:
    dim, horizon, num_candidates = SHAPE
    return FailureMemory(dim, max_size, horizon=horizon, num_candidates=num_candidates, store_path=path)


def _case(rng: np.random.Generator, i: int) -> FailureCase:
    chunk = np.zeros((SHAPE.horizon, 7), dtype=np.float32)
    prior = np.ones((SHAPE.num_candidates, 2), dtype=np.float32)
    key = rng.normal(size=(1, SHAPE.embedding_dim)).astype(np.float32)
    return FailureCase(
        key, chunk, f"type {i % NUM_TYPES}", chunk, f"phase {i % NUM_PHASES}", str(i % NUM_REGIONS), prior
    )


def _again(case: FailureCase) -> FailureCase:
    return FailureCase(
        case.key_states, case.failed_action, case.failure_type, case.correction, case.phase, case.region, case.prior
    )


def _fill(path: Path, num_cases: int, rng: np.random.Generator) -> None:
    """Write ``num_cases`` cases of noise, no two alike, without asking which are: that takes minutes."""
    cases = [_case(rng, i) for i in range(num_cases)]
    empty = CaseTable.build(SHAPE)
    store = CaseStore.create(path, SHAPE)
    ids = np.arange(1, num_cases + 1)
    source = ListedCases(SHAPE, cases)
    table, _ = empty.with_new(ids, ids > 0, source, num_cases)
    store.write(empty, table, num_cases + 1)
    store.close()


if __name__ == "__main__":
    main()
