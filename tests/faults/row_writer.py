"""Writes the rows of a planned run without playing its episodes, as often as it is killed."""

from __future__ import annotations

import itertools
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from findings import Findings
from run_evidence import Evidence, counted_wrongly

from flow_rag_vla.benchmark.episodes.episode_log import read_episodes
from flow_rag_vla.benchmark.episodes.episode_table import write_episodes_parquet
from flow_rag_vla.benchmark.episodes.plan import Plan, PlannedEpisode, Unit, make_plan
from flow_rag_vla.benchmark.episodes.records import EpisodeRecord, Outcome
from flow_rag_vla.benchmark.run.config import BenchmarkSettings
from flow_rag_vla.benchmark.run.run_directory import RunDirectory
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.workers.lessons import Lessons
from flow_rag_vla.memory.case import FailureCase
from flow_rag_vla.tasks.scenarios.sites import make_site

_UNIT, _BATCH = 48, 12
"""Rows; those of a batch are more than a file's buffer holds, so that a kill may cut one."""

_PATIENCE_S = 120.0
"""For a writer that nobody disturbs."""


def torment(killed: Callable[..., tuple[list[str], bool]], folder: Path, rng: random.Random, kills: int) -> Findings:
    """Kill the writer ``kills`` times, in as many runs as that takes; ``killed`` as in ``kill_writers``."""
    site = make_site(0, "pick_place")
    plan = make_plan([site.scenario(10_000_000 + i) for i in range(2 * _UNIT)], ["flow_only", "parallel"], _UNIT, 1)
    whole = _begin(folder / "whole", plan)
    since = time.monotonic()
    killed(lambda ack: _write(whole, plan, ack), _PATIENCE_S)
    takes_s, found, number = time.monotonic() - since, Findings(), 0
    while found.kills < kills:
        number += 1
        directory = _begin(folder / f"run-{number}", plan)
        kept = Evidence(frozenset(), {})
        hit = True
        while hit:
            work = lambda ack, d=directory: _write(d, plan, ack)  # noqa: E731
            said, hit = killed(work, rng.uniform(0.0, takes_s) if found.kills < kills else _PATIENCE_S)
            found.kills += hit
            for line in said:
                found.acknowledged[line.split()[0]] += hit
            kept = kept | _check(directory, plan, said, kept, found)
        found.faults += counted_wrongly(directory.path, kept.rows)
        tables = [made.path / run_files.MERGED_EPISODES for made in (directory, whole)]
        if tables[0].read_bytes() != tables[1].read_bytes():
            found.faults.append(f"{tables[0]} is another one than undisturbed")
        shutil.rmtree(directory.path)
    return found


def _begin(out: Path, plan: Plan) -> RunDirectory:
    out.mkdir(parents=True)
    directory = RunDirectory(out)
    directory.start(BenchmarkSettings(), plan, [], {})
    return directory


def _write(directory: RunDirectory, plan: Plan, ack: Callable[[str], None]) -> None:
    """What is not done, and the table in the end, as a run does."""
    for unit in plan.units:
        if not directory.why_not_done(unit):
            continue
        directory.set_aside(unit)
        directory.begin(unit)
        for number, batch in enumerate(itertools.batched(unit.episodes, _BATCH), start=1):
            directory.append(unit, [_record(unit, planned) for planned in batch])
            ack(f"rows {unit.id} {min(number * _BATCH, len(unit.episodes))}")
        directory.keep_lessons(unit, _lessons(unit))
        directory.finish(unit, {})
        ack(f"units {unit.id}")
    records = [record for unit in plan.units for record in read_episodes(_log(directory, unit)).records]
    write_episodes_parquet(directory.path / run_files.MERGED_EPISODES, records)
    ack("tables")


def _check(directory: RunDirectory, plan: Plan, said: list[str], kept: Evidence, found: Findings) -> Evidence:
    """Note what does not hold after a kill; returns what is there."""
    found.faults += kept.lost_in(directory.path)
    now = Evidence.of(directory.path)
    units = {unit.id: unit for unit in plan.units}
    rows: dict[str, int] = {}
    for line in said:
        match line.split():
            case ["rows", unit, count]:
                rows[unit] = int(count)
            case ["units", unit]:
                if why := directory.why_not_done(units[unit]):
                    found.faults.append(f"{unit} was acknowledged: {why}")
    for unit, count in rows.items():
        log = _log(directory, units[unit])
        read = read_episodes(log)
        found.in_between += read.notice is not None or len(read.records) > count
        expected = [_record(units[unit], planned) for planned in units[unit].episodes]
        if len(read.records) < count or read.records != expected[: len(read.records)]:
            found.faults.append(f"{log}: {count} rows were acknowledged, {len(read.records)} are there, or others")
    return now


def _log(directory: RunDirectory, unit: Unit) -> Path:
    return directory.unit(unit) / run_files.EPISODES


def _lessons(unit: Unit) -> Lessons:
    keys, action = np.eye(8, dtype=np.float32)[:2], np.ones((2, 7), np.float32)
    case = FailureCase(keys, action, "drop", action, "carry", "", np.ones((3, 2), np.float32))
    return Lessons({planned.scenario.id: case for planned in unit.episodes}, ())


def _record(unit: Unit, planned: PlannedEpisode) -> EpisodeRecord:
    failed = int(planned.scenario.id[-1], 16) % 2 == 1
    return EpisodeRecord(
        arm=unit.arm, round=unit.round, exposure=planned.exposure, scenario_id=planned.scenario.id,
        base_scenario_id=planned.base_scenario_id, attempt=planned.attempt, site=0, task="FlowRAG-PickPlace-Franka",
        fault="none", fault_class="clean", severity=0.0, initial_state_sha=planned.scenario.id,
        outcome=Outcome.FAILURE if failed else Outcome.SUCCESS, fault_fired=False,
        failure_type="drop" if failed else None, failure_phase="carry" if failed else None, failure_pose_bin=None,
        failure_step=7 if failed else None, steps=12, peak_obstacle_force_n=0.0, peak_grip_force_n=1.5,
        agent_failure_type=None, agent_failure_phase=None, agent_failure_step=None, decisions=3, retrievals=0,
        retrieved_type=None, candidate=None, late_retrievals=0,
    )  # fmt: skip
