"""A memory keeps its exposures: on disk, in a frozen copy, and without them in files of an earlier version."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from flow_rag_vla.memory.case import FailureCase
from flow_rag_vla.memory.failure_memory import FailureMemory, FrozenMemoryError

CaseMaker = Callable[..., FailureCase]
EAST, NORTH, UP = np.eye(4, dtype=np.float32)[:3]
NONE, FIRM = 0, 1


@pytest.fixture
def memory(make_case: CaseMaker) -> FailureMemory:
    """One case; two situations, of which one failed once and worked twice."""
    memory = FailureMemory(4, num_candidates=2)
    memory.add([make_case()])
    memory.record_exposures([EAST, EAST, NORTH, EAST], [NONE, FIRM, NONE, NONE], [False, True, True, True])
    return memory


def counts(memory: FailureMemory) -> list:
    return memory.exposures.counts[:, :2].tolist()


def test_successes_and_failures_are_counted_by_what_was_tried(memory: FailureMemory) -> None:
    assert counts(memory) == [[[1, 1], [1, 0]], [[1, 0], [0, 0]]]


def test_a_saved_memory_keeps_its_exposures(memory: FailureMemory, tmp_path: Path) -> None:
    memory.save(tmp_path / "memory.sqlite")
    loaded = FailureMemory.load(tmp_path / "memory.sqlite")
    assert counts(loaded) == counts(memory)
    np.testing.assert_array_equal(loaded.exposures.keys, memory.exposures.keys)


def test_a_store_is_brought_to_what_the_memory_holds(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    memory = FailureMemory(4, max_size=2, num_candidates=2, store_path=path)
    memory.record_exposures([EAST, NORTH], [NONE, NONE], [True, True])
    memory.record_exposures([EAST, UP], [FIRM, NONE], [False, False])
    memory.close()
    kept = FailureMemory.load(path)
    np.testing.assert_array_equal(kept.exposures.keys, [EAST, UP])
    assert counts(kept) == [[[1, 0], [0, 1]], [[0, 1], [0, 0]]]


def test_a_file_without_exposures_is_read_and_continued(memory: FailureMemory, tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    memory.save(path)
    old = sqlite3.connect(path)
    old.execute("DROP TABLE exposures")
    old.execute("PRAGMA user_version = 1")
    old.close()
    assert len(FailureMemory.load(path)) == 1
    continued = FailureMemory(4, num_candidates=2, store_path=path)
    assert len(continued.exposures) == 0
    continued.record_exposures([UP], [NONE], [True])
    continued.close()
    assert counts(FailureMemory.load(path)) == [[[1, 0], [0, 0]]]


def test_a_damaged_situation_is_noticed(memory: FailureMemory, tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    memory.save(path)
    file = sqlite3.connect(path)
    file.execute("UPDATE exposures SET counts = zeroblob(32) WHERE id = 2")
    file.commit()
    file.close()
    with pytest.raises(ValueError, match="checksum mismatch in exposures, id 2"):
        FailureMemory.load(path)


def test_a_frozen_copy_keeps_what_was_known_and_takes_nothing(memory: FailureMemory) -> None:
    frozen = memory.frozen()
    memory.record_exposures([UP], [NONE], [True])
    assert (len(frozen.exposures), len(memory.exposures)) == (2, 3)
    with pytest.raises(FrozenMemoryError):
        frozen.record_exposures([UP], [NONE], [True])


def test_a_state_that_is_not_finite_is_refused(memory: FailureMemory) -> None:
    with pytest.raises(ValueError, match="finite"):
        memory.record_exposures([EAST * np.nan], [NONE], [True])
