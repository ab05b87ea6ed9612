"""Training data: chunks end with their episode, and start only where nothing disturbed them."""

from __future__ import annotations

import pytest
import torch

from flow_rag_vla.agents.demonstration_set import DemonstrationSet, load_demonstrations
from flow_rag_vla.agents.features import NUM_POLICY_FEATURES
from flow_rag_vla.agents.training import TrainingCfg, train_policy


def _two_episodes() -> DemonstrationSet:
    """Episodes of 4 and 3 steps whose actions count 0, 1, 2, ...; step 2 was disturbed."""
    rng = torch.Generator().manual_seed(0)
    return DemonstrationSet(
        features=torch.randn(7, NUM_POLICY_FEATURES, generator=rng),
        actions=torch.arange(7.0).reshape(7, 1).expand(7, 7).clone() * 1e-3,
        last_step=torch.tensor([3, 3, 3, 3, 6, 6, 6]),
        disturbed=torch.tensor([False, False, True, False, False, False, False]),
    )


def test_the_last_action_repeats_past_the_end_of_an_episode():
    chunks = _two_episodes().chunks(torch.tensor([2, 5]), 3)
    assert (chunks[:, :, 0] * 1e3).round().tolist() == [[2, 3, 3], [5, 6, 6]]


def test_chunks_start_only_where_the_horizon_ran_as_demonstrated():
    data = _two_episodes()
    assert data.starts(1).tolist() == [0, 1, 3, 4, 5, 6]
    assert data.starts(2).tolist() == [0, 3, 4, 5, 6]
    assert data.starts(9).tolist() == [3, 4, 5, 6]


def test_the_same_seed_gives_the_same_weights_and_another_does_not():
    def weights(seed: int) -> torch.Tensor:
        cfg = TrainingCfg(horizon=2, hidden_dim=16, num_layers=1, encoder_dim=16, iterations=3, batch_size=4, seed=seed)
        checkpoint, _ = train_policy(_two_episodes(), cfg)
        return torch.cat([p.flatten() for p in checkpoint.flow.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_no_demonstrations_is_a_clear_error(tmp_path):
    with pytest.raises(ValueError, match=r"no demonstrations in .*collect_demos\.py"):
        load_demonstrations(tmp_path)
