"""Writes to a case store, as often as it is killed; the n-th write is the same whoever makes it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from findings import Findings

from flow_rag_vla.memory.case import FailureCase
from flow_rag_vla.memory.failure_memory import FailureMemory

_DIM, _CASES, _SNAPSHOT_EVERY, _WRITES = 32, 20, 5, 150


def torment(killed: Callable[..., tuple[list[str], bool]], folder: Path, rng: random.Random, kills: int) -> Findings:
    """Kill the writer ``kills`` times, in as many stores as that takes; ``killed`` as in ``kill_writers``."""
    folder.mkdir(parents=True)
    since = time.monotonic()
    killed(lambda ack: _go_on(folder / "whole.sqlite", folder / "whole.snapshot", 0, ack), 120.0)
    takes_s, found, number = time.monotonic() - since, Findings(), 0
    while found.kills < kills:
        number += 1
        path, snapshot = folder / f"{number}.sqlite", folder / f"{number}.snapshot"
        expected, writes, hit = FailureMemory(_DIM, num_candidates=3), 0, True
        while hit and found.kills < kills:
            work = lambda ack, n=writes, p=path, s=snapshot: _go_on(p, s, n, ack)  # noqa: E731
            said, hit = killed(work, rng.uniform(0.0, takes_s / 3))
            found.kills += hit
            acknowledged = [int(line.split()[1]) for line in said if line.startswith("writes")]
            found.acknowledged["writes"] += hit * len(acknowledged)
            found.acknowledged["snapshots"] += hit * sum(line.startswith("snapshots") for line in said)
            for n in acknowledged:
                _write(expected, n)
            writes += len(acknowledged)
            writes += _compare(path, expected, writes, folder, found)
            if snapshot.exists():
                FailureMemory.load(snapshot)
    return found


def _compare(path: Path, expected: FailureMemory, writes: int, folder: Path, found: Findings) -> int:
    """Whether the store holds one write more than ``writes``, which ``expected`` has, and then has it, too."""
    if not path.exists():
        return 0
    try:
        stored = _bytes_of(FailureMemory(_DIM, num_candidates=3, store_path=path), folder)
    except ValueError as error:
        found.faults.append(str(error))
        return 0
    if stored == _bytes_of(expected, folder):
        return 0
    _write(expected, writes)
    found.in_between += 1
    if stored != _bytes_of(expected, folder):
        found.faults.append(f"{path} holds neither the {writes} writes that were acknowledged nor one more")
    return 1


def _bytes_of(memory: FailureMemory, folder: Path) -> bytes:
    """Equal memories give equal bytes."""
    memory.save(folder / "compared")
    memory.close()
    return (folder / "compared").read_bytes()


def _go_on(path: Path, snapshot: Path, writes: int, ack: Callable[[str], None]) -> None:
    memory = FailureMemory(_DIM, num_candidates=3, store_path=path)
    for n in range(writes, _WRITES):
        _write(memory, n)
        ack(f"writes {n}")
        if n % _SNAPSHOT_EVERY == 0:
            memory.save(snapshot)
            ack(f"snapshots {n}")
    memory.close()


def _write(memory: FailureMemory, n: int) -> None:
    """The ``n``-th: cases, outcomes of those that are there, or episodes."""
    rng = np.random.default_rng(n)
    match n % 3:
        case 0:
            chunk, prior = np.zeros((1, 7), np.float32), np.ones((3, 2), np.float32)
            keys = rng.normal(size=(_CASES, 2, _DIM)).astype(np.float32)
            memory.add([FailureCase(key, chunk, "drop", chunk, prior=prior) for key in keys])
        case 1:
            ids = memory.case_ids[:_CASES]
            memory.record_outcomes(ids, rng.integers(0, 3, len(ids)), rng.random(len(ids)) < 0.5)
        case _:
            memory.record_exposures(
                rng.normal(size=(_CASES, _DIM)), rng.integers(0, 3, _CASES), rng.random(_CASES) < 0.5
            )
