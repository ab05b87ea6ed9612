"""Which episodes an evaluation plays."""

from __future__ import annotations

from flow_rag_vla.benchmark.episodes.records import Exposure
from flow_rag_vla.benchmark.episodes.seeds import seed_block
from flow_rag_vla.benchmark.policies.evaluate import planned_episodes
from flow_rag_vla.tasks.faults.registry import get_fault


def test_an_evaluation_meets_each_layout_of_its_split_once():
    planned = planned_episodes("pick_place", "development", 3, 4)
    assert [p.scenario.layout_seed for p in planned] == list(seed_block("development", 3, 4))
    assert {(p.exposure, p.attempt, p.scenario.fault) for p in planned} == {(Exposure.E1, 0, "none")}


def test_with_a_fault_every_layout_has_it():
    planned = planned_episodes("pick_place", "development", 3, 2, get_fault("post"))
    assert [p.scenario.fault for p in planned] == ["post", "post"]
