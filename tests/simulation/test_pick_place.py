"""Pick-and-place in the simulator: determinism, isolation, and what may be sensed."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
import torch

from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.expert.expert_rollout import run_expert
from flow_rag_vla.tasks.expert.scripted_expert import ExpertPlan
from flow_rag_vla.tasks.faults.registry import all_faults
from flow_rag_vla.tasks.physics.contacts import ContactForces
from flow_rag_vla.tasks.scenarios.sites import make_site

if TYPE_CHECKING:
    from flow_rag_vla.tasks.contract import EpisodeTruth
    from flow_rag_vla.tasks.env.manipulation_env import ManipulationEnv
    from flow_rag_vla.tasks.scenarios.scenario import Scenario

pytestmark = pytest.mark.sim

TASK = "FlowRAG-PickPlace-Franka"
DEVELOPMENT_SEED = 10_000_000
KINDS: list[tuple] = [(None, None)]
KINDS += [(fault, None) for fault in all_faults("pick_place")]
FLEET = (len(KINDS), 130)
"""Each kind once, and time enough for a carry and for every hazard to act."""


def _scenarios(count: int, shift: int = 0) -> list[Scenario]:
    """Every fault and class side by side, by environment id."""
    site = make_site(3, TASK)
    rows = []
    for i in range(count):
        fault, fault_class = KINDS[i % len(KINDS)]
        rows.append(site.scenario(DEVELOPMENT_SEED + shift + i, fault, fault_class))
    return rows


@pytest.fixture(scope="module")
def nominal(fleet: ManipulationEnv) -> tuple[list[Scenario], EpisodeTruth]:
    """The nominal expert on every kind of scenario."""
    scenarios = _scenarios(fleet.num_envs)
    return scenarios, run_expert(fleet, scenarios, ExpertPlan.nominal(fleet.num_envs))


def test_nothing_fires_on_clean_scenarios(nominal):
    scenarios, truth = nominal
    clean = [i for i, s in enumerate(scenarios) if s.fault_class is FaultClass.CLEAN]
    assert clean
    assert not truth.fault_fired[clean].any()
    assert not truth.invalid.any()


def test_ended_episodes_stand_still_and_nothing_else_changes(fleet, nominal, monkeypatch):
    scenarios, truth = nominal
    early = truth.steps < fleet.max_episode_length
    assert 0 < int(early.sum()) < fleet.num_envs
    state = fleet.initial_state_shas()
    fleet.step(torch.zeros(fleet.num_envs, 7))
    assert fleet.initial_state_shas() == state
    monkeypatch.setattr(ContactForces, "leave", lambda self, ended: self._solver().leave(ended & False))
    stepped_on = run_expert(fleet, scenarios, ExpertPlan.nominal(fleet.num_envs))
    moved = torch.tensor([a != b for a, b in zip(fleet.initial_state_shas(), state, strict=True)])
    assert bool(moved[early].any())
    for field in dataclasses.fields(truth):
        assert torch.equal(getattr(stepped_on, field.name), getattr(truth, field.name)), field.name


def test_the_same_scenarios_twice_are_bitwise_equal(fleet, nominal):
    scenarios, first = nominal
    again = run_expert(fleet, scenarios, ExpertPlan.nominal(fleet.num_envs))
    for field in dataclasses.fields(again):
        assert torch.equal(getattr(first, field.name), getattr(again, field.name)), field.name


def test_an_episode_does_not_depend_on_its_neighbours(fleet, nominal):
    scenarios, first = nominal
    kept = fleet.num_envs * 3 // 4
    changed = scenarios[:kept] + _scenarios(fleet.num_envs, shift=500)[kept:]
    again = run_expert(fleet, changed, ExpertPlan.nominal(fleet.num_envs))
    for field in dataclasses.fields(again):
        assert torch.equal(getattr(first, field.name)[:kept], getattr(again, field.name)[:kept]), field.name


def test_equal_scenarios_have_equal_initial_state_hashes(fleet):
    scenarios = _scenarios(fleet.num_envs)
    fleet.load(scenarios, [0] * fleet.num_envs)
    first = fleet.initial_state_shas()
    fleet.load(scenarios, [3] * fleet.num_envs)
    assert fleet.initial_state_shas() == first
    assert len(set(first)) == fleet.num_envs


def test_a_second_attempt_has_fresh_sensor_noise(fleet):
    scenarios = _scenarios(fleet.num_envs)
    first = fleet.load(scenarios, [0] * fleet.num_envs).hand_force_b.clone()
    assert not torch.equal(first, fleet.load(scenarios, [1] * fleet.num_envs).hand_force_b)


def test_the_hand_jacobian_is_isaac_labs(fleet):
    fleet.load(_scenarios(fleet.num_envs), [0] * fleet.num_envs)
    ee = fleet._ee
    theirs = fleet._robot.data.body_link_jacobian_w.torch[:, ee.hand_id - 1][:, :, ee.joint_ids]
    torch.testing.assert_close(ee.hand_jacobian(), theirs, atol=1e-5, rtol=0)


def test_a_zero_action_holds_the_pose(fleet):
    observation = fleet.load(_scenarios(fleet.num_envs), [0] * fleet.num_envs)
    start = observation.ee_pos_b.clone()
    for _ in range(15):
        fleet.step(torch.zeros(fleet.num_envs, 7))
    assert (fleet.observe().ee_pos_b - start).norm(dim=1).max() < 0.005


def test_a_fleet_needs_one_scenario_for_each_environment(fleet):
    with pytest.raises(ValueError, match=f"expected {fleet.num_envs} scenarios"):
        fleet.load(_scenarios(3), [0] * 3)
