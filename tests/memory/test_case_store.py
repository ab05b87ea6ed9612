import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from flow_rag_vla.memory.case import CaseShape, FailureCase
from flow_rag_vla.memory.failure_memory import FailureMemory, FrozenMemoryError
from flow_rag_vla.memory.store import CaseStore, StoreChangedError

CaseMaker = Callable[..., FailureCase]
EAST = (1.0, 0.0, 0.0, 0.0)
NORTH = (0.0, 1.0, 0.0, 0.0)
UP = (0.0, 0.0, 1.0, 0.0)
FOURTH = (0.0, 0.0, 0.0, 1.0)


@pytest.fixture
def memory(make_case: CaseMaker) -> FailureMemory:
    """Three cases left of four, with outcomes."""
    memory = FailureMemory(4, max_size=3, num_candidates=2)
    memory.add([make_case(EAST, (0.6, 0.8, 0.0, 0.0)), make_case(UP, region="0,1")])
    memory.record_outcomes([1, 1, 2], [0, 0, 1], [False, False, True])
    memory.add([make_case(NORTH, grip=0.1), make_case(FOURTH), make_case(UP, region="0,1")])
    return memory


def assert_equal(one: FailureMemory, other: FailureMemory) -> None:
    np.testing.assert_array_equal(one.case_ids, other.case_ids)
    assert one.clusters == other.clusters
    for case_id in one.case_ids.tolist():
        a, b = one.case(case_id), other.case(case_id)
        for name in ("key_states", "failed_action", "correction", "prior", "counts"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert (a.cluster, a.occurrences) == (b.cluster, b.occurrences)
    np.testing.assert_array_equal(one.candidate_means(one.case_ids), other.candidate_means(other.case_ids))
    queries = np.random.default_rng(0).normal(size=(20, 4))
    first, second = (m.search(queries, min_similarity=-1.0) for m in (one, other))
    np.testing.assert_array_equal(first.case_ids, second.case_ids)
    np.testing.assert_array_equal(first.similarity, second.similarity)


def test_a_saved_memory_loads_as_it_was(memory: FailureMemory, tmp_path: Path) -> None:
    memory.save(tmp_path / "memory.sqlite")
    assert_equal(memory, FailureMemory.load(tmp_path / "memory.sqlite", max_size=3))
    assert [path.name for path in tmp_path.iterdir()] == ["memory.sqlite"]


def test_a_loaded_memory_goes_on_as_the_saved_one_would(
    memory: FailureMemory, make_case: CaseMaker, tmp_path: Path
) -> None:
    memory.save(tmp_path / "memory.sqlite")
    loaded = FailureMemory.load(tmp_path / "memory.sqlite", max_size=3)
    reports = [m.add([make_case((1.0, 1.0, 1.0, 0.0))]) for m in (memory, loaded)]
    assert reports[0] == reports[1]
    assert_equal(memory, loaded)


def test_a_save_replaces_an_older_file(memory: FailureMemory, tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    FailureMemory(4, num_candidates=2).save(path)
    memory.save(path)
    assert len(FailureMemory.load(path)) == 3


def test_an_empty_memory_keeps_its_dimensions(tmp_path: Path) -> None:
    FailureMemory(4, horizon=8, num_candidates=3).save(tmp_path / "memory.sqlite")
    loaded = FailureMemory.load(tmp_path / "memory.sqlite")
    assert (loaded.embedding_dim, loaded.horizon, loaded.num_candidates) == (4, 8, 3)
    assert len(loaded) == 0


def test_a_stored_memory_is_continued_with_every_write(make_case: CaseMaker, tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    expected = FailureMemory(4, max_size=3, num_candidates=2)

    def write_1(m: FailureMemory) -> None:
        m.add([make_case(EAST), make_case(NORTH, region="0,1")])

    def write_2(m: FailureMemory) -> None:
        m.record_outcomes([1, 2], [0, 1], [False, True])

    def write_3(m: FailureMemory) -> None:
        m.add([make_case(EAST), make_case(UP), make_case(FOURTH)])

    for write in (write_1, write_2, write_3):
        write(expected)
        stored = FailureMemory(4, max_size=3, num_candidates=2, store_path=path)
        write(stored)
        stored.close()
    assert_equal(expected, FailureMemory.load(path, max_size=3))


def test_the_same_writes_leave_the_same_bytes(make_case: CaseMaker, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("one.sqlite", "two.sqlite")]
    for path in paths:
        memory = FailureMemory(4, max_size=2, num_candidates=2, store_path=path)
        memory.add([make_case(EAST), make_case(NORTH)])
        memory.record_outcomes([1], [0], [True])
        memory.add([make_case(UP)])
        memory.close()
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_snapshot_and_a_store_hold_the_same_content(make_case: CaseMaker, tmp_path: Path) -> None:
    memory = FailureMemory(4, num_candidates=2, store_path=tmp_path / "store.sqlite")
    memory.add([make_case(EAST), make_case(NORTH)])
    memory.record_outcomes([1], [0], [True])
    memory.save(tmp_path / "snapshot.sqlite")
    memory.close()
    rows = []
    for name in ("store.sqlite", "snapshot.sqlite"):
        with closing(sqlite3.connect(tmp_path / name)) as connection:
            rows.append(sorted(row for row in connection.iterdump() if row.startswith("INSERT")))
    assert rows[0] == rows[1]
    assert len(rows[0]) > 3


def test_a_closed_memory_reads_but_does_not_write(make_case: CaseMaker, tmp_path: Path) -> None:
    memory = FailureMemory(4, num_candidates=2, store_path=tmp_path / "memory.sqlite")
    memory.add([make_case(EAST)])
    memory.close()
    assert memory.search([EAST]).hit.all()
    with pytest.raises(FrozenMemoryError):
        memory.add([make_case(NORTH)])


def test_a_write_that_fails_on_disk_changes_nothing(make_case: CaseMaker, tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    memory = FailureMemory(4, num_candidates=2, store_path=path)
    memory.add([make_case(EAST)])
    assert memory._store is not None
    memory._store._connection.execute("PRAGMA max_page_count = 1")  # of pages to come: as many as there are
    many = [make_case(NORTH, region=str(i), failure_type=str(i)) for i in range(100)]
    with pytest.raises(sqlite3.Error, match="full"):
        memory.add(many)
    assert len(memory) == memory.num_keys == 1
    assert not memory.search([NORTH]).hit[0]
    memory.close()
    assert len(FailureMemory.load(path)) == 1


def test_other_dimensions_than_the_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    FailureMemory(4, num_candidates=2, store_path=path).close()
    with pytest.raises(ValueError, match=r"embedding_dim=4.*expected .*embedding_dim=512"):
        FailureMemory(512, num_candidates=2, store_path=path)


def test_saving_over_the_own_store_is_refused(tmp_path: Path) -> None:
    memory = FailureMemory(4, store_path=tmp_path / "memory.sqlite")
    with pytest.raises(ValueError, match="store of this memory"):
        memory.save(tmp_path / "memory.sqlite")
    memory.close()


def test_a_missing_file_or_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no failure memory at"):
        FailureMemory.load(tmp_path / "nowhere.sqlite")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        FailureMemory(4, store_path=tmp_path / "nowhere" / "memory.sqlite")


@pytest.mark.parametrize("kept", [0, 50, 5000, -1])
def test_a_truncated_file_is_one_clear_error(memory: FailureMemory, tmp_path: Path, kept: int) -> None:
    path = tmp_path / "memory.sqlite"
    memory.save(path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"memory\.sqlite is not a readable failure memory"):
        FailureMemory.load(path)


def test_a_flipped_bit_in_a_stored_array_is_found(memory: FailureMemory, tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    memory.save(path)
    data = bytearray(path.read_bytes())
    position = data.find(np.array(UP, dtype="<f4").tobytes())
    assert position > 0
    data[position + 1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="checksum mismatch in cases, id 2"):
        FailureMemory.load(path)


def test_a_file_of_another_kind_or_version_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database " * 100)
    with pytest.raises(ValueError, match="not a readable failure memory: file is not a database"):
        FailureMemory.load(text)
    other = sqlite3.connect(tmp_path / "other.sqlite")
    other.execute("CREATE TABLE cases (id)")
    other.close()
    for attempt in (
        lambda: FailureMemory.load(tmp_path / "other.sqlite"),
        lambda: FailureMemory(4, store_path=tmp_path / "other.sqlite"),
    ):
        with pytest.raises(ValueError, match="not marked as a failure memory"):
            attempt()
    CaseStore.create(tmp_path / "newer.sqlite", CaseShape(4, 1, 1)).close()
    newer = sqlite3.connect(tmp_path / "newer.sqlite")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(ValueError, match="schema version 99, expected one of"):
        FailureMemory.load(tmp_path / "newer.sqlite")


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"


@pytest.mark.parametrize(
    ("definition", "kind"),
    [
        ("CREATE TRIGGER spy AFTER INSERT ON cases BEGIN DELETE FROM evidence; END", "trigger 'spy'"),
        ("CREATE TRIGGER slow AFTER UPDATE ON meta BEGIN INSERT INTO meta " + ENDLESS + "; END", "trigger 'slow'"),
        (f"CREATE VIEW extra AS {ENDLESS}", "view 'extra'"),
        (f"DROP TABLE cases; CREATE VIEW cases AS {ENDLESS}", "view 'cases'"),
        (f"DROP TABLE meta; CREATE VIEW meta AS {ENDLESS}", "view 'meta'"),
        ("CREATE TABLE more (x)", "table 'more'"),
        ("CREATE INDEX odd ON cases (abs(id))", "index 'odd'"),
    ],
)
def test_a_file_that_defines_anything_else_is_refused_at_once(
    memory: FailureMemory, tmp_path: Path, definition: str, kind: str
) -> None:
    path = tmp_path / "memory.sqlite"
    memory.save(path)
    crafted = sqlite3.connect(path)
    crafted.executescript(definition)
    crafted.close()
    for attempt in (
        lambda: FailureMemory.load(path),
        lambda: FailureMemory(4, num_candidates=2, store_path=path),
    ):
        with pytest.raises(ValueError, match=f"not a readable failure memory: it defines {kind}"):
            attempt()


@pytest.mark.parametrize("size", [0, -1, 2**40])
def test_sizes_that_no_memory_has_are_refused(memory: FailureMemory, tmp_path: Path, size: int) -> None:
    path = tmp_path / "memory.sqlite"
    memory.save(path)
    with closing(sqlite3.connect(path)) as crafted, crafted:
        crafted.execute("UPDATE meta SET value = ? WHERE name = 'horizon'", (size,))
    with pytest.raises(ValueError, match=f"horizon is {size}, expected 1 to"):
        FailureMemory.load(path)


def test_a_second_writer_is_refused_before_anything_is_lost(make_case: CaseMaker, tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    first, second = (FailureMemory(4, num_candidates=2, store_path=path) for _ in range(2))
    first.add([make_case(EAST)])
    for write in (lambda: second.add([make_case(NORTH)]), lambda: second.add([make_case(UP), make_case(FOURTH)])):
        with pytest.raises(StoreChangedError, match="another process has written"):
            write()
    assert len(second) == 0
    first.add([make_case(UP)])
    first.record_outcomes([1], [0], [True])
    for memory in (first, second):
        memory.close()
    assert_equal(first, FailureMemory.load(path))
    assert len(FailureMemory.load(path)) == 2


def test_cases_from_a_file_are_what_cases_made_one_by_one_are(memory: FailureMemory, tmp_path: Path) -> None:
    memory.save(tmp_path / "memory.sqlite")
    for case in FailureMemory.load(tmp_path / "memory.sqlite").table.cases:
        again = FailureCase(**vars(case))
        assert vars(again).keys() == vars(case).keys()
        for name, value in vars(case).items():
            np.testing.assert_array_equal(value, getattr(again, name))
            assert not isinstance(value, np.ndarray) or (
                value.dtype == getattr(again, name).dtype and not value.flags.writeable
            )


APPENDING = """
import sys
import numpy as np
from flow_rag_vla.memory.case import FailureCase
from flow_rag_vla.memory.failure_memory import FailureMemory

memory = FailureMemory(64, store_path=sys.argv[1])
rng = np.random.default_rng(len(memory))
while True:
    chunk = np.zeros((1, 7))
    memory.add([FailureCase(rng.normal(size=(1, 64)), chunk, "drop", chunk) for _ in range(20)])
    print(len(memory), flush=True)
"""


def test_a_killed_writer_leaves_whole_batches_and_every_acknowledged_one(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    stored = 0
    for batches in (1, 4, 9):
        writer = subprocess.Popen(
            [sys.executable, "-c", APPENDING, str(path)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert writer.stdout is not None
        acknowledged = [int(writer.stdout.readline()) for _ in range(batches)]
        writer.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in writer.stdout.read().split()]
        writer.stdout.close()
        writer.wait()
        memory = FailureMemory.load(path)
        assert len(memory) % 20 == 0
        assert len(memory) >= acknowledged[-1] > stored
        assert memory.num_keys == len(memory)
        stored = len(memory)
