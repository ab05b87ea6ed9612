"""Scenarios, layouts and sites: what is visible, what is hidden, and that names stay stable."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections import Counter

import gymnasium
import pytest

from flow_rag_vla.tasks.catalogue.registry import all_tasks, get_task, register_task
from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.facts.colours import PALETTE
from flow_rag_vla.tasks.facts.layout import (
    LANE_CENTRES_X_M,
    LANE_HALF_WIDTH_M,
    NEAR_POSITION_M,
    NEAR_YAW_RAD,
    Area,
    Layout,
    sample_layout,
)
from flow_rag_vla.tasks.facts.randomness import keyed_generator
from flow_rag_vla.tasks.faults.definition.parameters import check_parameters
from flow_rag_vla.tasks.faults.registry import all_faults, get_fault, register_fault
from flow_rag_vla.tasks.scenarios.scenario import Scenario, name_all, scenarios_json
from flow_rag_vla.tasks.scenarios.sites import MAX_REGION_HAZARDS, make_site

TASK = "FlowRAG-PickPlace-Franka"
SLUGS = [task.slug for task in all_tasks()]


def test_a_draw_depends_on_its_name_alone():
    first = keyed_generator("layout", 7).random(3).tolist()
    keyed_generator("layout", 8).random(100)
    assert keyed_generator("layout", 7).random(3).tolist() == first
    assert keyed_generator("layout", 8).random(3).tolist() != first


def test_a_scenario_survives_json_and_keeps_its_id():
    scenario = make_site(5, TASK).scenario(11, get_fault("post"))
    again = Scenario.from_dict(scenario.to_dict())
    assert again == scenario
    assert again.id == scenario.id
    assert dataclasses.replace(scenario, severity=0.15).id != scenario.id


def test_the_id_of_a_known_scenario_never_changes():
    layout = Layout(lane=2, object_xy_m=(0.5, -0.25), object_yaw_rad=0.25, goal_xy_m=(0.5, 0.25))
    assert Scenario(TASK, 1, 2, layout, "blue").id == "4cd689764aa0310b"


@pytest.mark.parametrize("fault", all_faults(), ids=lambda f: f.name)
def test_a_control_looks_like_its_hazard(fault):
    task = next(task for task in all_tasks() if fault.applies_to(task.slug))
    site = make_site(3, task.name)
    hazard = site.scenario(40, fault)
    control = site.scenario(40, fault, FaultClass.CONTROL)
    assert (hazard.layout, hazard.object_colour) == (control.layout, control.object_colour)
    assert hazard.object_model == control.object_model
    assert hazard.parameters != control.parameters
    assert hazard.noise_key == control.noise_key


@pytest.mark.parametrize("fault", all_faults(), ids=lambda f: f.name)
def test_severity_ladders_name_distinct_finite_parameters(fault):
    seen = [fault.parameters(severity) for severity in fault.ladder]
    assert all(math.isfinite(v) for row in seen for v in row.values())
    assert all(a != b for a, b in itertools.pairwise(seen))


def test_a_parameter_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="object_mass_kg is nan"):
        check_parameters({"object_mass_kg": math.nan})


@pytest.mark.parametrize("slug", SLUGS)
def test_a_site_ties_each_of_its_faults_to_its_own_cue(slug):
    for seed in range(50):
        site = make_site(seed, slug)
        assert len(set(site.colour_of.values())) == len(site.colour_of)
        assert len(set(site.lane_of.values())) == len(site.lane_of) <= MAX_REGION_HAZARDS
        assert not set(site.colour_of.values()) & set(site.plain_colours)
        assert not set(site.lane_of.values()) & set(site.plain_lanes)
        assert {*site.colour_of.values(), *site.plain_colours} == set(PALETTE)
        assert {*site.lane_of.values(), *site.plain_lanes} == set(range(len(LANE_CENTRES_X_M)))
        for fault in site.avoidable_faults:
            assert fault.applies_to(slug)
            assert fault.cue == ("object" if fault.name in site.colour_of else "region")
            if fault.name in site.lane_of and fault.lanes:
                assert site.lane_of[fault.name] in fault.lanes


@pytest.mark.parametrize("slug", SLUGS)
def test_opposites_come_together(slug):
    for seed in range(50):
        held = {fault.name for fault in make_site(seed, slug).avoidable_faults}
        for name in held:
            opposite = get_fault(name).opposite
            assert opposite is None or opposite in held or not get_fault(opposite).applies_to(slug)


@pytest.mark.parametrize("slug", SLUGS)
def test_over_sites_every_avoidable_fault_occurs(slug):
    seen = {fault.name for seed in range(60) for fault in make_site(seed, slug).avoidable_faults}
    assert seen == {fault.name for fault in all_faults(slug, FaultClass.AVOIDABLE)}


def test_over_sites_every_cue_announces_every_hazard():
    sites = [make_site(seed, TASK) for seed in range(400)]
    colours = Counter(site.colour_of["slippery_object"] for site in sites)
    lanes = Counter(site.lane_of["beam"] for site in sites if "beam" in site.lane_of)
    walls = Counter(site.lane_of["wall_left"] for site in sites if "wall_left" in site.lane_of)
    assert set(colours) == set(PALETTE)
    assert set(lanes) == set(range(len(LANE_CENTRES_X_M)))
    assert set(walls) == set(get_fault("wall_left").lanes)


def test_names_are_taken_once():
    with pytest.raises(ValueError, match="fault 'post' is already registered"):
        register_fault(get_fault("post"))
    with pytest.raises(ValueError, match=r"task 'FlowRAG-PickPlace-Franka' \(pick_place\) is already registered"):
        register_task(get_task("pick_place"))


def test_an_unknown_task_lists_those_that_exist():
    with pytest.raises(KeyError, match=r"unknown task 'juggle'; available: pick_place .*lift"):
        get_task("juggle")


def test_a_fault_of_another_task_is_refused():
    with pytest.raises(
        ValueError, match=r"fault 'raised_rim' is not offered by FlowRAG-Lift-Franka; available: .*push"
    ):
        make_site(0, "lift").scenario(1, get_fault("raised_rim"))


def test_the_gym_ids_are_the_registered_tasks():
    ids = {name for name in gymnasium.registry if name.startswith("FlowRAG-")}
    assert ids == {task.name for task in all_tasks()}


def test_clean_scenarios_show_only_plain_cues():
    site = make_site(9, TASK)
    for seed in range(100):
        scenario = site.scenario(seed)
        assert scenario.object_colour in site.plain_colours
        assert scenario.layout.lane in site.plain_lanes
        assert scenario.parameters == {}


def test_near_moves_a_little_and_stays_in_the_lane():
    for seed in range(200):
        scenario = make_site(1, TASK).scenario(seed, get_fault("beam"))
        near = scenario.near()
        assert near.near().layout != near.layout
        before, after = scenario.layout, near.layout
        for old, new in ((before.object_xy_m, after.object_xy_m), (before.goal_xy_m, after.goal_xy_m)):
            assert max(abs(o - n) for o, n in zip(old, new, strict=True)) <= NEAR_POSITION_M + 1e-9
            assert abs(new[0] - LANE_CENTRES_X_M[after.lane]) <= LANE_HALF_WIDTH_M + 1e-9
        assert abs(after.object_yaw_rad - before.object_yaw_rad) <= NEAR_YAW_RAD
        assert near.parameters == scenario.parameters


def test_an_unknown_fault_lists_those_that_exist():
    with pytest.raises(KeyError, match=r"unknown fault 'gremlin'; available: .*post"):
        get_fault("gremlin")


def test_an_unknown_lane_is_refused():
    with pytest.raises(ValueError, match="lane 9 does not exist"):
        Layout(lane=9, object_xy_m=(0.5, 0.0), object_yaw_rad=0.0, goal_xy_m=(0.5, 0.2))


def test_layouts_are_spread_over_the_lane():
    xs = [sample_layout(seed, 2, Area()).object_xy_m[0] for seed in range(200)]
    assert min(xs) < LANE_CENTRES_X_M[2] - 0.012
    assert max(xs) > LANE_CENTRES_X_M[2] + 0.012


@pytest.mark.parametrize("task", SLUGS)
def test_scenarios_are_written_and_named_together_as_alone(task: str):
    site = make_site(5, task)
    faults = (None, *site.faults.values())
    scenarios = [site.scenario(11 + i, fault, severity=3 if i % 2 else None) for i, fault in enumerate(faults)]
    assert scenarios_json(scenarios) == [json.dumps(s.to_dict(), sort_keys=True) for s in scenarios]
    names = [dataclasses.replace(scenario).id for scenario in scenarios]
    name_all(scenarios)
    assert [scenario.id for scenario in scenarios] == names
    assert scenarios_json([]) == []
    with pytest.raises(ValueError, match="JSON compliant"):
        scenarios_json([dataclasses.replace(scenarios[0], severity=math.nan)])


def test_scenarios_that_are_made_together_are_those_that_are_made_alone():
    site = make_site(5, "pick_place")
    for fault in (None, *site.faults.values()):
        together = site.scenarios(range(40, 100), fault)
        assert together == [site.scenario(seed, fault) for seed in range(40, 100)]
        assert Scenario.nearby(together) == [scenario.near() for scenario in together]
    assert Scenario.nearby([]) == []
