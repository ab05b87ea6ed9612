"""Whether a chunk is one that the flow could have made, on a flow that was never trained."""

from __future__ import annotations

import pytest
import torch

from flow_rag_vla.agents.corrections.steering.support import (
    LOOKS_EVERY,
    SteeredChunks,
    SupportCount,
    misfit,
    num_compared,
    off_support,
)
from flow_rag_vla.agents.policy.flow_matching import FlowMatching, FlowMatchingCfg
from flow_rag_vla.agents.policy.velocity_network import VelocityNetworkCfg

HORIZON, STATE_DIM = 4, 8
SHARE = 1 / 14


@pytest.fixture(scope="module", params=["velocity", "chunk"])
def flow(request: pytest.FixtureRequest) -> FlowMatching:
    torch.manual_seed(0)
    network = VelocityNetworkCfg(state_dim=STATE_DIM, horizon=HORIZON, hidden_dim=16, num_layers=1)
    made = FlowMatching(FlowMatchingCfg(network, ode_steps=2, prediction=request.param)).eval()
    for weights in made.parameters():  # adaLN blocks begin without a condition
        torch.nn.init.normal_(weights, std=0.2)
    # Chunks far within the action limits, which would make many of them alike.
    made.set_action_statistics(torch.zeros(7), torch.full((7,), 1e-4))
    return made


def drawn(n: int, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, STATE_DIM, generator=rng), torch.randn(n, HORIZON, 7, generator=rng)


@pytest.mark.parametrize(("numbers", "count"), [(112, 16), (56, 14), (28, 14), (7, 7), (1, 1)])
def test_noise_is_rolled_into_as_many_even_parts_as_it_has(numbers: int, count: int):
    assert num_compared(numbers) == count


def test_of_chunks_that_nothing_steered_one_in_as_many_as_are_compared_is_off(flow):
    n = 4000
    state, noise = drawn(n)
    off = off_support(flow, state, noise, flow.generate(state, noise))
    # Three standard deviations of a count.
    assert off.float().mean().item() == pytest.approx(SHARE, abs=3 * (SHARE * (1 - SHARE) / n) ** 0.5)


def test_what_the_flow_never_makes_is_off_in_every_row_whatever_its_block(flow):
    state, noise = drawn(600)
    far = flow.generate(state, noise) + 100.0 * flow.action_std
    assert off_support(flow, state, noise, far).all()


def test_an_entry_that_is_no_number_is_not_called_off(flow):
    state, noise = drawn(2)
    chunk = flow.generate(state, noise) + 100.0 * flow.action_std
    chunk[0, 0, 0] = torch.nan
    assert off_support(flow, state, noise, chunk).tolist() == [False, True]


def test_a_chunk_that_is_not_finite_is_not_looked_at(flow):
    state, noise = drawn(2)
    chunk = flow.generate(state, noise) + 100.0 * flow.action_std
    chunk[0, 0, 0] = torch.nan
    count = SupportCount(2)
    count.decided(SteeredChunks(state, noise, chunk, torch.tensor([True, True])), torch.tensor([True, True]))
    count.look(flow)
    assert (count.steered.tolist(), count.off_support.tolist()) == ([0, 1], [0, 1])


def test_steered_rows_of_running_episodes_are_counted_at_every_third_decision(flow):
    state, noise = drawn(4)
    chunk = flow.generate(state, noise)
    chunk[:3] += 100.0 * flow.action_std
    chunk[3] = best_fitting(flow, state[3:])
    steered = SteeredChunks(state, noise, chunk, torch.tensor([True, False, True, True]))
    running = torch.tensor([True, True, False, True])
    count = SupportCount(4)
    for _ in range(2 * LOOKS_EVERY):
        count.decided(steered, running)
        count.look(flow)
        count.look(flow)
    assert (count.steered.tolist(), count.off_support.tolist()) == ([2, 0, 0, 2], [2, 0, 0, 0])
    count.reset()
    count.decided(None, running)
    count.look(flow)
    assert (count.steered.tolist(), count.off_support.tolist()) == ([0] * 4, [0] * 4)


def best_fitting(flow: FlowMatching, state: torch.Tensor) -> torch.Tensor:
    """(horizon, 7): that of 300 of the flow's own chunks for ``state`` (1, state_dim) which fits best."""
    _, noise = drawn(300, seed=7)
    with torch.no_grad():
        own = flow.generate(state.expand(300, -1), noise)
        return own[misfit(flow, state.expand(300, -1), own).argmin()]
