"""The units of a run directory as its own plan lists them, and what they left behind; nothing is planned again."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flow_rag_vla.agents.files.file_hash import file_sha256
from flow_rag_vla.benchmark.command.atomic_files import read_json_object
from flow_rag_vla.benchmark.episodes.episode_log import EpisodeLog, read_episodes
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.decoding import decode

EpisodeKey = tuple[str, str, str, int]
"""Exposure, scenario, the scenario that it repeats, attempt: what tells a unit's episodes apart."""


class UnfinishedUnitError(ValueError):
    """A unit has not run to its end, or what it left is not whole: it is to run again."""


@dataclass(frozen=True)
class PlannedUnit:
    """One line of ``plan.jsonl``: an arm in a round, with its episodes."""

    id: str
    arm: str
    round: int
    episodes: tuple[EpisodeKey, ...]


@dataclass(frozen=True)
class UnitMeasures:
    """What was measured while a unit ran; None for what was not."""

    env_steps_per_s: float | None = None
    ms_per_env_decision: float | None = None
    memory_entries: int | None = None
    memory_bytes: int | None = None
    peak_rss_bytes: int | None = None


def read_planned_units(run_dir: Path, plan_sha256: str) -> list[PlannedUnit]:
    """The units of the run in the order in which they run.

    Raises:
        ValueError: the plan is missing, has changed since the run was started, or is damaged.
    """
    path = run_dir / run_files.PLAN
    if not path.is_file():
        raise ValueError(f"{path}: is missing, so nobody knows what the run was to do")
    text = path.read_bytes()
    if hashlib.sha256(text).hexdigest() != plan_sha256:
        raise ValueError(f"{path}: has changed since the run was started, its sha256 is not the manifest's")
    try:
        rows = [json.loads(line) for line in text.splitlines()]
        return [_planned_unit(row) for row in rows if "unit" in row]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: is no plan of units: {error}") from None


def _planned_unit(row: dict[str, Any]) -> PlannedUnit:
    name, arm, round_ = row["unit"], row["arm"], row["round"]
    episodes = tuple((exposure, scenario, base, attempt) for exposure, scenario, base, attempt in row["episodes"])
    return PlannedUnit(name, arm, round_, episodes)


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
    _require_memory(row, folder / run_files.MEMORY)
    _require_memory_before(row, run_dir)
    return FinishedUnit(log, measures)


def _require_planned(unit: PlannedUnit, log: EpisodeLog, path: Path) -> None:
    places = {unit.arm, *(r.arm for r in log.records)}, {unit.round, *(r.round for r in log.records)}
    there: Counter[EpisodeKey] = Counter(
        (str(r.exposure), r.scenario_id, r.base_scenario_id, r.attempt) for r in log.records
    )
    planned: Counter[EpisodeKey] = Counter(unit.episodes)
    if max(map(len, places)) > 1 or there != planned:
        missing, others = (planned - there).total(), (there - planned).total()
        raise UnfinishedUnitError(
            f"{path} does not hold every planned episode once: {missing} missing, {others} that nobody planned or twice"
        )


def _require_memory(done: dict[str, Any], memory: Path) -> None:
    """Where ``DONE.json`` names no memory, the arm has none, or the unit is an earlier version's."""
    sha256 = done.get("memory_sha256")
    if sha256 is None:
        return
    if not memory.is_file():
        raise UnfinishedUnitError(f"{memory} is missing")
    if file_sha256(memory) != sha256:
        raise UnfinishedUnitError(f"{memory} is not what {run_files.DONE} has the sha256 of")


def _require_memory_before(done: dict[str, Any], run_dir: Path) -> None:
    """Where the memory is missing, the unit that leaves it runs again, and then this one if it leaves another."""
    before = done.get("memory_before")
    if before is None:
        return
    try:
        memory, sha256 = run_files.unit_folder(run_dir, before["unit"]) / run_files.MEMORY, before["sha256"]
    except (KeyError, TypeError):
        raise UnfinishedUnitError(f"memory_before in {run_files.DONE} is {before!r}") from None
    if memory.is_file() and file_sha256(memory) != sha256:
        raise UnfinishedUnitError(f"it began with another memory than {memory} is now")


def is_done(run_dir: Path, unit: PlannedUnit) -> bool:
    """Whether ``read_unit`` finds the unit done."""
    try:
        read_unit(run_dir, unit)
    except UnfinishedUnitError:
        return False
    return True
