"""Prints how long the failure memory takes; run by hand, not collected as a test.

    python tests/perf/memory_speed.py [--threads 1] [--keys 1] [--json FILE]

The embeddings are noise around a few hundred modes, the failures of four types in five phases.  CPU time is printed
beside wall time: on a busy machine, a single-threaded operation takes its CPU time once the machine is quiet.  Set
``OPENBLAS_NUM_THREADS=1`` for single-threaded additions.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from flow_rag_vla.memory.case import FailureCase
from flow_rag_vla.memory.failure_memory import FailureMemory

EMBEDDING_DIM = 512
HORIZON = 8
NUM_CANDIDATES = 12


def main() -> None:
    """Time add, search and choice at 2k and 10k entries, batch 1 and 1024."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="FAISS threads of one search")
    parser.add_argument("--keys", type=int, default=1, help="key states of one failure")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    modes = rng.normal(size=(300, EMBEDDING_DIM))
    rows = []
    for entries in (2_000, 10_000):
        rows += measure(entries, arguments.threads, arguments.keys, modes, rng)
    for row in rows:
        print(f"{row['entries']:>6} entries  {row['what']:<34} {row['ms']:10.3f} ms {row['cpu_ms']:10.3f} ms CPU")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


def measure(
    entries: int, threads: int, num_keys: int, modes: np.ndarray, rng: np.random.Generator
) -> list[dict[str, float | str]]:
    """One row for each operation on a memory of ``entries`` cases."""

    def states(count: int) -> np.ndarray:
        mode = modes[rng.integers(len(modes), size=count)]
        return (mode + 0.7 * rng.normal(size=mode.shape)).astype(np.float32)

    chunk = np.zeros((HORIZON, 7), dtype=np.float32)
    prior = np.ones((NUM_CANDIDATES, 2), dtype=np.float32)

    def make_case(i: int) -> FailureCase:
        return FailureCase(states(num_keys), chunk, f"type {i % 4}", chunk, f"phase {i % 5}", str(i % 7), prior)

    cases = [make_case(i) for i in range(entries)]
    extra = [make_case(i) for i in range(1000)]
    rows: list[dict[str, float | str]] = []

    def measure_row(what: str, operation: Callable[[], object], repeats: int) -> None:
        ms, cpu_ms = median_ms(operation, repeats)
        row = {"entries": entries, "keys": num_keys, "threads": threads, "what": what, "ms": ms, "cpu_ms": cpu_ms}
        rows.append(row)

    with tempfile.TemporaryDirectory() as folder:
        memory = FailureMemory(
            EMBEDDING_DIM,
            horizon=HORIZON,
            num_candidates=NUM_CANDIDATES,
            search_threads=threads,
            max_size=20_000,
            store_path=Path(folder) / "memory.sqlite",
        )
        measure_row("add all, durably", lambda: memory.add(cases), 1)
        for batch, repeats in ((1, 300), (1024, 7)):
            queries = states(batch)
            found = memory.search(queries, min_similarity=-1.0)
            measure_row(f"search k=5, batch {batch}", lambda q=queries: memory.search(q), repeats)
            measure_row(
                f"best_candidates k=5, batch {batch}", lambda ids=found.case_ids: memory.best_candidates(ids), repeats
            )
            measure_row(f"corrections k=5, batch {batch}", lambda ids=found.case_ids: memory.corrections(ids), repeats)
        measure_row("frozen()", memory.frozen, 5)
        ids = memory.case_ids[:1000]
        tried, helped = np.zeros(1000, dtype=np.int64), np.ones(1000, dtype=np.bool_)
        measure_row("record_outcomes of 1000, durably", lambda: memory.record_outcomes(ids, tried, helped), 5)
        measure_row("add 1000 more, durably", lambda: memory.add(extra), 1)
        memory.close()
        measure_row("reopen", lambda: FailureMemory.load(Path(folder) / "memory.sqlite"), 3)
    return rows


def median_ms(operation: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Median wall and CPU time of ``operation``; with several ``repeats``, after a warm-up."""
    if repeats > 1:
        operation()
    wall, cpu = [], []
    for _ in range(repeats):
        start, cpu_start = time.perf_counter(), time.process_time()
        operation()
        wall.append(1000.0 * (time.perf_counter() - start))
        cpu.append(1000.0 * (time.process_time() - cpu_start))
    return statistics.median(wall), statistics.median(cpu)


if __name__ == "__main__":
    main()
