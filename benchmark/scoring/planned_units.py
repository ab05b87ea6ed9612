"""The units of a run directory as its own plan lists them, and what they left behind; nothing is planned again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flow_rag_vla.benchmark.command.atomic_files import read_json_object
from flow_rag_vla.benchmark.episodes.episode_log import EpisodeLog, read_episodes
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.decoding import decode


@dataclass(frozen=True)
class PlannedUnit:
    """One line of ``plan.jsonl``: an arm in a round, with its number of episodes."""

    id: str
    arm: str
    round: int
    num_episodes: int


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
        return [
            PlannedUnit(row["unit"], row["arm"], row["round"], len(row["episodes"])) for row in rows if "unit" in row
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: is no plan of units: {error}") from None


def is_done(folder: Path, num_episodes: int) -> bool:
    """Whether the unit in ``folder`` has finished and its episodes are the ones that it wrote."""
    done, episodes = folder / run_files.DONE, folder / run_files.EPISODES
    if not done.is_file() or not episodes.is_file():
        return False
    row = read_json_object(done)
    sha = hashlib.sha256(episodes.read_bytes()).hexdigest()
    return row.get("episodes") == num_episodes and row.get("sha256") == sha


def unfinished(run_dir: Path, units: list[PlannedUnit]) -> list[PlannedUnit]:
    """Those of ``units`` that have not finished."""
    return [unit for unit in units if not is_done(run_files.unit_folder(run_dir, unit.id), unit.num_episodes)]


def read_records(run_dir: Path, unit: PlannedUnit) -> EpisodeLog:
    """The episodes of a finished unit.

    Raises:
        ValueError: a line is no record, or there are not as many as were planned.
    """
    path = run_files.unit_folder(run_dir, unit.id) / run_files.EPISODES
    log = read_episodes(path)
    if len(log.records) != unit.num_episodes:
        raise ValueError(f"{path}: holds {len(log.records)} episodes, the plan has {unit.num_episodes}")
    return log


def read_measures(run_dir: Path, unit: PlannedUnit) -> UnitMeasures:
    """What was measured while a finished ``unit`` ran.

    Raises:
        ValueError: it is damaged.
    """
    path = run_files.unit_folder(run_dir, unit.id) / run_files.DONE
    row: dict[str, Any] = read_json_object(path)
    try:
        return decode(UnitMeasures, row.get("measured"), "$.measured")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
