"""What plan, table and scores keep in memory is tens of bytes an episode, whatever scenarios take as objects."""

from __future__ import annotations

import dataclasses
import gc
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flow_rag_vla.benchmark.episodes import episode_table
from flow_rag_vla.benchmark.episodes.episode_table import EpisodeTable
from flow_rag_vla.benchmark.episodes.plan import ALL_EXPOSURES, Plan, make_plan, plan_scenarios
from flow_rag_vla.benchmark.episodes.records import EpisodeRecord, Exposure, Outcome
from flow_rag_vla.benchmark.scoring.columns.run_records import RunRecords
from flow_rag_vla.benchmark.scoring.planned_units import read_planned_units
from flow_rag_vla.tasks.scenarios.scenario import Scenario
from flow_rag_vla.tasks.scenarios.sites import make_site

SITE = make_site(0, "pick_place")
ARMS = ("flow_only", "parallel")
SMALL, LARGE = 100, 700


def kept_bytes[T](make: Callable[[], T]) -> tuple[int, T]:
    """What ``make`` allocates and its result still holds."""
    gc.collect()
    tracemalloc.start()
    try:
        result = make()
        gc.collect()
        return tracemalloc.get_traced_memory()[0], result
    finally:
        tracemalloc.stop()


def planned(num_scenarios: int, num_envs: int = 100) -> Plan:
    return make_plan(plan_scenarios([SITE], num_scenarios, 0), ARMS, num_envs, 1)


def played(plan: Plan) -> Iterator[EpisodeRecord]:
    """A record of every planned episode, made when it is asked for: a fleet that fails every other one."""
    for unit in plan.units:
        for number, (exposure, scenario, base, attempt) in enumerate(unit.keys()):
            failed = number % 2 == 1
            yield EpisodeRecord(
                arm=unit.arm, round=unit.round, exposure=Exposure(exposure), scenario_id=scenario,
                base_scenario_id=base, attempt=attempt, site=0, task="t", fault="post",
                fault_class="avoidable", severity=1.0, initial_state_sha=scenario,
                outcome=Outcome.FAILURE if failed else Outcome.SUCCESS, fault_fired=failed,
                failure_type="drop" if failed else None, failure_phase="carry" if failed else None,
                failure_pose_bin="1,2,3" if failed else None, failure_step=9 if failed else None, steps=number,
                peak_obstacle_force_n=0.0, peak_grip_force_n=0.0, agent_failure_type=None, agent_failure_phase=None,
                agent_failure_step=None, decisions=1, retrievals=0, retrieved_type=None, candidate=None,
                late_retrievals=0,
            )  # fmt: skip


def living_scenarios() -> int:
    gc.collect()
    return sum(type(thing) is Scenario for thing in gc.get_objects())


@pytest.fixture(scope="module")
def plans() -> tuple[Plan, Plan]:
    return planned(SMALL), planned(LARGE)


def test_a_plan_keeps_a_hundred_bytes_a_scenario():
    planned(SMALL)  # what is kept from then on, whatever the size
    (small, _), (large, _) = (kept_bytes(lambda n=n: planned(n, 2 * LARGE)) for n in (SMALL, LARGE))
    # About 95; the rest is what scenarios of one cue and hazard share, of which there is an end.
    assert (large - small) / (LARGE - SMALL) < 200


def test_no_scenario_of_a_plan_stays_behind_when_its_units_have_been_played(plans):
    plan, before = plans[1], living_scenarios()
    for unit in plan.units[:4]:
        assert len({episode.scenario.id for episode in unit.episodes}) == len(unit.episodes)
    assert living_scenarios() <= before


def test_units_read_from_the_plan_keep_no_episode(plans, tmp_path: Path):
    sizes = []
    for plan in plans:
        (tmp_path / "plan.jsonl").write_text("".join(plan.lines()))
        kept, units = kept_bytes(lambda sha256=plan.sha256: read_planned_units(tmp_path, sha256))
        assert [list(unit.episodes) for unit in units] == [unit.keys() for unit in plan.units]
        sizes.append(kept / len(units))
    assert sizes[1] < 2 * sizes[0]


def test_scores_keep_tens_of_bytes_an_episode(plans):
    counts = [sum(len(unit.episodes) for unit in plan.units) for plan in plans]
    (small, _), (large, run) = (kept_bytes(lambda plan=plan: RunRecords.of(played(plan))) for plan in plans)
    assert len(run.e1) + sum(map(len, run.e2.values())) == counts[1]
    assert (large - small) / (counts[1] - counts[0]) < 80


def test_a_table_that_does_not_fit_into_memory_is_the_one_that_does(plans, tmp_path: Path, monkeypatch):
    records = list(played(plans[0]))
    written = []
    for run, head in ((episode_table.RUN, episode_table.HEAD), (300, 16)):
        monkeypatch.setattr(episode_table, "RUN", run)
        monkeypatch.setattr(episode_table, "HEAD", head)
        with EpisodeTable(tmp_path / f"{run}.parquet") as table:
            for first in range(0, len(records), 90):
                table.add(records[first : first + 90])
            table.write()
        written.append(table.path.read_bytes())
    assert written[0] == written[1]


def test_scenarios_of_a_plan_are_equal_whenever_they_are_made():
    first = plan_scenarios([SITE], SMALL, 0)
    visits = [plan_scenarios([SITE], SMALL, 0, visit=1)]
    plan = make_plan(first, ARMS, 50, 1, exposures=ALL_EXPOSURES, visits=visits)
    for unit in plan.units:
        episodes = list(unit.episodes)
        assert [(e.exposure, e.scenario.id, e.base_scenario_id, e.attempt) for e in episodes] == unit.keys()
        for episode in episodes[::7]:
            assert dataclasses.replace(episode.scenario).id == episode.scenario.id  # found out anew from its content
            assert unit.episodes[episodes.index(episode)] == episode
