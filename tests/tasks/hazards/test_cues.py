"""Cues tell nothing without the site: what is seen does not depend on which hazard a cue stands for."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable
from typing import cast

import pytest
from scipy.stats import chi2_contingency, chisquare

from flow_rag_vla.tasks.catalogue.registry import all_tasks
from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.facts.colours import PALETTE
from flow_rag_vla.tasks.facts.layout import LANE_CENTRES_X_M, Layout
from flow_rag_vla.tasks.faults.registry import all_faults, get_fault
from flow_rag_vla.tasks.scenarios.scenario import Scenario
from flow_rag_vla.tasks.scenarios.sites import Site, make_site

NUM_SITES = 1500
CERTAIN = 1e-4
"""Sites are seeded, so a p-value is a fixed number: one this small is no chance."""

SLUGS = [task.slug for task in all_tasks()]
LANES = range(len(LANE_CENTRES_X_M))


@pytest.fixture(scope="module", params=SLUGS)
def sites(request: pytest.FixtureRequest) -> list[Site]:
    """Many sites of one task."""
    return [make_site(seed, request.param) for seed in range(NUM_SITES)]


def seen(scenario: Scenario) -> tuple:
    """All that the first observation may depend on, for a fault that moves no percept."""
    layout = scenario.layout
    return (scenario.object_colour, scenario.object_model, scenario.instruction, dataclasses.astuple(layout))


def without_lane(layout: Layout) -> tuple:
    """The layout seen from the middle of its lane."""
    centre = LANE_CENTRES_X_M[layout.lane]
    x = [round(point[0] - centre, 9) for point in (layout.object_xy_m, layout.goal_xy_m)]
    return (*x, layout.object_xy_m[1], layout.goal_xy_m[1], layout.object_yaw_rad, layout.goal_height_m)


def held(sites: list[Site], cue: str) -> list[str]:
    """Avoidable faults with this cue that the task's sites may hold."""
    return [f.name for f in all_faults(sites[0].task.slug, FaultClass.AVOIDABLE) if f.cue == cue]


def p_of_even(counts: list[int]) -> float:
    """How likely counts as uneven as these are if all are equally likely."""
    return cast("float", chisquare(counts)[1])


def p_of_same(table: list[list[int]]) -> float:
    """How likely rows as different as these are if all are drawn alike."""
    return cast("float", chi2_contingency(table)[1])


def announced(sites: list[Site], cue_of: Callable[[Site], dict], fault: str) -> Counter:
    """How often each cue stands for ``fault``."""
    return Counter(cue_of(site)[fault] for site in sites if fault in cue_of(site))


def test_every_colour_stands_for_every_object_hazard_equally_often(sites):
    rows = [announced(sites, lambda site: site.colour_of, name) for name in held(sites, "object")]
    for row in rows:
        assert p_of_even([row[colour] for colour in PALETTE]) > CERTAIN


def test_no_lane_favours_one_of_two_opposing_hazards(sites):
    free = [name for name in held(sites, "region") if not get_fault(name).lanes]
    pairs = [(name, get_fault(name).opposite) for name in free]
    for name, opposite in pairs:
        if opposite in free and name < opposite:
            counts = [announced(sites, lambda site: site.lane_of, side) for side in (name, opposite)]
            table = [[row[lane] for lane in LANES] for row in counts]
            assert min(map(min, table)) > 0
            assert p_of_same(table) > CERTAIN, name


def test_the_two_walls_stand_in_lanes_that_mirror_each_other(sites):
    if "wall_left" not in held(sites, "region"):
        pytest.skip("no walls in this task")
    left, right = (announced(sites, lambda site: site.lane_of, f"wall_{side}") for side in ("left", "right"))
    allowed = get_fault("wall_left").lanes
    assert set(left) == set(allowed)
    table = [[left[lane] for lane in allowed], [right[LANES[-1] - lane] for lane in allowed]]
    assert p_of_same(table) > CERTAIN


def test_a_lane_of_a_single_hazard_is_any_of_those_in_which_it_can_be(sites):
    for name in held(sites, "region"):
        lanes = set(announced(sites, lambda site: site.lane_of, name))
        assert lanes == set(get_fault(name).lanes or LANES)


def test_beside_the_lane_a_layout_is_the_seeds_alone(sites):
    faults = [get_fault(name) for name in (*held(sites, "object"), *held(sites, "region"))]
    for seed in range(15):
        views = set()
        for site in sites[:5]:
            views.add(without_lane(site.scenario(seed).layout))
            for fault, fault_class in itertools.product(faults, (None, FaultClass.CONTROL)):
                views.add(without_lane(site.scenario(seed, fault, fault_class).layout))
        assert len(views) == 1


def test_an_object_is_the_seeds_alone_among_those_that_the_hazard_needs(sites):
    task = sites[0].task
    for seed in range(15):
        chosen: dict[tuple[str, ...], set[str]] = {}
        for site in sites[:5]:
            chosen.setdefault(task.objects, set()).add(site.scenario(seed).object_model)
            for fault in all_faults(task.slug):
                chosen.setdefault(fault.objects_of(task.objects), set()).add(site.scenario(seed, fault).object_model)
        assert all(len(models) == 1 for models in chosen.values())


def test_a_site_with_its_colours_dealt_anew_shows_the_same_scenes_with_other_hazards_behind_them(sites):
    dealt_otherwise = 0
    for site in sites[:20]:
        # Hazards that need other objects show other scenes: deal among those that need the same.
        groups: dict[tuple[str, ...], list[str]] = {}
        for name in site.colour_of:
            groups.setdefault(get_fault(name).objects, []).append(name)
        turned = dict(site.colour_of)
        for names in groups.values():
            colours = [site.colour_of[name] for name in names]
            turned.update(zip(names, [*colours[1:], colours[0]], strict=True))
        dealt = dataclasses.replace(site, colour_of=turned)
        for seed in range(10):
            before, after = (
                {seen(s): s.fault for name in site.colour_of for s in [where.scenario(seed, get_fault(name))]}
                for where in (site, dealt)
            )
            assert before.keys() == after.keys()
            moved = sum(len(names) for names in groups.values() if len(names) > 1)
            assert sum(before[view] != after[view] for view in before) == moved
            dealt_otherwise += moved
    assert dealt_otherwise > 0


def test_a_clean_scene_of_one_site_is_a_hazard_of_another(sites):
    hazardous = {colour for site in sites[:60] for colour in site.colour_of.values()}
    plain = {colour for site in sites[:60] for colour in site.plain_colours}
    assert hazardous == plain == set(PALETTE)
