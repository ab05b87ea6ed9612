"""Sequential and parallel arms differ as the clock says: one waits for the memory, the other takes it when it comes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from flow_rag_vla.agents.arms.arm import Arm
from flow_rag_vla.agents.arms.catalogue import FLOW_ONLY, PARALLEL, SEQUENTIAL
from flow_rag_vla.agents.arms.settings import AgentSettings, ArmSettings
from flow_rag_vla.agents.corrections.corrections import CANDIDATE_NAMES
from flow_rag_vla.agents.fleet_agent import FleetAgent
from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
from flow_rag_vla.agents.policy.encoders import LearnedStateEncoder, LearnedStateEncoderCfg, RetrievalEncoder
from flow_rag_vla.agents.policy.flow_matching import FlowMatching, FlowMatchingCfg
from flow_rag_vla.agents.policy.velocity_network import VelocityNetworkCfg
from flow_rag_vla.agents.recall.new_memory import new_memory
from flow_rag_vla.memory.case import FailureCase
from flow_rag_vla.memory.failure_memory import FailureMemory
from flow_rag_vla.tasks.contract import OBSERVATION_WIDTHS

HORIZON, EXECUTE = 8, 4
DECISIONS = 3


@pytest.fixture
def policy(instructions) -> PolicyCheckpoint:
    """A small policy of random weights: an untrained one answers every state alike."""
    encoder = LearnedStateEncoder(LearnedStateEncoderCfg(hidden_dim=16), instructions).eval()
    flow = FlowMatching(FlowMatchingCfg(VelocityNetworkCfg(horizon=HORIZON, hidden_dim=16, num_layers=1))).eval()
    rng = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in flow.parameters():
            weight.copy_(0.3 * torch.randn(weight.shape, generator=rng))
    return PolicyCheckpoint(encoder, flow)


def settings(flow_ms: float, retrieval_ms: float) -> ArmSettings:
    return ArmSettings(AgentSettings(execute=EXECUTE), flow_ms=flow_ms, retrieval_ms=retrieval_ms)


def memory_of(observation, candidate: str) -> FailureMemory:
    """One case in ``observation``'s state, sure of its correction."""
    prior = np.full((len(CANDIDATE_NAMES), 2), 1.0, dtype=np.float32)
    prior[CANDIDATE_NAMES.index(candidate), 0] = 9.0
    memory = new_memory(settings(0.0, 0.0), HORIZON)
    chunk = np.zeros((HORIZON, 7), dtype=np.float32)
    keys = RetrievalEncoder().encode(observation).numpy()
    memory.add([FailureCase(keys, chunk, "drop", chunk, "carry", "here", prior)])
    return memory.frozen()


def decided(arm: Arm, policy, observation, retrieval_ms: float):
    """The chunks of ``DECISIONS`` decisions in one unchanging state, and the agent's notes."""
    memory = memory_of(observation, "grip_up_4")
    agent = FleetAgent.for_arm(arm, policy, memory, settings(20.0, retrieval_ms), num_envs=1, max_steps=40)
    agent.reset(["noise"], [0])
    running = torch.ones(1, dtype=torch.bool)
    chunks = []
    for _ in range(DECISIONS):
        chunks.append(agent.decide(observation, running))
        agent.watch(observation, running)
    return chunks, agent.notes()


def test_a_retrieval_slower_than_the_flow_steers_parallel_one_decision_later_than_sequential(policy, carry):
    held = carry((0.5, 0.0, 0.1))
    plain, _ = decided(FLOW_ONLY, policy, held, 100.0)
    waits, waited = decided(SEQUENTIAL, policy, held, 100.0)
    beside, late = decided(PARALLEL, policy, held, 100.0)
    # Decisions begin every 133 ms: what was asked for at 0 ms and arrives at 100 ms is at hand in the second one.
    assert [torch.equal(a, b) for a, b in zip(beside, plain, strict=True)] == [True, False, False]
    assert [torch.equal(a, b) for a, b in zip(beside, waits, strict=True)] == [False, True, True]
    # The third decision has settled, and asks no more.
    assert (int(waited.late_retrievals[0]), int(late.late_retrievals[0])) == (0, DECISIONS - 1)
    assert (int(waited.retrievals[0]), int(late.retrievals[0])) == (DECISIONS, DECISIONS - 1)


@pytest.mark.parametrize("retrieval_ms", [100.0, 300.0])
def test_who_asks_beside_an_episode_changes_neither_its_chunks_nor_its_notes(policy, carry, retrieval_ms):
    held, elsewhere = carry((0.5, 0.0, 0.1)), carry((0.3, 0.4, 0.2))
    memory = memory_of(held, "grip_up_4")
    seen = []
    # The same episode beside one that settles as it does, and beside one that asks, and hears nothing, all the time.
    for other in (held, elsewhere):
        fields = {name: torch.cat([getattr(held, name), getattr(other, name)]) for name in OBSERVATION_WIDTHS}
        observation = dataclasses.replace(held, **fields, instruction=held.instruction * 2)
        agent = FleetAgent.for_arm(PARALLEL, policy, memory, settings(20.0, retrieval_ms), num_envs=2, max_steps=40)
        agent.reset(["noise", "other"], [0, 0])
        running = torch.ones(2, dtype=torch.bool)
        chunks = []
        for _ in range(6):
            chunks.append(agent.decide(observation, running)[0])
            agent.watch(observation, running)
        notes = agent.notes()
        seen.append((chunks, int(notes.late_retrievals[0]), int(notes.retrievals[0])))
    (settling, *counts), (asking, *counts_beside) = seen
    assert all(torch.equal(a, b) for a, b in zip(settling, asking, strict=True))
    assert counts == counts_beside
    assert counts[1] < 6


def test_a_retrieval_as_fast_as_the_flow_makes_them_the_same(policy, carry):
    held = carry((0.5, 0.0, 0.1))
    waits, waited = decided(SEQUENTIAL, policy, held, 20.0)
    beside, in_time = decided(PARALLEL, policy, held, 20.0)
    assert all(torch.equal(a, b) for a, b in zip(beside, waits, strict=True))
    assert dataclasses.asdict(waited).keys() == dataclasses.asdict(in_time).keys()
    assert int(in_time.late_retrievals[0]) == 0
