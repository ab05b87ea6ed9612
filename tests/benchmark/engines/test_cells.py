"""Which episodes both engines play."""

from __future__ import annotations

import pytest

from flow_rag_vla.benchmark.certification.certify import plan_trials
from flow_rag_vla.benchmark.engines.cells import plan_cells
from flow_rag_vla.benchmark.episodes.seeds import require_split, seed_block
from flow_rag_vla.tasks.catalogue.registry import all_tasks, get_task
from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.faults.registry import all_faults, get_fault

PICK_PLACE = (get_task("pick_place"),)


def test_all_is_clean_scenes_every_fault_and_the_harmless_twins_of_avoidable_ones():
    cells = plan_cells(PICK_PLACE, ["all"], 2)
    expected = [("none", FaultClass.CLEAN)]
    for fault in all_faults("pick_place"):
        twins = (FaultClass.CONTROL,) if fault.fault_class is FaultClass.AVOIDABLE else ()
        expected += [(fault.name, fault_class) for fault_class in (fault.fault_class, *twins)]
    assert [(cell.fault, cell.fault_class) for cell in cells] == expected
    assert {len(cell.scenarios) for cell in cells} == {2}


def test_avoidable_cells_are_those_that_the_certificate_rests_on():
    (cell, _) = plan_cells(PICK_PLACE, ["slippery_object"], 3)
    trials = [trial for trial in plan_trials("pick_place", 3, 0, 0) if trial.key[:2] == ("cell", "slippery_object")]
    assert [cell.scenarios[i // 2] for i in range(6)] == [trial.scenario for trial in trials]


def test_a_control_shows_the_cue_of_its_hazard_at_a_harmless_severity_on_the_same_layouts():
    hazard, control = plan_cells(PICK_PLACE, ["slippery_object"], 3)
    fault = get_fault("slippery_object")
    assert [s.severity for s in control.scenarios] == [fault.control_severity] * 3
    assert [s.layout for s in control.scenarios] == [s.layout for s in hazard.scenarios]
    assert [s.object_colour for s in control.scenarios] == [s.object_colour for s in hazard.scenarios]
    assert not set(control.scenario_ids) & set(hazard.scenario_ids)
    assert len(plan_cells(PICK_PLACE, ["slippery_object"], 3, controls=False)) == 1


def test_the_seed_names_a_block_of_development_layouts():
    (cell,) = plan_cells(PICK_PLACE, ["none"], 3, seed=5)
    seeds = [scenario.layout_seed for scenario in cell.scenarios]
    assert seeds == list(seed_block("development", 5, 3))
    require_split([scenario.site for scenario in cell.scenarios], "development")


def test_a_task_without_the_fault_is_left_out_and_a_fault_that_no_task_has_is_refused():
    tasks = all_tasks()
    rare = next(f for f in all_faults() if not all(f.applies_to(task.slug) for task in tasks))
    offering = [task.slug for task in tasks if rare.applies_to(task.slug)]
    assert list(dict.fromkeys(cell.task for cell in plan_cells(tasks, [rare.name], 1))) == offering
    other = next(task for task in tasks if task.slug not in offering)
    with pytest.raises(ValueError, match=f"fault '{rare.name}' is not offered by {other.slug}; available: all, none, "):
        plan_cells([other], [rare.name], 1)
