"""Scenarios, layouts and sites: what is visible, what is hidden, and that names stay stable."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter

import pytest

from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.faults import FAULTS, HazardParameters, avoidable_faults, get_fault, parameter_dict
from flow_rag_vla.tasks.layout import (
    LANE_CENTRES_X_M,
    LANE_HALF_WIDTH_M,
    NEAR_POSITION_M,
    NEAR_YAW_RAD,
    Layout,
    sample_layout,
)
from flow_rag_vla.tasks.randomness import keyed_generator
from flow_rag_vla.tasks.scenario import Scenario
from flow_rag_vla.tasks.sites import PALETTE, make_site

TASK = "FlowRAG-PickPlace-Franka"


def test_a_draw_depends_on_its_name_alone():
    first = keyed_generator("layout", 7).random(3).tolist()
    keyed_generator("layout", 8).random(100)
    assert keyed_generator("layout", 7).random(3).tolist() == first
    assert keyed_generator("layout", 8).random(3).tolist() != first


def test_a_scenario_survives_json_and_keeps_its_id():
    scenario = make_site(5).scenario(TASK, 11, get_fault("post"))
    again = Scenario.from_dict(scenario.to_dict())
    assert again == scenario
    assert again.id == scenario.id
    assert dataclasses.replace(scenario, severity=0.15).id != scenario.id


def test_the_id_of_a_known_scenario_never_changes():
    layout = Layout(lane=2, object_xy_m=(0.5, -0.25), object_yaw_rad=0.25, goal_xy_m=(0.5, 0.25))
    assert Scenario(TASK, 1, 2, layout, "blue").id == "2faf66d4ea5519bf"


@pytest.mark.parametrize("fault", FAULTS.values(), ids=lambda f: f.name)
def test_a_control_looks_like_its_hazard(fault):
    site = make_site(3)
    hazard = site.scenario(TASK, 40, fault)
    control = site.scenario(TASK, 40, fault, FaultClass.CONTROL)
    assert (hazard.layout, hazard.object_colour) == (control.layout, control.object_colour)
    assert hazard.parameters != control.parameters
    assert hazard.noise_key == control.noise_key


@pytest.mark.parametrize("fault", FAULTS.values(), ids=lambda f: f.name)
def test_severity_ladders_name_distinct_finite_parameters(fault):
    seen = [parameter_dict(fault.parameters(severity)) for severity in fault.ladder]
    assert all(math.isfinite(v) for row in seen for v in row.values())
    assert all(a != b for a, b in itertools.pairwise(seen))


def test_a_parameter_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="object_mass_kg is nan"):
        parameter_dict(HazardParameters(object_mass_kg=math.nan))


def test_a_site_ties_every_avoidable_fault_to_its_own_cue():
    for seed in range(50):
        site = make_site(seed)
        assert len(set(site.colour_of.values())) == len(site.colour_of)
        assert len(set(site.lane_of.values())) == len(site.lane_of)
        assert set(site.colour_of) | set(site.lane_of) == {f.name for f in avoidable_faults()}
        assert not set(site.colour_of.values()) & set(site.plain_colours)
        assert not set(site.lane_of.values()) & set(site.plain_lanes)


def test_over_sites_every_cue_announces_every_hazard():
    colours = Counter(make_site(s).colour_of["slippery_object"] for s in range(300))
    lanes = Counter(make_site(s).lane_of["beam"] for s in range(300))
    assert set(colours) == set(PALETTE)
    assert set(lanes) == set(range(len(LANE_CENTRES_X_M)))


def test_clean_scenarios_show_only_plain_cues():
    site = make_site(9)
    for seed in range(100):
        scenario = site.scenario(TASK, seed)
        assert scenario.object_colour in site.plain_colours
        assert scenario.layout.lane in site.plain_lanes
        assert scenario.parameters == {}


def test_near_moves_a_little_and_stays_in_the_lane():
    for seed in range(200):
        scenario = make_site(1).scenario(TASK, seed, get_fault("beam"))
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
    xs = [sample_layout(seed, 2).object_xy_m[0] for seed in range(200)]
    assert min(xs) < LANE_CENTRES_X_M[2] - 0.012
    assert max(xs) > LANE_CENTRES_X_M[2] + 0.012
