from __future__ import annotations

import pytest
import torch

from flow_rag_vla.agents.policy.flow_matching import FlowMatching, FlowMatchingCfg, limit_actions
from flow_rag_vla.agents.policy.velocity_network import VelocityNetworkCfg
from flow_rag_vla.tasks.contract import MAX_DELTA_POS_M, MAX_DELTA_ROT_RAD


@pytest.fixture
def flow():
    torch.manual_seed(0)
    velocity = VelocityNetworkCfg(state_dim=4, hidden_dim=16, num_layers=1)
    flow = FlowMatching(FlowMatchingCfg(velocity, prediction="velocity")).eval()
    torch.nn.init.normal_(flow.get_parameter("velocity_net.net.output.weight"), std=0.1)
    return flow


def constant_velocity(flow, value):
    """Make the network answer ``value`` everywhere."""
    torch.nn.init.zeros_(flow.get_parameter("velocity_net.net.output.weight"))
    torch.nn.init.constant_(flow.get_parameter("velocity_net.net.output.bias"), value)


def test_the_loss_is_the_squared_distance_to_the_straight_velocity(flow):
    constant_velocity(flow, 0.5)
    a_0, a_1 = torch.zeros(3, 8, 7), torch.full((3, 8, 7), 2.0)
    assert flow.compute_loss(torch.zeros(3, 4), a_0, a_1).item() == pytest.approx((2.0 - 0.5) ** 2)


def test_the_loss_compares_normalised_chunks(flow):
    constant_velocity(flow, 0.0)
    flow.set_action_statistics(torch.full((7,), 1.0), torch.full((7,), 0.5))
    loss = flow.compute_loss(torch.zeros(1, 4), torch.zeros(1, 8, 7), torch.full((1, 8, 7), 2.0))
    assert loss.item() == pytest.approx(4.0)


def test_padded_steps_do_not_count_in_the_loss(flow):
    constant_velocity(flow, 0.0)
    a_1 = torch.ones(1, 8, 7)
    a_1[:, 4:] = 100.0
    weight = torch.tensor([1.0] * 4 + [0.0] * 4).reshape(1, 8, 1)
    assert flow.compute_loss(torch.zeros(1, 4), torch.zeros(1, 8, 7), a_1, weight=weight).item() == pytest.approx(1.0)


def test_the_generator_decides_the_times_of_the_loss(flow):
    batch = torch.randn(16, 4), torch.randn(16, 8, 7), torch.randn(16, 8, 7)

    def loss(seed):
        return flow.compute_loss(*batch, generator=torch.Generator().manual_seed(seed)).item()

    assert loss(1) == loss(1)
    assert loss(1) != loss(2)


def test_generation_integrates_from_the_noise_and_returns_units_of_the_action(flow):
    constant_velocity(flow, 1.0)
    mean, std = torch.full((7,), 0.001), torch.full((7,), 0.002)
    flow.set_action_statistics(mean, std)
    chunk = flow.generate(torch.zeros(2, 4), torch.zeros(2, 8, 7))
    # Noise 0 moves by 1; the grip's deviation is kept at 0.05 or more, that of turns at 0.005.
    torch.testing.assert_close(chunk[0, 0], torch.tensor([0.003] * 3 + [0.006] * 3 + [0.051]))


def test_generation_draws_noise_from_the_generator_and_never_starts_at_zero(flow):
    state = torch.zeros(2, 4)
    one = flow.generate(state, generator=torch.Generator().manual_seed(1))
    assert torch.equal(one, flow.generate(state, generator=torch.Generator().manual_seed(1)))
    assert not torch.equal(one, flow.generate(state, generator=torch.Generator().manual_seed(2)))
    with pytest.raises(ValueError, match="generator"):
        flow.generate(state)


def test_noise_of_the_wrong_horizon_is_refused(flow):
    with pytest.raises(ValueError, match="expected \\(2, 8, 7\\)"):
        flow.generate(torch.zeros(2, 4), torch.zeros(2, 4, 7))


def test_a_late_start_leaves_less_to_integrate(flow):
    constant_velocity(flow, 0.001)
    chunk = flow.generate(torch.zeros(2, 4), torch.zeros(2, 8, 7), t0=torch.tensor([0.0, 0.75]))
    torch.testing.assert_close(chunk[:, 0, 0], torch.tensor([0.001, 0.00025]))


def test_chunks_stay_within_the_action_limits():
    chunk = limit_actions(torch.full((2, 8, 7), 3.0))
    torch.testing.assert_close(chunk[..., :3].norm(dim=-1), torch.full((2, 8), MAX_DELTA_POS_M))
    torch.testing.assert_close(chunk[..., 3:6].norm(dim=-1), torch.full((2, 8), MAX_DELTA_ROT_RAD))
    assert torch.equal(chunk[..., 6], torch.ones(2, 8))
    small = torch.full((1, 1, 7), 1e-3)
    torch.testing.assert_close(limit_actions(small), small)


def test_impossible_settings_are_refused(flow):
    with pytest.raises(ValueError, match="available: euler"):
        FlowMatching(FlowMatchingCfg(solver="rk45"))
    with pytest.raises(ValueError, match="ode_steps"):
        FlowMatching(FlowMatchingCfg(ode_steps=0))
    with pytest.raises(ValueError, match="finite"):
        flow.set_action_statistics(torch.full((7,), float("nan")), torch.ones(7))


def test_a_network_that_predicts_chunks_is_trained_on_chunks_and_flows_to_them():
    velocity = VelocityNetworkCfg(state_dim=4, hidden_dim=16, num_layers=1)
    flow = FlowMatching(FlowMatchingCfg(velocity, prediction="chunk")).eval()
    constant_velocity(flow, 0.004)
    a_0, a_1 = torch.ones(3, 8, 7), torch.full((3, 8, 7), 2.0)
    assert flow.compute_loss(torch.zeros(3, 4), a_0, a_1).item() == pytest.approx((2.0 - 0.004) ** 2)
    # v = (0.004 - x) / (1 - t) points at the chunk from everywhere, so any number of Euler steps ends there.
    for steps in (1, 2, 5):
        chunk = flow.generate(torch.zeros(1, 4), torch.full((1, 8, 7), 0.5), steps=steps)
        torch.testing.assert_close(chunk, torch.full((1, 8, 7), 0.004))


def test_an_unknown_prediction_is_refused():
    with pytest.raises(ValueError, match="available: velocity, chunk"):
        FlowMatching(FlowMatchingCfg(prediction="noise"))


def test_other_solver_steps_are_another_policy_with_the_same_weights(flow):
    other = flow.with_steps(9)
    assert (flow.cfg.ode_steps, other.cfg.ode_steps) == (5, 9)
    pairs = zip(flow.parameters(), other.parameters(), strict=True)
    assert all(ours is theirs for ours, theirs in pairs)
    with pytest.raises(ValueError, match="ode_steps is 0, expected at least 1"):
        flow.with_steps(0)
