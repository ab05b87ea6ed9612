"""Faults as data: what every fault of the library promises, and which definitions are refused."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from flow_rag_vla.tasks.catalogue.registry import all_tasks
from flow_rag_vla.tasks.contract import PHASES, FaultClass, Phase
from flow_rag_vla.tasks.facts.objects import OBJECTS
from flow_rag_vla.tasks.faults.definition.fault import GRAVITY_M_S2, Fault, Trigger, minus_severity, severity
from flow_rag_vla.tasks.faults.definition.parameters import HAZARD_FIELDS, MAX_LATENCY_STEPS, default_of
from flow_rag_vla.tasks.faults.registry import all_faults, get_fault
from flow_rag_vla.tasks.scenarios.sites import make_site

MORE_IS_WORSE = {
    "object_mass_kg", "com_offset_m", "post_top_m", "wall_left_edge_m", "wall_right_edge_m", "rim_top_m",
    "push_force_n", "push_side_n", "push_steps", "release_steps", "release_count", "object_bias_x_m",
    "object_bias_y_m", "object_bias_z_m", "goal_bias_x_m", "goal_bias_y_m", "goal_bias_z_m", "hold_steps",
    "latency_steps",
}  # fmt: skip
LESS_IS_WORSE = {"object_friction", "crush_force_n", "beam_bottom_m", "grip_scale", "speed_scale"}
EITHER_SIGN = {name for name in HAZARD_FIELDS if "bias" in name or name == "com_offset_m"}

every_fault = pytest.mark.parametrize("fault", all_faults(), ids=lambda fault: fault.name)


def danger(name: str, value: float) -> float:
    """Rises with what hazard parameter ``name`` does to an episode."""
    size = abs(value) if name in EITHER_SIGN else value
    return -size if name in LESS_IS_WORSE else size


def a_fault(**changes: Any) -> Fault:
    """A correct fault of two severities, but for ``changes``."""
    correct: dict[str, Any] = {
        "name": "gust", "family": "drop", "fault_class": FaultClass.AVOIDABLE, "cue": "region", "unit": "N",
        "ladder": (4.0, 8.0), "default_severity": 8.0, "control_severity": 1.0,
        "effect": {"push_side_n": severity, "push_steps": 6.0}, "description": "a gust", "remedy": "a firmer grip",
    }  # fmt: skip
    return Fault(**{**correct, **changes})


def test_every_parameter_but_the_trigger_has_a_direction_of_danger():
    assert not MORE_IS_WORSE & LESS_IS_WORSE
    triggers = {"trigger_phase", "trigger_step", "trigger_y_low_m", "trigger_y_high_m"}
    assert MORE_IS_WORSE | LESS_IS_WORSE | triggers == set(HAZARD_FIELDS)


@every_fault
def test_danger_rises_from_the_control_up_the_ladder(fault: Fault):
    rows = [fault.parameters(value) for value in (fault.control_severity, *fault.ladder)]
    graded = [name for name, effect in fault.effect.items() if callable(effect)]
    assert graded
    for milder, worse in itertools.pairwise(rows):
        assert all(danger(name, milder[name]) < danger(name, worse[name]) for name in graded)
        assert {name: milder[name] for name in milder if name not in graded} == {
            name: worse[name] for name in worse if name not in graded
        }


@every_fault
def test_the_default_severity_is_not_harmless(fault: Fault):
    parameters = fault.parameters(fault.default_severity)
    assert any(parameters[name] != default_of(name) for name in fault.effect)


@every_fault
def test_opposites_name_each_other_and_are_announced_alike(fault: Fault):
    if fault.opposite is None:
        return
    opposite = get_fault(fault.opposite)
    assert opposite.opposite == fault.name
    assert (opposite.cue, opposite.fault_class, opposite.family) == (fault.cue, fault.fault_class, fault.family)
    assert opposite.parameters(opposite.default_severity) != fault.parameters(fault.default_severity)


@pytest.mark.parametrize("pair", ["pose_bias", "goal_bias", "mass_offset"])
def test_plus_and_minus_are_mirror_images(pair: str):
    plus, minus = get_fault(f"{pair}_plus"), get_fault(f"{pair}_minus")
    for value in (plus.control_severity, *plus.ladder):
        mirrored = {name: -x if name in EITHER_SIGN else x for name, x in minus.parameters(value).items()}
        assert mirrored == plus.parameters(value)


@every_fault
def test_a_fault_names_tasks_objects_and_lanes_that_exist(fault: Fault):
    assert set(fault.tasks) <= {task.slug for task in all_tasks()}
    assert set(fault.objects) <= set(OBJECTS)
    for task in all_tasks():
        assert not fault.applies_to(task.slug) or fault.objects_of(task.objects)


@every_fault
def test_a_scenario_carries_the_parameters_of_its_severity_alone(fault: Fault):
    slug = next(task.slug for task in all_tasks() if fault.applies_to(task.slug))
    site = make_site(2, slug)
    assert site.scenario(5, fault).parameters == fault.parameters(fault.default_severity)
    assert site.scenario(5, fault, severity=fault.ladder[0]).parameters == fault.parameters(fault.ladder[0])
    control = site.scenario(5, fault, FaultClass.CONTROL)
    assert control.parameters == fault.parameters(fault.control_severity)


def test_the_slippery_object_is_just_held_by_the_force_that_grades_it():
    fault = get_fault("slippery_object")
    for force_n in fault.ladder:
        values = fault.parameters(force_n)
        weight_n = values["object_mass_kg"] * GRAVITY_M_S2
        assert 2 * force_n * values["object_friction"] == pytest.approx(weight_n)
    assert fault.parameters(0.1)["object_friction"] == 1.0


def test_no_latency_is_longer_than_the_commands_that_are_kept():
    assert max(get_fault("action_latency").ladder) <= MAX_LATENCY_STEPS


def test_a_trigger_becomes_hazard_parameters_and_what_it_leaves_open_none():
    assert Trigger().parameters() == {}
    trigger = Trigger(phase=Phase.CARRY, step=40, region_y_m=(-0.05, 0.1))
    assert trigger.parameters() == {
        "trigger_phase": PHASES.index("carry"), "trigger_step": 40.0,
        "trigger_y_low_m": -0.05, "trigger_y_high_m": 0.1,
    }  # fmt: skip
    assert Trigger(phase=Phase.APPROACH, step=0).parameters() == {"trigger_phase": 0.0, "trigger_step": 0.0}


def test_an_effect_is_a_number_or_a_function_of_the_severity():
    fault = a_fault(effect={"push_side_n": minus_severity, "push_force_n": lambda n: 2 * n, "push_steps": 6})
    assert fault.parameters(4.0) == {"push_side_n": -4.0, "push_force_n": 8.0, "push_steps": 6.0}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"family": "crash"}, ValueError, "fault gust: family is 'crash', expected one of grasp, collision, drop"),
        ({"cue": "sound"}, ValueError, "fault gust: cue is 'sound', expected one of object, region, none"),
        ({"cue": "none"}, ValueError, "avoidable faults need a cue, others have none; got 'none'"),
        ({"fault_class": FaultClass.EXOGENOUS}, ValueError, "avoidable faults need a cue, others have none; got 'reg"),
        ({"default_severity": 6.0}, ValueError, r"default severity 6.0 is not on its ladder \(4.0, 8.0\)"),
        ({"ladder": (8.0, 8.0)}, ValueError, r"its ladder \(8.0, 8.0\) repeats a severity"),
        ({"effect": {"push_sideways": severity}}, KeyError, "unknown hazard parameter 'push_sideways'; available: obj"),
        ({"effect": {"push_side_n": float("inf")}}, ValueError, "push_side_n is inf, expected a finite number"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_with_the_reason(
    changes: dict[str, Any], error: type[Exception], message: str
):
    assert a_fault().name == "gust"
    with pytest.raises(error, match=message):
        a_fault(**changes)
