from __future__ import annotations

import torch

from flow_rag_vla.agents.recall import pooling
from flow_rag_vla.agents.recall.pooling import weighted_sum


def test_each_query_sums_what_its_neighbours_know_by_weight():
    values = torch.tensor([[[0.0, 0.0]], [[1.0, 2.0]], [[10.0, 20.0]]])
    weight = torch.tensor([[0.5, 0.25], [1.0, 0.0]])
    place = torch.tensor([[1, 2], [2, 0]])
    assert weighted_sum(weight, values, place).tolist() == [[[3.0, 6.0]], [[10.0, 20.0]]]


def test_no_queries_give_no_sums():
    sums = weighted_sum(torch.zeros(0, 3), torch.ones(4, 2, 5), torch.zeros(0, 3, dtype=torch.long))
    assert sums.shape == (0, 2, 5)


def test_bits_depend_neither_on_the_batch_nor_on_the_order_of_neighbours(monkeypatch):
    rng = torch.Generator().manual_seed(3)
    weight = torch.rand(300, 32, generator=rng)
    counts = torch.randint(0, 500, (1000, 25, 2), generator=rng).float()
    values = torch.cat([counts, torch.rand(1000, 25, 2, generator=rng)], dim=1)
    place = torch.randint(0, 1000, (300, 32), generator=rng)
    together = weighted_sum(weight, values, place)
    alone = torch.cat([weighted_sum(weight[i : i + 1], values, place[i : i + 1]) for i in range(300)])
    assert torch.equal(together, alone)
    turned = weighted_sum(weight.flip(1), values, place.flip(1))
    assert torch.equal(together, turned)
    monkeypatch.setattr(pooling, "_BLOCK", 7)
    assert torch.equal(together, weighted_sum(weight, values, place))
