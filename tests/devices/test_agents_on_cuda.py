"""Whole episodes of every arm on a pretended CUDA device: nothing that an agent does mixes devices."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from pretended_cuda import on_cuda

from flow_rag_vla.agents.arms.arm import Arm
from flow_rag_vla.agents.arms.registry import all_arms, experts, get_arm
from flow_rag_vla.agents.corrections.corrections import CANDIDATES, apply_correction
from flow_rag_vla.agents.corrections.observation_correction import apply_observation_correction
from flow_rag_vla.agents.corrections.steering import STEERING
from flow_rag_vla.agents.flow_rag_vla import FlowRAGVLA
from flow_rag_vla.agents.policy.encoders import RetrievalEncoder
from flow_rag_vla.agents.policy.flow_matching import FlowMatching, FlowMatchingCfg
from flow_rag_vla.agents.policy.solvers import EVALUATIONS
from flow_rag_vla.agents.policy.velocity_network import VelocityNetworkCfg
from flow_rag_vla.agents.vision.asynchronous import AsynchronousEncoder
from flow_rag_vla.benchmark.episodes.actors import make_expert, make_policy_agent
from flow_rag_vla.benchmark.episodes.plan import Unit, first_attempts
from flow_rag_vla.benchmark.episodes.reworded import RewordedAgent
from flow_rag_vla.benchmark.episodes.rollout import run_batch
from flow_rag_vla.tasks.contract import FRONT_VIEW
from flow_rag_vla.tasks.scenarios.sites import make_site

NUM_ENVS, STEPS = 2, 5
PICTURE = (FRONT_VIEW.height, FRONT_VIEW.width)


@pytest.fixture
def fleet(cuda: str, fake_fleet):
    """Two environments that end after three and nine steps, if anybody could tell."""
    return fake_fleet(3, 9, max_episode_length=STEPS, device=cuda, picture_size=PICTURE)


def play(fleet, agent, arm: Arm):
    """One batch, shorter than the fleet."""
    site = make_site(0, "pick_place")
    episodes = first_attempts([site.scenario(10_000_000 + i) for i in range(NUM_ENVS - 1)])
    played = run_batch(fleet, agent, Unit(arm.name, 0, NUM_ENVS, tuple(episodes)), episodes, delay_ms=40.0)
    assert len(played.records) == NUM_ENVS - 1
    return played


@pytest.mark.parametrize("arm", all_arms(), ids=lambda arm: arm.name)
def test_every_arm_plays_and_remembers(arm: Arm, fleet, parts, memory):
    if arm in experts():
        play(fleet, make_expert(arm, fleet), arm)
        return
    played = play(fleet, make_policy_agent(arm, fleet, parts.policy, parts.settings, memory, remembers=True), arm)
    memory.add(list(played.failures.values()))


def test_an_agent_with_the_learned_detector_plays_and_remembers(fleet, parts, memory):
    arm = get_arm("parallel")
    play(fleet, make_policy_agent(arm, fleet, parts.policy, parts.learned_settings, memory, remembers=True), arm)


@pytest.mark.parametrize(("kind", "late"), [("cnn", False), ("cnn", True), ("dinov2", False)])
def test_an_agent_that_sees_plays(kind: str, late: bool, fleet, parts, networks, memory):
    arm = get_arm("parallel")
    network = on_cuda(networks[kind])
    encoder = AsynchronousEncoder(network) if late else network
    play(fleet, make_policy_agent(arm, fleet, parts.policy, parts.settings, memory, vision=encoder), arm)


def test_an_agent_that_is_told_other_words_plays(fleet, parts):
    arm = get_arm("flow_only")
    agent = make_policy_agent(arm, fleet, parts.policy, parts.settings)
    play(fleet, RewordedAgent(agent, ("do it",), NUM_ENVS), arm)


def test_the_models_own_interface_draws_remembers_and_speaks(fleet, parts, memory):
    encoder = RetrievalEncoder(device=fleet.device)
    model = FlowRAGVLA(parts.policy, None, memory=memory, key_encoder=encoder)
    before = fleet.load([], [])
    chunk = model(before, instruction="do it")
    assert chunk.shape == (NUM_ENVS, parts.policy.flow.horizon, 7)
    model.update_memory(before, fleet.observe(), chunk, fleet.done)
    model.processor.close()


def test_every_correction_changes_chunk_and_observation(fleet):
    seen = fleet.load([], [])
    chunk = torch.zeros(NUM_ENVS, 8, 7, device=fleet.device)
    for candidate in range(len(CANDIDATES)):
        chosen = torch.full((NUM_ENVS,), candidate, device=fleet.device)
        assert apply_correction(chosen, chunk, apply_observation_correction(chosen, seen)).device.type == "cuda"


@pytest.mark.parametrize(
    ("method", "solver"), [*((method, "euler") for method in STEERING), *(("warm_start", s) for s in EVALUATIONS)]
)
def test_every_steering_method_and_every_solver_of_fixed_steps_works(method: str, solver: str, parts):
    flow = parts.policy.flow
    flow.cfg = dataclasses.replace(flow.cfg, solver=solver)
    noise = flow.noise(NUM_ENVS, torch.Generator().manual_seed(0))
    state, strength = noise.new_zeros(NUM_ENVS, 512), noise.new_ones(NUM_ENVS)
    assert STEERING[method](flow, state, noise, torch.zeros_like(noise), strength).device.type == "cuda"


def test_the_guides_transformer_generates(cuda: str):
    cfg = VelocityNetworkCfg(kind="transformer", horizon=8, hidden_dim=16, num_layers=1)
    with torch.device(cuda):
        flow = FlowMatching(FlowMatchingCfg(cfg)).eval()
    noise = flow.noise(NUM_ENVS, torch.Generator().manual_seed(0))
    assert flow.generate(noise.new_zeros(NUM_ENVS, 512), noise).device.type == "cuda"
