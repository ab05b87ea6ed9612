from __future__ import annotations

import pytest
import torch

from flow_rag_vla.agents.policy.velocity_network import KINDS, VelocityNetwork, VelocityNetworkCfg


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("horizon", [1, 8])
def test_every_network_maps_a_chunk_to_a_velocity_of_its_shape(kind, horizon):
    net = VelocityNetwork(VelocityNetworkCfg(kind=kind, horizon=horizon, hidden_dim=32, num_layers=2))
    velocity = net(torch.randn(5, 512), torch.randn(5, horizon, 7), torch.rand(5, 1))
    assert velocity.shape == (5, horizon, 7)


def test_the_adaptive_network_starts_at_zero_velocity():
    net = VelocityNetwork(VelocityNetworkCfg(hidden_dim=32))
    assert torch.count_nonzero(net(torch.randn(2, 512), torch.randn(2, 8, 7), torch.rand(2, 1))) == 0


def test_the_guides_network_has_its_77_7_million_parameters():
    with torch.device("meta"):
        net = VelocityNetwork(VelocityNetworkCfg.guide())
    # Time 1 051 648, state 527 360, action 10 240, six layers of 12 596 224, output 528 391.
    assert sum(p.numel() for p in net.parameters()) == 77_694_983


def test_transformer_layers_do_not_start_as_copies_of_each_other():
    net = VelocityNetwork(VelocityNetworkCfg(kind="transformer", hidden_dim=16, num_layers=2))
    first, second = (net.get_parameter(f"net.layers.{i}.linear1.weight") for i in range(2))
    assert not torch.equal(first, second)


def test_an_unknown_network_or_size_is_refused():
    with pytest.raises(ValueError, match="available: adaln, transformer"):
        VelocityNetwork(VelocityNetworkCfg(kind="unet"))
    with pytest.raises(ValueError, match="at least 1"):
        VelocityNetwork(VelocityNetworkCfg(horizon=0))
