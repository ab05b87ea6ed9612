from __future__ import annotations

import pytest
import torch

from flow_rag_vla.agents.policy.noise import NoiseTable, policy_noise


def filled(keys, max_decisions=6):
    table = NoiseTable(len(keys), max_decisions, horizon=8)
    table.reset(torch.arange(len(keys)), keys)
    return table


def test_the_table_holds_the_noise_that_its_keys_name():
    keys = [("a", 0), ("b", 0), ("a", 1)]
    table = filled(keys)
    for decision in (0, 5):
        found = table.draw(decision)
        assert torch.equal(found, policy_noise(keys, decision, horizon=8))


def test_noise_depends_neither_on_order_nor_on_batch():
    keys = [("a", 0), ("b", 0), ("c", 3)]
    forward, backward = policy_noise(keys, 2, 8), policy_noise(keys[::-1], 2, 8)
    assert torch.equal(forward, backward.flip(0))
    assert torch.equal(forward[1:2], policy_noise(keys[1:2], 2, 8))


def test_the_number_of_decisions_does_not_change_the_noise():
    assert torch.equal(filled([(7, 0)], 3).draw(0), filled([(7, 0)], 50).draw(0))


def test_streams_attempts_and_decisions_are_unrelated():
    a = policy_noise([("a", 0), ("a", 1), ("b", 0)], 0, 8).flatten(1)
    b = policy_noise([("a", 0)], 1, 8).flatten(1)
    rows = torch.cat([a, b])
    assert (torch.corrcoef(rows) - torch.eye(4)).abs().max() < 0.5


def test_noise_is_standard_normal():
    noise = policy_noise([(i, 0) for i in range(500)], 0, 8)
    assert noise.mean().item() == pytest.approx(0.0, abs=0.03)
    assert noise.std().item() == pytest.approx(1.0, abs=0.03)


def test_a_reset_touches_only_its_own_rows():
    table = filled([("a", 0), ("b", 0)])
    before = table.draw(0)
    table.reset(torch.tensor([1]), [("b", 1)])
    after = table.draw(0)
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[1], after[1])


def test_decisions_beyond_the_table_and_missing_keys_are_refused():
    table = filled([("a", 0)], 3)
    with pytest.raises(ValueError, match="holds 3"):
        table.draw(3)
    with pytest.raises(ValueError, match="one key for each"):
        table.reset(torch.tensor([0]), [])
