"""Away from what failed: real flow, keys and memory."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from flow_rag_vla.agents.arms.catalogue import PARALLEL, PARALLEL_NEGATIVE
from flow_rag_vla.agents.arms.settings import AgentSettings, ArmSettings
from flow_rag_vla.agents.corrections.corrections import CANDIDATES
from flow_rag_vla.agents.corrections.steering import negative, strength_of
from flow_rag_vla.agents.flow_rag_vla import FlowRAGVLA, Query
from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
from flow_rag_vla.agents.policy.encoders import LearnedStateEncoder, LearnedStateEncoderCfg, RetrievalEncoder
from flow_rag_vla.agents.policy.flow_matching import FlowMatching, FlowMatchingCfg
from flow_rag_vla.agents.policy.velocity_network import VelocityNetworkCfg
from flow_rag_vla.agents.recall.advice import Advice
from flow_rag_vla.agents.recall.failed_chunks import FailedChunks
from flow_rag_vla.agents.recall.new_memory import new_memory
from flow_rag_vla.memory.case import FailureCase
from flow_rag_vla.memory.failure_memory import FailureMemory

HORIZON = 4
SETTINGS = ArmSettings(AgentSettings(execute=4))
HEIGHTS_M = [0.03, 0.12, 0.30]
"""Of the hand above the table: where the failed chunk was decided, where its episode began, elsewhere."""


@pytest.fixture
def seen(observe):
    return observe(3, ee_pos_b=[[0.5, -0.27, height] for height in HEIGHTS_M])


def remembering(seen, chance: float) -> FailureMemory:
    """One failure, whose corrections work with ``chance``."""
    memory = new_memory(SETTINGS, HORIZON)
    keys = RetrievalEncoder().encode(seen).numpy()
    failed = np.full((HORIZON, 7), 0.01, dtype=np.float32)
    prior = np.full((len(CANDIDATES), 2), [99.0 * chance, 99.0 * (1.0 - chance)], dtype=np.float32)
    memory.add([FailureCase(keys[[1, 0]], failed, "drop", failed, "carry", "", prior)])
    return memory


def policy(instructions) -> PolicyCheckpoint:
    torch.manual_seed(3)
    encoder = LearnedStateEncoder(LearnedStateEncoderCfg(hidden_dim=16), instructions).eval()
    flow = FlowMatching(FlowMatchingCfg(VelocityNetworkCfg(horizon=HORIZON, hidden_dim=16, num_layers=1))).eval()
    return PolicyCheckpoint(encoder, flow)


def test_a_failed_chunk_is_known_where_it_was_decided_and_not_where_its_episode_began(seen):
    chunk, nearness = FailedChunks(remembering(seen, 0.1), RetrievalEncoder()).near(seen)
    assert nearness.tolist() == pytest.approx([1.0, 0.0, 0.0], abs=1e-5)
    assert chunk.flatten(1).amax(dim=1).tolist() == pytest.approx([0.01, 0.0, 0.0])


def test_an_empty_memory_and_a_state_that_is_no_number_know_nothing(seen):
    empty, _ = FailedChunks(new_memory(SETTINGS, HORIZON), RetrievalEncoder()).near(seen)
    assert empty.shape == (3, HORIZON, 7)
    broken = seen.ee_pos_b.clone()
    broken[0] = torch.nan
    _, nearness = FailedChunks(remembering(seen, 0.1), RetrievalEncoder()).near(
        dataclasses.replace(seen, ee_pos_b=broken)
    )
    assert nearness.tolist() == [0.0] * 3


def decided(arm, seen, instructions, chance: float, noise: torch.Tensor):
    model = FlowRAGVLA.for_arm(arm, policy(instructions), remembering(seen, chance), SETTINGS)
    return model, model.decide(Query(seen, noise, Advice.nothing(3)))


def test_chunks_are_steered_away_where_only_the_failure_is_known(seen, instructions):
    noise = torch.randn(3, HORIZON, 7, generator=torch.Generator().manual_seed(4))
    _, plain = decided(PARALLEL, seen, instructions, 0.1, noise)
    model, away = decided(PARALLEL_NEGATIVE, seen, instructions, 0.1, noise)
    assert [torch.equal(a, b) for a, b in zip(plain.chunk, away.chunk, strict=True)] == [False, True, True]
    assert away.corrected.tolist() == [True, False, False]
    assert away.steered is not None
    assert away.steered.rows.tolist() == [True, False, False]
    failed, strength = torch.full((3, HORIZON, 7), 0.01), strength_of(torch.tensor([1.0, 0.0, 0.0]))
    wanted = negative(model.flow, model.encoder.encode(seen), noise, failed, strength)
    torch.testing.assert_close(away.chunk, wanted)


def test_where_a_correction_is_advised_the_arm_is_parallel_bit_by_bit(seen, instructions):
    noise = torch.randn(3, HORIZON, 7, generator=torch.Generator().manual_seed(4))
    _, plain = decided(PARALLEL, seen, instructions, 0.9, noise)
    _, away = decided(PARALLEL_NEGATIVE, seen, instructions, 0.9, noise)
    assert plain.advice is not None
    assert plain.advice.given.tolist() == [True, True, False]
    assert torch.equal(plain.chunk, away.chunk)
