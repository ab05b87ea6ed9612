"""The units of a run directory as its own plan lists them, and what they left behind; nothing is planned again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, overload

from pydantic_core import from_json

from flow_rag_vla.agents.files.file_hash import file_sha256
from flow_rag_vla.benchmark.command.atomic_files import read_json_object
from flow_rag_vla.benchmark.command.decoding import decode
from flow_rag_vla.benchmark.episodes.episode_log import EpisodeLog, read_episodes
from flow_rag_vla.benchmark.episodes.records import EpisodeKey
from flow_rag_vla.benchmark.scoring import run_files

_UNIT = b'"unit": '
"""In the lines of the plan that are units; most are scenarios."""


class UnfinishedUnitError(ValueError):
    """A unit has not run to its end, or what it left is not whole: it is to run again."""


_key_of = attrgetter("exposure", "scenario_id", "base_scenario_id", "attempt")
_place_of = attrgetter("arm", "round")


@dataclass(frozen=True)
class PlannedUnit:
    """One line of ``plan.jsonl``: a block of an arm's episodes in a round."""

    id: str
    arm: str
    round: int
    episodes: Sequence[EpisodeKey]


class _KeysOnDisk(Sequence[EpisodeKey]):
    """The episodes of a line of the plan, read whenever somebody asks for them: all lines are more than a run needs."""

    def __init__(self, path: Path, offset: int, count: int) -> None:
        self._path, self._offset, self._count = path, offset, count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> EpisodeKey: ...
    @overload
    def __getitem__(self, index: slice) -> list[EpisodeKey]: ...
    def __getitem__(self, index: int | slice) -> EpisodeKey | list[EpisodeKey]:
        return self._read()[index]

    def __iter__(self) -> Iterator[EpisodeKey]:
        return iter(self._read())

    def _read(self) -> list[EpisodeKey]:
        with self._path.open("rb") as plan:
            plan.seek(self._offset)
            return _keys(from_json(plan.readline()))


@dataclass(frozen=True)
class UnitMeasures:
    """What was measured while a unit ran; None for what was not."""

    wall_s: float | None = None
    env_steps_per_s: float | None = None
    ms_per_env_decision: float | None = None
    memory_entries: int | None = None
    """In runs of earlier versions, whose units were whole rounds."""
    memory_bytes: int | None = None
    peak_rss_bytes: int | None = None


@dataclass(frozen=True)
class MergedMemory:
    """``MERGED.json`` of an arm's round."""

    entries: int
    """Cases in the memory."""
    sha256: str
    """Of the memory."""
    before: str | None
    """Hash of the memory that it continues; None where it began empty."""
    lessons: dict[str, str]
    """Unit id to the hash of what it taught, in the order in which it was merged."""


@dataclass(frozen=True)
class MemoryBefore:
    """The memory that a unit began with: whose, after which round, and its hash."""

    arm: str
    round: int
    sha256: str


def read_planned_units(run_dir: Path, plan_sha256: str) -> list[PlannedUnit]:
    """The units of the run in the order in which they run.

    Raises:
        ValueError: the plan is missing, has changed since the run was started, or is damaged.
    """
    path = run_dir / run_files.PLAN
    if not path.is_file():
        raise ValueError(f"{path}: is missing, so nobody knows what the run was to do")
    if file_sha256(path) != plan_sha256:
        raise ValueError(f"{path}: has changed since the run was started, its sha256 is not the manifest's")
    units: list[PlannedUnit] = []
    end = 0
    try:
        with path.open("rb") as lines:
            for line in lines:
                begin, end = end, end + len(line)
                if _UNIT in line and "unit" in (row := from_json(line)):
                    name, arm, round_ = row["unit"], row["arm"], row["round"]
                    units.append(PlannedUnit(name, arm, round_, _KeysOnDisk(path, begin, len(_keys(row)))))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: is no plan of units: {error}") from None
    return units


def _keys(row: dict[str, Any]) -> list[EpisodeKey]:
    keys = [(exposure, scenario, base, attempt) for exposure, scenario, base, attempt in row["episodes"]]
    if wrong := [key for key in keys if list(map(type, key)) != [str, str, str, int]]:
        raise ValueError(f"an episode is {wrong[0]}, expected three texts and an integer")
    return keys


@dataclass(frozen=True)
class FinishedUnit:
    """What a unit left behind: every planned episode once."""

    log: EpisodeLog
    measures: UnitMeasures


def read_unit(run_dir: Path, unit: PlannedUnit) -> FinishedUnit:
    """What ``unit`` left, if it is done: count and checksum in its ``DONE.json`` agree with the rows that are there.

    Raises:
        UnfinishedUnitError: it is not; says what is missing or does not agree.
    """
    folder = run_files.unit_folder(run_dir, unit.id)
    done, episodes = folder / run_files.DONE, folder / run_files.EPISODES
    if not done.is_file():
        raise UnfinishedUnitError(f"it has no {run_files.DONE}")
    if not episodes.is_file():
        raise UnfinishedUnitError(f"{episodes} is missing")
    try:
        row = read_json_object(done)
        log = read_episodes(episodes)
        measures = decode(UnitMeasures, row.get("measured"), f"{done}: $.measured")
    except ValueError as error:
        raise UnfinishedUnitError(str(error)) from None
    if row.get("episodes") != len(log.records):
        raise UnfinishedUnitError(f"{done} counts {row.get('episodes')} episodes, {episodes} holds {len(log.records)}")
    if row.get("sha256") != file_sha256(episodes):
        raise UnfinishedUnitError(f"{episodes} is not what {run_files.DONE} has the sha256 of")
    _require_planned(unit, log, episodes)
    _require_lessons(row, folder / run_files.LESSONS)
    _require_memory_before(row, run_dir)
    _require_latency(row, run_dir / run_files.LATENCY)
    return FinishedUnit(log, measures)


def _require_planned(unit: PlannedUnit, log: EpisodeLog, path: Path) -> None:
    places = {(unit.arm, unit.round), *map(_place_of, log.records)}
    there: list[EpisodeKey] = list(map(_key_of, log.records))
    if len(places) == 1 and there == list(unit.episodes):
        return
    planned: Counter[EpisodeKey] = Counter(unit.episodes)
    found: Counter[EpisodeKey] = Counter(there)
    if len(places) > 1 or found != planned:
        missing, others = (planned - found).total(), (found - planned).total()
        raise UnfinishedUnitError(
            f"{path} does not hold every planned episode once: {missing} missing, {others} that nobody planned or twice"
        )


def _require_lessons(done: dict[str, Any], lessons: Path) -> None:
    """Where ``DONE.json`` names none, the arm has no memory."""
    sha256 = done.get("lessons_sha256")
    if sha256 is None:
        return
    if not lessons.is_file():
        raise UnfinishedUnitError(f"{lessons} is missing")
    if file_sha256(lessons) != sha256:
        raise UnfinishedUnitError(f"{lessons} is not what {run_files.DONE} has the sha256 of")


def _require_memory_before(done: dict[str, Any], run_dir: Path) -> None:
    """Where that is merged from other lessons now, the unit is to run again; where it is not merged, nobody knows."""
    if done.get("memory_before") is None:
        return
    try:
        before = decode(MemoryBefore, done["memory_before"], "$.memory_before")
        merged = read_merged(run_dir, before.arm, before.round)
    except ValueError as error:
        raise UnfinishedUnitError(str(error)) from None
    if merged is not None and merged.sha256 != before.sha256:
        folder = run_files.memory_folder(run_dir, before.arm, before.round)
        raise UnfinishedUnitError(f"it began with another memory than {folder / run_files.MEMORY} is now")


def _require_latency(done: dict[str, Any], latency: Path) -> None:
    """Where decisions take another time now, the unit is to run again; while nobody has timed them, nobody knows."""
    sha256 = done.get("latency_sha256")
    if sha256 is not None and latency.is_file() and file_sha256(latency) != sha256:
        raise UnfinishedUnitError(f"it simulated other decision times than {latency} has now")


def is_done(run_dir: Path, unit: PlannedUnit) -> bool:
    """Whether ``read_unit`` finds the unit done."""
    try:
        read_unit(run_dir, unit)
    except UnfinishedUnitError:
        return False
    return True


def read_merged(run_dir: Path, arm: str, round_: int) -> MergedMemory | None:
    """What is noted of the memory of ``arm`` after ``round_``; None where nothing is merged, or the note is damaged."""
    path = run_files.memory_folder(run_dir, arm, round_) / run_files.MERGED
    try:
        return decode(MergedMemory, read_json_object(path), "$") if path.is_file() else None
    except ValueError:
        return None


def unmerged(run_dir: Path, units: Sequence[PlannedUnit]) -> list[str]:
    """Memories that are not what the lessons of ``units``, all of their arms' rounds and done, were merged into."""
    learned: dict[tuple[str, int], dict[str, str]] = {}
    for unit in units:
        lessons = run_files.unit_folder(run_dir, unit.id) / run_files.LESSONS
        if lessons.is_file():
            learned.setdefault((unit.arm, unit.round), {})[unit.id] = file_sha256(lessons)
    wrong = []
    for (arm, round_), lessons in learned.items():
        merged, memory = read_merged(run_dir, arm, round_), run_files.memory_folder(run_dir, arm, round_)
        path = memory / run_files.MEMORY
        if merged is None or merged.lessons != lessons or not path.is_file() or file_sha256(path) != merged.sha256:
            wrong.append(memory.name)
    return wrong


def read_given_up(run_dir: Path) -> dict[str, str]:
    """Ids of units that were given up, or waited for one that was, and why; empty where that is not so, or damaged."""
    path = run_dir / run_files.GAPS
    try:
        return decode(dict[str, str], read_json_object(path), "$") if path.is_file() else {}
    except ValueError:
        return {}


def pooled(blocks: Sequence[UnitMeasures]) -> UnitMeasures:
    """What was measured of all ``blocks`` of an arm's round: rates weighted by time, sizes the largest."""
    return UnitMeasures(
        _known(sum, [block.wall_s for block in blocks]),
        _by_time(blocks, [block.env_steps_per_s for block in blocks]),
        _by_time(blocks, [block.ms_per_env_decision for block in blocks]),
        blocks[-1].memory_entries,
        _known(max, [block.memory_bytes for block in blocks]),
        _known(max, [block.peak_rss_bytes for block in blocks]),
    )


def _known[T: (int, float)](reduce: Callable[[list[T]], T], values: Sequence[T | None]) -> T | None:
    known = [value for value in values if value is not None]
    return reduce(known) if known else None


def _by_time(blocks: Sequence[UnitMeasures], values: Sequence[float | None]) -> float | None:
    if len(blocks) == 1:
        return values[0]
    pairs = [(b.wall_s, v) for b, v in zip(blocks, values, strict=True) if b.wall_s is not None and v is not None]
    time = sum(wall_s for wall_s, _ in pairs)
    return sum(wall_s * value for wall_s, value in pairs) / time if time > 0 else None
