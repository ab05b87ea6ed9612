"""Who is told the correction: the one that belongs to the hazard, and none where there is nothing to avoid."""

from __future__ import annotations

import pytest
import torch

from flow_rag_vla.agents.arms.catalogue import FLOW_ONLY, PARALLEL_ORACLE
from flow_rag_vla.agents.arms.settings import AgentSettings
from flow_rag_vla.agents.corrections.corrections import CANDIDATE_NAMES
from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
from flow_rag_vla.agents.policy.encoders import LearnedStateEncoder, LearnedStateEncoderCfg
from flow_rag_vla.agents.policy.flow_matching import FlowMatching, FlowMatchingCfg
from flow_rag_vla.agents.policy.instruction_encoder import INSTRUCTION_DIM
from flow_rag_vla.agents.policy.instructions import InstructionTable
from flow_rag_vla.agents.policy.velocity_network import VelocityNetworkCfg
from flow_rag_vla.benchmark.episodes.actors import arm_settings, make_policy_agent
from flow_rag_vla.benchmark.episodes.plan import Unit, first_attempts
from flow_rag_vla.benchmark.episodes.rollout import run_batch
from flow_rag_vla.benchmark.episodes.told.oracle_arm import belonging_corrections
from flow_rag_vla.tasks.catalogue.registry import all_tasks
from flow_rag_vla.tasks.contract import NOTHING, FaultClass
from flow_rag_vla.tasks.faults.registry import all_faults, get_fault
from flow_rag_vla.tasks.scenarios.sites import make_site

BELONGS = {
    "slippery_object": "grip_up_4", "heavy_object": "grip_up_4", "push": "grip_up_4", "weak_grip": "grip_up_4",
    "crushable_object": "grip_down_3",
    "post": "lift_10cm", "raised_rim": "lift_15cm", "beam": "stay_low",
    "wall_left": "detour_plus", "wall_right": "detour_minus",
    "pose_bias_plus": "object_minus", "pose_bias_minus": "object_plus",
    "goal_bias_plus": "goal_minus", "goal_bias_minus": "goal_plus",
    "mass_offset_plus": "grasp_plus_firm", "mass_offset_minus": "grasp_minus_firm",
}  # fmt: skip
"""By fault, at its default severity."""


def told(task: str, fault: str | None, fault_class: FaultClass | None = None, severity: float | None = None) -> str:
    site = make_site(3, task)
    hazard = None if fault is None else get_fault(fault)
    scenario = site.scenario(10_000_000, hazard, fault_class, severity)
    candidate = int(belonging_corrections([scenario])[0])
    return "" if candidate == NOTHING else CANDIDATE_NAMES[candidate]


def test_every_fault_that_can_be_avoided_has_a_correction():
    assert set(BELONGS) == {fault.name for fault in all_faults(fault_class=FaultClass.AVOIDABLE)}


@pytest.mark.parametrize("task", [task.slug for task in all_tasks()])
def test_the_correction_belongs_to_the_hazard_in_every_task(task: str):
    offered = [fault.name for fault in all_faults(task, FaultClass.AVOIDABLE)]
    assert {fault: told(task, fault) for fault in offered} == {fault: BELONGS[fault] for fault in offered}


@pytest.mark.parametrize("task", [task.slug for task in all_tasks()])
def test_nothing_is_said_on_clean_scenarios_on_harmless_twins_and_of_what_cannot_be_avoided(task: str):
    assert told(task, None) == ""
    assert not any(told(task, fault.name, FaultClass.CONTROL) for fault in all_faults(task, FaultClass.AVOIDABLE))
    assert not any(told(task, fault.name) for fault in all_faults(task, FaultClass.EXOGENOUS))


def test_a_milder_hazard_gets_the_milder_correction():
    assert told("pick_place", "goal_bias_plus", severity=0.02) == "goal_minus_half"
    assert told("pick_place", "post", severity=0.11) == "lift_5cm"
    assert told("pick_place", "pose_bias_plus", severity=0.01) == ""


@pytest.fixture
def policy() -> PolicyCheckpoint:
    """A small untrained policy that knows the fake fleet's instruction."""
    known = InstructionTable(["do it"], ["PickPlace"], torch.eye(1, INSTRUCTION_DIM))
    encoder = LearnedStateEncoder(LearnedStateEncoderCfg(hidden_dim=16), known).eval()
    flow = FlowMatching(FlowMatchingCfg(VelocityNetworkCfg(horizon=8, hidden_dim=16, num_layers=1))).eval()
    return PolicyCheckpoint(encoder, flow)


def test_what_is_told_is_taken_at_the_first_decision_and_kept_and_nobody_else_is_disturbed(policy, fake_fleet):
    site = make_site(3, "pick_place")
    scenarios = [site.scenario(10_000_000 + i, fault) for i, fault in enumerate((None, get_fault("push")))]
    episodes, settings = first_attempts(scenarios), arm_settings(AgentSettings(execute=8), 8, "pick_place")
    acted = {}
    for arm in (FLOW_ONLY, PARALLEL_ORACLE):
        fleet = fake_fleet(12, 12, 12)
        agent = make_policy_agent(arm, fleet, policy, settings)
        assert agent.capabilities.told_truth == arm.is_told
        played = run_batch(fleet, agent, Unit(arm.name, 0, 3, tuple(episodes)), episodes, 0.0)
        acted[arm.name] = torch.stack(fleet.actions, dim=1), played.records
    (plain, untold), (corrected, heard) = acted.values()
    assert [torch.equal(a, b) for a, b in zip(corrected, plain, strict=True)] == [True, False, True]
    assert [record.candidate for record in heard] == [None, "grip_up_4"]
    assert [record.candidate for record in untold] == [None, None]
    assert [record.retrieved_type for record in heard] == [None, None]
