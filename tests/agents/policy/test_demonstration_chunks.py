"""Chunks: they end with their episode, and start only where nothing disturbed them."""

from __future__ import annotations

import torch

from flow_rag_vla.agents.policy.demonstration_set import DemonstrationSet
from flow_rag_vla.agents.policy.features import NUM_POLICY_FEATURES
from flow_rag_vla.agents.policy.instruction_encoder import INSTRUCTION_DIM


def _two_episodes() -> DemonstrationSet:
    """Episodes of 4 and 3 steps whose actions count 0, 1, 2, ...; step 2 was disturbed."""
    rng = torch.Generator().manual_seed(0)
    return DemonstrationSet(
        features=torch.randn(7, NUM_POLICY_FEATURES, generator=rng),
        actions=torch.arange(7.0).reshape(7, 1).expand(7, 7).clone() * 1e-3,
        last_step=torch.tensor([3, 3, 3, 3, 6, 6, 6]),
        disturbed=torch.tensor([False, False, True, False, False, False, False]),
        task=torch.tensor([0, 0, 0, 0, 1, 1, 1]),
        tasks=("PickPlace", "Stack"),
        instruction=torch.tensor([0, 0, 0, 0, 1, 1, 1]),
        instruction_texts=("pick it up", "stack it"),
        instruction_embeddings=torch.eye(2, INSTRUCTION_DIM),
    )


def test_the_last_action_repeats_past_the_end_of_an_episode():
    chunks = _two_episodes().chunks(torch.tensor([2, 5]), 3)
    assert (chunks[:, :, 0] * 1e3).round().tolist() == [[2, 3, 3], [5, 6, 6]]


def test_chunks_start_only_where_the_horizon_ran_as_demonstrated():
    data = _two_episodes()
    assert data.starts(1).tolist() == [0, 1, 3, 4, 5, 6]
    assert data.starts(2).tolist() == [0, 3, 4, 5, 6]
    assert data.starts(9).tolist() == [3, 4, 5, 6]
