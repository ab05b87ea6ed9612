"""What changes between episodes reaches the physics although a captured CUDA graph replays without Python.

The first control step of a simulation runs step by step and is then captured: every test begins after that.
"""

# Isaac Lab keeps any of Newton's solvers, or none.
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import torch

from flow_rag_vla.tasks.expert.expert_rollout import run_expert
from flow_rag_vla.tasks.expert.scripted_expert import ExpertPlan, ScriptedExpert
from flow_rag_vla.tasks.facts.contact_parameters import NUM_SUBSTEPS
from flow_rag_vla.tasks.faults.registry import get_fault
from flow_rag_vla.tasks.scenarios.sites import make_site

if TYPE_CHECKING:
    from flow_rag_vla.tasks.contract import EpisodeTruth
    from flow_rag_vla.tasks.env.manipulation_env import ManipulationEnv
    from flow_rag_vla.tasks.scenarios.scenario import Scenario

DEVELOPMENT_SEED = 10_000_000
OBSTACLES = ("post", "beam", "wall_left", "wall_right")
FAULTS = ("slippery_object", "mass_offset_plus", "mass_offset_minus", *OBSTACLES)
"""Changed friction, centre of mass, and place and size of the obstacle: no nominal plan gets by them."""

NUM_ENVS = 2 * len(FAULTS)


def scenarios(with_faults: bool) -> list[Scenario]:
    """Clean ones, and in the second half one of each fault if asked for; the same places in both cases."""
    site = make_site(3, "pick_place")
    faults = [None] * len(FAULTS) + [get_fault(name) if with_faults else None for name in FAULTS]
    return [site.scenario(DEVELOPMENT_SEED + i, fault) for i, fault in enumerate(faults)]


@pytest.fixture(scope="module")
def fleet(device: str, captured, frozen_heap: None) -> Iterator[ManipulationEnv]:
    from flow_rag_vla.tasks.env.make import make_fleet

    env = make_fleet("pick_place", NUM_ENVS, device=device, max_steps=260)
    env.load(scenarios(with_faults=False), [0] * NUM_ENVS)
    yield captured(env)
    env.close()


@pytest.fixture(scope="module")
def outcomes(fleet: ManipulationEnv, device: str) -> list[EpisodeTruth]:
    """The nominal expert without, with and again without the faults, in the same environments."""
    plan = ExpertPlan.nominal(NUM_ENVS, device, fleet.task)
    return [run_expert(fleet, scenarios(faulty), plan) for faulty in (False, True, False)]


def test_faults_bite_where_they_are_and_nowhere_else(outcomes):
    _, faulty, _ = outcomes
    half = len(FAULTS)
    assert faulty.success[:half].all()
    fails = dict(zip(FAULTS, (~faulty.success[half:]).tolist(), strict=True))
    assert fails == dict.fromkeys(FAULTS, True)
    assert faulty.fault_fired[half:].all()
    assert not faulty.invalid.any()


def test_obstacles_stop_whoever_runs_into_them(outcomes):
    _, faulty, _ = outcomes
    obstacles = [
        len(FAULTS) + i for i, name in enumerate(FAULTS) if name in ("post", "beam", "wall_left", "wall_right")
    ]
    assert (faulty.peak_obstacle_force_n[obstacles] > 40.0).all()
    assert (faulty.peak_obstacle_force_n[: len(FAULTS)] == 0.0).all()


def test_nothing_of_a_fault_is_left_in_the_next_episode(outcomes):
    before, _, after = outcomes
    assert before.success.all()
    assert after.success.all()
    assert (after.peak_obstacle_force_n == 0.0).all()


def test_episodes_of_one_plan_begin_in_the_same_state(fleet):
    planned = scenarios(with_faults=True)
    first = fleet.load(planned, [0] * NUM_ENVS).clone()
    shas = fleet.initial_state_shas()
    for _ in range(5):
        fleet.step(torch.full((NUM_ENVS, 7), 0.01, device=fleet.device))
    assert fleet.initial_state_shas() != shas
    again = fleet.load(planned, [0] * NUM_ENVS)
    assert fleet.initial_state_shas() == shas
    for name, value in vars(again).items():
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(value, getattr(first, name), rtol=0, atol=0, msg=name)


def test_how_deep_pads_sink_in_is_taken_from_every_substep(fleet, device: str):
    from isaaclab_newton.physics.newton_manager import NewtonManager

    from flow_rag_vla.tasks.physics.sensing_solver import lasting_depths

    fleet.load(scenarios(with_faults=False), [0] * NUM_ENVS)
    expert = ScriptedExpert(NUM_ENVS, device)
    expert.reset(torch.arange(NUM_ENVS, device=device), ExpertPlan.nominal(NUM_ENVS, device, fleet.task))
    for _ in range(110):
        fleet.step(expert.act(fleet.observe()))
    solver = NewtonManager._solver
    depths = solver._depths_by_substep()
    assert depths.shape == (NUM_ENVS, NUM_SUBSTEPS, 1)
    carried = fleet.observe().grip_force_n[:, 0] > 5.0
    assert carried.any()
    assert (depths[carried] > 0.0).all()
    lasting, peak = solver.depths(), solver.peak_depths()
    torch.testing.assert_close(lasting, lasting_depths(depths.cpu(), solver._dt).to(device))
    assert (lasting <= peak).all()
    assert (fleet.truth.penetration_m[carried] >= lasting[carried, 0]).all()
    assert (fleet.truth.penetration_m < 0.002).all()
