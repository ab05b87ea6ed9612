"""What random network distillation finds odd, and chunk distances with known values."""

from __future__ import annotations

import pytest
import torch

from flow_rag_vla.agents.detection.chunk_consistency import ChunkConsistency, energy_distance
from flow_rag_vla.agents.detection.novelty import RandomNetworkDistillation


def test_distillation_scores_what_it_never_saw_higher():
    rng = torch.Generator().manual_seed(0)
    seen = torch.randn(500, 4, generator=rng) * torch.tensor([1.0, 1.0, 0.1, 5.0])
    network = RandomNetworkDistillation(4, hidden_dim=32, output_dim=8)
    network.fit(seen, rng, iterations=400, batch=64)
    network.requires_grad_(False)
    odd = seen + torch.tensor([0.0, 0.0, 0.5, 0.0])
    assert float(network(odd).median()) > 5 * float(network(seen).median())


def test_distillation_draws_from_its_own_seed_alone():
    before = torch.random.get_rng_state()
    first, second = RandomNetworkDistillation(3, 8, 4, seed=1), RandomNetworkDistillation(3, 8, 4, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    other = RandomNetworkDistillation(3, 8, 4, seed=2)
    assert not torch.equal(next(first.target.parameters()), next(other.target.parameters()))
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_energy_distance_of_two_points_is_twice_their_distance():
    x, y = torch.zeros(1, 3, 2), torch.tensor([3.0, 4.0]).expand(1, 5, 2)
    assert energy_distance(x, y).item() == pytest.approx(10.0)
    assert energy_distance(y, y).item() == pytest.approx(0.0)


def test_the_energy_distance_does_not_mind_two_ways_but_one_that_vanished():
    two_ways = torch.tensor([[-1.0], [1.0]]).repeat(4, 1).unsqueeze(0)
    one_way = torch.ones(1, 8, 1)
    assert energy_distance(two_ways, two_ways).item() == pytest.approx(0.0)
    # 2 * 1 - 1 - 0: half the pairs are 2 apart, across and within.
    assert energy_distance(two_ways, one_way).item() == pytest.approx(1.0)


def test_a_chunk_that_goes_on_as_planned_is_consistent():
    consistency = ChunkConsistency(execute=2)
    plan = torch.arange(6.0).reshape(1, 1, 6, 1)
    zero, _ = consistency.update(plan[:, :, :4])
    single, energy = consistency.update(plan[:, :, 2:])
    assert (zero.item(), single.item(), energy.item()) == (0.0, 0.0, 0.0)


def test_a_chunk_that_departs_from_its_plan_is_not():
    consistency = ChunkConsistency(execute=2)
    consistency.update(torch.zeros(1, 1, 4, 1))
    single, energy = consistency.update(torch.full((1, 1, 4, 1), 3.0))
    assert single.item() == pytest.approx(9.0)
    # Two overlapping actions 3 apart each: 2 * sqrt(18).
    assert energy.item() == pytest.approx(2 * 18**0.5)


def test_a_new_episode_has_no_plan_to_depart_from():
    consistency = ChunkConsistency(execute=1)
    consistency.update(torch.zeros(1, 1, 2, 1))
    consistency.reset()
    assert consistency.update(torch.ones(1, 1, 2, 1))[0].item() == 0.0
