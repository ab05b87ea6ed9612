"""The plan: fixed before the first step, the same for every arm."""

from __future__ import annotations

import hashlib
import json
from collections import Counter

import pytest

from flow_rag_vla.benchmark.episodes.plan import ALL_EXPOSURES, e2_episodes, make_plan, plan_scenarios
from flow_rag_vla.benchmark.episodes.records import Exposure
from flow_rag_vla.benchmark.episodes.seeds import EVALUATION
from flow_rag_vla.tasks.catalogue.registry import all_tasks
from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.scenarios.sites import make_site

SITES = [make_site(0, "pick_place")]


@pytest.fixture
def scenarios():
    return plan_scenarios(SITES, 100, 0)


def test_every_fault_class_has_its_share(scenarios):
    assert Counter(s.fault_class for s in scenarios) == {
        FaultClass.AVOIDABLE: 60,
        FaultClass.EXOGENOUS: 10,
        FaultClass.CONTROL: 12,
        FaultClass.CLEAN: 18,
    }


def test_layouts_come_from_the_evaluation_seeds_alone(scenarios):
    assert all(s.layout_seed in EVALUATION for s in scenarios)
    assert len({s.id for s in scenarios}) == 100


def test_e2_repeats_faults_exactly_and_nearby_and_the_rest_once(scenarios):
    (episodes,) = e2_episodes(scenarios, 1)
    assert Counter(e.exposure for e in episodes) == {"exact": 70, "near": 70, "control": 12, "clean": 18}
    for episode in episodes:
        assert (episode.scenario.id == episode.base_scenario_id) == (episode.exposure != "near")
        assert episode.attempt == 1


def test_far_is_the_same_fault_and_cue_on_another_layout_each_round_and_so_is_what_is_harmless(scenarios):
    visits = [plan_scenarios(SITES, 100, 0, visit=visit) for visit in (1, 2)]
    rounds = e2_episodes(scenarios, 2, ALL_EXPOSURES, visits)
    by_id = {s.id: s for s in scenarios}
    layouts = {s.layout_seed for s in scenarios}
    for episodes in rounds:
        assert Counter(e.exposure for e in episodes) == {
            "exact": 70, "near": 70, "far": 70, "control": 24, "clean": 36
        }  # fmt: skip
        new = [e for e in episodes if e.scenario.layout_seed != by_id[e.base_scenario_id].layout_seed]
        assert Counter(e.exposure for e in new) == {"far": 70, "control": 12, "clean": 18}
        for episode in new:
            base = by_id[episode.base_scenario_id]
            for name in ("site", "fault", "fault_class", "severity", "parameters"):
                assert getattr(episode.scenario, name) == getattr(base, name), name
            if base.fault in SITES[0].colour_of:
                assert episode.scenario.object_colour == base.object_colour
            assert episode.scenario.layout_seed in EVALUATION
            layouts.add(episode.scenario.layout_seed)
    assert len(layouts) == 300


def test_what_is_left_out_is_not_met(scenarios):
    (episodes,) = e2_episodes(scenarios, 1, (Exposure.NEAR, Exposure.CONTROL))
    assert Counter(e.exposure for e in episodes) == {"near": 70, "control": 12}


def test_all_arms_meet_the_same_episodes(scenarios):
    plan = make_plan(scenarios, ["flow_only", "parallel"], 64, 2, block=256)
    assert [(u.round, u.arm) for u in plan.units] == [
        (0, "flow_only"),
        (1, "flow_only"),
        (1, "parallel"),
        (2, "flow_only"),
        (2, "parallel"),
    ]
    assert plan.units[1].keys() == plan.units[2].keys()
    assert plan.units[1].keys() != plan.units[3].keys()
    assert len({u.id for u in plan.units}) == 5


def test_the_plan_is_written_the_same_way_every_time(scenarios):
    plan = make_plan(scenarios, ["flow_only"], 64, 1)
    lines = list(plan.lines())
    assert lines == list(make_plan(plan_scenarios(SITES, 100, 0), ["flow_only"], 64, 1).lines())
    assert plan.sha256 == hashlib.sha256("".join(lines).encode()).hexdigest()
    rows = [json.loads(line) for line in lines]
    assert lines == [json.dumps(row, sort_keys=True) + "\n" for row in rows]
    assert sum("scenario" in row for row in rows) == 100 + 70
    # E1 in two blocks of 64, its 70 repetitions and 30 others in three.
    assert [row["block"] for row in rows if "unit" in row] == [0, 1, 0, 1, 2]


def test_several_sites_take_turns():
    assert Counter(s.site for s in plan_scenarios([make_site(seed, "pick_place") for seed in (4, 5)], 100, 0)) == {
        4: 50,
        5: 50,
    }


def test_too_few_scenarios_are_refused():
    with pytest.raises(ValueError, match=f"got 3 scenarios, expected at least {2 * len(SITES[0].avoidable_faults)} "):
        plan_scenarios(SITES, 3, 0)


@pytest.mark.parametrize("task", [task.slug for task in all_tasks()])
def test_every_avoidable_fault_of_a_site_is_planned_about_equally_often(task):
    site = make_site(7, task)
    planned = plan_scenarios([site], 200, 0)
    counts = Counter(s.fault for s in planned if s.fault_class is FaultClass.AVOIDABLE)
    assert set(counts) == {fault.name for fault in site.avoidable_faults}
    assert max(counts.values()) - min(counts.values()) <= 1


def test_blocks_cut_a_round_where_batches_end_and_keep_its_order(scenarios):
    whole, cut = (make_plan(scenarios, ["flow_only"], 32, 1, block) for block in (320, 64))
    blocks = [unit for unit in cut.units if unit.round == 0]
    assert [(unit.block, len(unit.episodes)) for unit in blocks] == [(0, 64), (1, 36)]
    assert [episode for unit in blocks for episode in unit.episodes] == list(whole.units[0].episodes)
    assert len({unit.id for unit in cut.units}) == len(cut.units)


def test_a_block_that_would_put_other_episodes_side_by_side_is_refused(scenarios):
    with pytest.raises(ValueError, match="block is 48, expected a multiple of num_envs, which is 32"):
        make_plan(scenarios, ["flow_only"], 32, 1, block=48)


def test_each_of_a_thousand_rounds_has_its_own_new_layouts():
    scenarios, last = plan_scenarios(SITES, 100, 0), plan_scenarios(SITES, 100, 0, visit=7)
    rounds = e2_episodes(scenarios, 1000, [Exposure.FAR], [scenarios] * 999 + [last])
    far = [s.id for s in last if s.fault_class not in (FaultClass.CLEAN, FaultClass.CONTROL)]
    assert [episode.scenario.id for episode in rounds[999]] == far
    assert rounds[999][0].attempt == 1000
