"""Made-up demonstrations."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from flow_rag_vla.agents.policy.demonstration_set import DemonstrationSet
from flow_rag_vla.agents.policy.features import NUM_POLICY_FEATURES
from flow_rag_vla.agents.policy.instruction_encoder import INSTRUCTION_DIM
from flow_rag_vla.tasks.contract import ACTION_DIM

STEPS = 12
"""Of every made-up episode."""


def make_demonstrations(episodes: dict[str, int], seed: int = 0) -> DemonstrationSet:
    """So many episodes of ``STEPS`` steps of each task, features and actions drawn at random."""
    rng = torch.Generator().manual_seed(seed)
    counts = torch.tensor(list(episodes.values()))
    num_steps = int(counts.sum()) * STEPS
    task = torch.arange(len(episodes)).repeat_interleave(counts * STEPS)
    step = torch.arange(num_steps)
    return DemonstrationSet(
        features=torch.randn(num_steps, NUM_POLICY_FEATURES, generator=rng),
        actions=torch.randn(num_steps, ACTION_DIM, generator=rng) * 0.01,
        last_step=step // STEPS * STEPS + STEPS - 1,
        disturbed=torch.zeros(num_steps, dtype=torch.bool),
        task=task,
        tasks=tuple(episodes),
        instruction=task,
        instruction_texts=tuple(f"do {name}" for name in episodes),
        instruction_embeddings=torch.eye(len(episodes), INSTRUCTION_DIM),
        layout_seeds=frozenset({0}),
    )


@pytest.fixture
def demonstrations() -> Callable[..., DemonstrationSet]:
    """``make_demonstrations``."""
    return make_demonstrations
