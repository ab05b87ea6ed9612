"""What blocks learned becomes the same memory whoever ran them, and is written and read without loss."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from flow_rag_vla.benchmark.command.atomic_files import read_json_object
from flow_rag_vla.benchmark.episodes.barrier import merge_into
from flow_rag_vla.benchmark.episodes.plan import Unit, make_plan
from flow_rag_vla.benchmark.episodes.rollout import Exposed
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.workers.barriers import Barriers
from flow_rag_vla.benchmark.workers.lessons import Lessons
from flow_rag_vla.benchmark.workers.taught_lessons import TaughtLessons
from flow_rag_vla.memory import duplicates, table
from flow_rag_vla.memory.case import FailureCase
from flow_rag_vla.memory.evidence import situations
from flow_rag_vla.memory.failure_memory import FailureMemory
from flow_rag_vla.tasks.scenarios.sites import make_site

DIM = 8


def case(number: int) -> FailureCase:
    """A failure whose two keys point along axis ``number``, the second a little aside."""
    keys = np.eye(DIM, dtype=np.float32)[[number, number]]
    keys[1, (number + 1) % DIM] = 0.1
    action = np.full((2, 7), number, np.float32)
    return FailureCase(keys, action, "drop", action + 1, "carry", f"{number}", np.full((3, 2), 1 + number, np.float32))


def lessons(*numbers: int, uses: tuple[tuple[int, int, bool], ...] = ()) -> Lessons:
    met = {
        f"s{number}": Exposed(np.eye(DIM, dtype=np.float32)[number], number % 3, number > 1, number == 3)
        for number in numbers
    }
    return Lessons({f"s{number}": case(number) for number in numbers}, uses, met)


def make_memory(source: Path | None) -> FailureMemory:
    if source is None:
        return FailureMemory(DIM, horizon=2, num_candidates=3)
    return FailureMemory.load(source)


@pytest.fixture
def units() -> tuple[Unit, ...]:
    """E1 in two blocks, then one round of two arms in two blocks each."""
    site = make_site(0, "pick_place")
    scenarios = [site.scenario(10_000_000 + i) for i in range(4)]
    return make_plan(scenarios, ["flow_only", "parallel"], 2, 1).units


@pytest.fixture
def learned(units, tmp_path: Path) -> Callable[..., tuple[Path, Barriers]]:
    """A run directory in which the blocks named by round and number learned something."""

    def learn(name: str, **what: Lessons) -> tuple[Path, Barriers]:
        for unit in units:
            taught = what.get(f"r{unit.round}b{unit.block}")
            if taught is not None and (unit.round == 0 or unit.arm == "parallel"):
                taught.write(run_files.unit_folder(tmp_path / name, unit.id) / run_files.LESSONS)
        return tmp_path / name, Barriers(tmp_path / name, units, make_memory)

    return learn


def test_lessons_are_read_as_they_were_written(tmp_path: Path):
    written = lessons(3, 1, uses=((1, 2, True), (4, 0, False)))
    written.write(tmp_path / "lessons")
    read = TaughtLessons.of_file(tmp_path / "lessons")
    assert (read.failed.tolist(), read.uses.tolist()) == ([b"s3", b"s1"], [list(use) for use in written.uses])
    for one, other in zip(read.cases(np.arange(2)), written.failures.values(), strict=True):
        assert (one.cluster, one.occurrences) == (other.cluster, other.occurrences)
        for name in ("key_states", "failed_action", "correction", "prior", "counts"):
            assert getattr(one, name).tobytes() == getattr(other, name).tobytes()
    assert (read.met.tolist(), read.trials.tolist()) == ([b"s3", b"s1"], [[0, 1, 1], [1, 0, 0]])
    assert read.keys(np.array([1, 0])).tolist() == [[0, 1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0, 0]]


def test_a_unit_that_learned_nothing_says_so(tmp_path: Path):
    lessons().write(tmp_path / "lessons")
    read = TaughtLessons.of_file(tmp_path / "lessons")
    assert [len(part) for part in (read.failed, read.met, read.uses)] == [0, 0, 0]
    assert read.columns is None


def test_equal_lessons_are_equal_bytes_whenever_they_are_written(tmp_path: Path):
    for i in range(16):
        lessons(1, 3, uses=((1, 0, True),)).write(tmp_path / f"{i}")
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_lessons_that_are_cut_off_are_refused_by_name(tmp_path: Path):
    path = tmp_path / "lessons"
    lessons(1).write(path)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match="lessons: holds no lessons of a unit"):
        TaughtLessons.of_file(path)


def test_where_blocks_are_cut_changes_no_byte_of_the_memory(learned, units):
    folders = [
        learned("cut", r0b0=lessons(3, 1), r0b1=lessons(2, 0)),
        learned("other", r0b0=lessons(3), r0b1=lessons(1, 2, 0)),
    ]
    one, other = (barriers.after(units[0]).read_bytes() for _, barriers in folders)
    assert one == other
    assert make_memory(folders[0][0] / "memories/r0-flow_only/failures.sqlite").exposures.counts.sum() == 4


def test_a_round_starts_from_all_blocks_of_the_round_before_and_adds_its_own(learned, units):
    taught = {"r0b0": lessons(0), "r0b1": lessons(1), "r1b0": lessons(2, uses=((1, 1, True),)), "r1b1": lessons(3)}
    path, barriers = learned("run", **taught)
    parallel, flow_only = (next(u for u in units if u.round == 1 and u.arm == arm) for arm in ("parallel", "flow_only"))
    assert [unit.block for unit in barriers.needed_by(parallel)] == [0, 1]
    assert (barriers.needed_by(flow_only), barriers.before(flow_only)) == ((), None)
    assert len(make_memory(barriers.before(parallel))) == 2
    barriers.merge_done(lambda unit: True)
    after = make_memory(path / "memories/r1-parallel/failures.sqlite")
    assert len(after) == 4
    assert after.case(1).counts.tolist() == [[0, 0], [1, 0], [0, 0]]
    assert read_json_object(path / "memories/r1-parallel/MERGED.json")["entries"] == 4
    assert not (path / "memories/r1-flow_only").exists()


def test_a_memory_is_merged_again_where_a_block_has_learned_something_else(learned, units):
    path, barriers = learned("run", r0b0=lessons(0), r0b1=lessons(1))
    first = barriers.after(units[0]).stat().st_mtime_ns
    assert barriers.after(units[0]).stat().st_mtime_ns == first
    lessons(1, 2).write(run_files.unit_folder(path, units[1].id) / run_files.LESSONS)
    assert len(make_memory(barriers.after(units[0]))) == 3


def test_a_block_without_lessons_is_named(learned, units):
    _, barriers = learned("run", r0b0=lessons(0))
    with pytest.raises(ValueError, match=rf"{units[1].id}.*is missing"):
        barriers.after(units[0])


def crowd(rng: np.random.Generator, first: int, count: int) -> Lessons:
    """Failures and exposures that repeat one another, scenario ids out of order, windows of one to three keys."""
    middles = np.random.default_rng(0).normal(size=(25, DIM))
    failures, met = {}, {}
    for i in rng.permutation(np.arange(first, first + count)).tolist():
        keys = middles[rng.integers(len(middles), size=rng.integers(1, 4))]
        keys = (keys + 0.1 * rng.normal(size=keys.shape)).astype(np.float32)
        action = rng.normal(size=(2, 7)).astype(np.float32)
        prior, counts = rng.uniform(1, 3, (3, 2)).astype(np.float32), rng.integers(0, 4, (3, 2))
        kind, phase, region = (f"{rng.integers(n)}" for n in (2, 2, 5))
        if rng.random() < 0.7:
            failures[f"{i * 7919 % 10007:05d}"] = FailureCase(keys, action, kind, -action, phase, region, prior, counts)
        met[f"{i * 7919 % 10007:05d}"] = Exposed(keys[0], int(rng.integers(3)), rng.random() < 0.5, rng.random() < 0.5)
    return Lessons(failures, ((1, 1, True),) if first else (), met)


@pytest.mark.parametrize("at_once", [1, 7, 40])
def test_how_many_failures_are_in_memory_at_once_changes_no_byte(at_once: int, tmp_path: Path, monkeypatch):
    taught = [crowd(np.random.default_rng(part), 100 * part, 100) for part in range(4)]
    for part, lessons_ in enumerate(taught):
        lessons_.write(tmp_path / f"{part}")
    files = [TaughtLessons.of_file(tmp_path / f"{part}") for part in range(4)]
    before = FailureMemory(DIM, 60, horizon=2, num_candidates=3, duplicate_threshold=0.99)
    before.add([case for lessons_ in taught[:1] for case in lessons_.failures.values()])
    before.save(tmp_path / "before")

    def merged(parts: list[TaughtLessons], name: str) -> bytes:
        memory = FailureMemory.load(tmp_path / "before", 60, duplicate_threshold=0.99)
        merge_into(memory, parts)
        memory.save(tmp_path / name)
        assert (len(memory), len(memory.exposures)) == (60, 60)  # more came, so that some had to leave
        return (tmp_path / name).read_bytes()

    whole = merged([TaughtLessons.of(lessons_) for lessons_ in taught], "whole")
    most: list[int] = []
    read = TaughtLessons.cases

    def counted(self: TaughtLessons, rows: np.ndarray) -> list[FailureCase]:
        most.append(len(rows))
        return read(self, rows)

    monkeypatch.setattr(TaughtLessons, "cases", counted)
    for module, name in ((duplicates, "CASES_AT_ONCE"), (table, "CASES_AT_ONCE"), (situations, "KEYS_AT_ONCE")):
        monkeypatch.setattr(module, name, at_once)
    assert merged(files, "in parts") == whole
    assert max(most) <= at_once
