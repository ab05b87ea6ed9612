from __future__ import annotations

import pytest
import torch

from flow_rag_vla.agents.corrections.steering import STEERING, blend, negative, strength_of, warm_start
from flow_rag_vla.agents.corrections.steering.blend import ALPHA
from flow_rag_vla.agents.corrections.steering.negative import expected_chunk
from flow_rag_vla.agents.corrections.steering.support import off_support
from flow_rag_vla.agents.policy.flow_matching import FlowMatching, FlowMatchingCfg
from flow_rag_vla.agents.policy.velocity_network import VelocityNetworkCfg

SOFT, FIRM = -0.25, -0.75


@pytest.fixture(scope="module")
def two_modes():
    """A flow trained on chunks of one action whose grip is soft (75 %) or firm (25 %), and nothing between."""
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(1)
    cfg = FlowMatchingCfg(VelocityNetworkCfg(state_dim=4, horizon=1, hidden_dim=48, num_layers=2), ode_steps=10)
    flow = FlowMatching(cfg)
    mean, std = torch.zeros(7), torch.ones(7)
    mean[6], std[6] = 0.75 * SOFT + 0.25 * FIRM, 0.22
    flow.set_action_statistics(mean, std)
    optimiser = torch.optim.Adam(flow.parameters(), lr=3e-3)
    for _ in range(400):
        firm = torch.rand(256, generator=rng) < 0.25
        a_1 = torch.zeros(256, 1, 7)
        a_1[:, 0, 6] = torch.where(firm, FIRM, SOFT)
        a_0 = torch.randn(256, 1, 7, generator=rng)
        loss = flow.compute_loss(torch.zeros(256, 4), a_0, a_1, generator=rng)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return flow.eval()


@pytest.fixture
def batch(two_modes):
    rng = torch.Generator().manual_seed(2)
    state, noise = torch.zeros(400, 4), torch.randn(400, 1, 7, generator=rng)
    return state, noise, two_modes.generate(state, noise)


def chunk_of(grip, n=400):
    chunk = torch.zeros(n, 1, 7)
    chunk[..., 6] = grip
    return chunk


def share(chunk, grip):
    return ((chunk[:, 0, 6] - grip).abs() < 0.12).float().mean().item()


def test_the_unsteered_flow_shows_both_modes_in_their_shares(batch):
    _, _, base = batch
    assert share(base, SOFT) == pytest.approx(0.75, abs=0.08)
    assert share(base, FIRM) == pytest.approx(0.25, abs=0.08)


def test_a_warm_start_selects_the_mode_of_the_correction(two_modes, batch):
    state, noise, _ = batch
    firm = warm_start(two_modes, state, noise, chunk_of(FIRM), torch.full((400,), 0.8))
    soft = warm_start(two_modes, state, noise, chunk_of(SOFT), torch.full((400,), 0.8))
    assert share(firm, FIRM) > 0.97
    assert share(soft, SOFT) > 0.97


def test_a_stronger_warm_start_selects_more(two_modes, batch):
    state, noise, _ = batch
    shares = [
        share(warm_start(two_modes, state, noise, chunk_of(FIRM), torch.full((400,), s)), FIRM) for s in (0.1, 0.4, 0.7)
    ]
    assert shares == sorted(shares)
    assert shares[0] < shares[-1]


def test_a_warm_start_pulls_an_impossible_correction_onto_the_support(two_modes, batch):
    state, noise, base = batch
    between = chunk_of((SOFT + FIRM) / 2)
    warm = warm_start(two_modes, state, noise, between, torch.full((400,), 0.4))
    blended = blend(two_modes, state, noise, chunk_of(FIRM), torch.ones(400))
    soft_rows = (base[:, 0, 6] - SOFT).abs() < 0.12
    assert share(warm, SOFT) + share(warm, FIRM) > 0.9
    # The average of soft and firm is neither.
    assert share(blended[soft_rows], SOFT) + share(blended[soft_rows], FIRM) < 0.1


def test_the_average_of_two_modes_is_off_the_support_and_a_rare_mode_is_not(two_modes, batch):
    state, noise, base = batch
    soft_rows = (base[:, 0, 6] - SOFT).abs() < 0.12
    warm = warm_start(two_modes, state, noise, chunk_of(FIRM), torch.full((400,), 0.8))
    between = base.clone()
    between[..., 6] = (SOFT + FIRM) / 2
    shares = [
        off_support(two_modes, state[soft_rows], noise[soft_rows], chunk[soft_rows]).float().mean().item()
        for chunk in (base, warm, between)
    ]
    assert max(shares[:2]) < 0.3
    assert shares[2] > 0.7


def test_the_blend_is_the_guides_weighted_mean(two_modes, batch):
    state, noise, base = batch
    blended = blend(two_modes, state, noise, chunk_of(FIRM), torch.full((400,), 0.01))
    torch.testing.assert_close(blended, (1 - ALPHA) * base + ALPHA * chunk_of(FIRM))


def test_negative_guidance_leaves_the_failed_mode_for_the_other(two_modes, batch):
    state, noise, base = batch
    away = negative(two_modes, state, noise, chunk_of(SOFT), torch.ones(400))
    assert share(away, FIRM) > share(base, FIRM) + 0.2


@pytest.mark.parametrize("method", STEERING)
def test_rows_without_strength_keep_every_bit(two_modes, batch, method):
    state, noise, base = batch
    strength = torch.zeros(400)
    strength[::3] = 0.7
    correction = chunk_of(FIRM)
    correction[1::3] = float("nan")
    steered = STEERING[method](two_modes, state, noise, correction, strength)
    assert torch.equal(steered[strength == 0], base[strength == 0])
    assert not torch.equal(steered[strength > 0], base[strength > 0])
    assert torch.isfinite(steered).all()
    with_base = STEERING[method](two_modes, state, noise, correction, strength, base)
    assert torch.equal(with_base, steered)


@pytest.mark.parametrize("method", STEERING)
def test_a_steered_row_does_not_depend_on_which_other_rows_are_steered(two_modes, batch, method):
    state, noise, _ = batch
    some, all_rows = torch.zeros(400), torch.full((400,), 0.5)
    some[:7] = 0.5
    a = STEERING[method](two_modes, state, noise, chunk_of(FIRM), some)
    b = STEERING[method](two_modes, state, noise, chunk_of(FIRM), all_rows)
    assert torch.equal(a[:7], b[:7])


def test_one_strength_a_row_is_asked_for(two_modes, batch):
    state, noise, _ = batch
    with pytest.raises(ValueError, match="strength"):
        warm_start(two_modes, state, noise, chunk_of(FIRM), torch.ones(3))


def test_a_strength_is_from_zero_to_one_and_grows_with_the_reliability():
    strength = strength_of(torch.tensor([-0.5, 0.0, 0.0625, 1.0, 1.5]))
    assert strength.tolist() == pytest.approx([0.0, 0.0, 0.5, 1.0, 1.0])


def test_a_warm_start_of_full_strength_leaves_the_flow_a_last_stretch_that_mends_an_impossible_correction(
    two_modes, batch
):
    state, noise, _ = batch
    between = (SOFT + FIRM) / 2
    warm = warm_start(two_modes, state, noise, chunk_of(between), torch.ones(400))
    assert (warm[:, 0, 6] - between).abs().mean() > 0.05
    assert share(warm, SOFT) + share(warm, FIRM) > 0.5


def test_the_memorys_expectation_is_exact_at_both_ends_of_the_path():
    chunks = torch.tensor([1.0, -1.0]).reshape(1, 2, 1, 1).expand(1, 2, 1, 7)
    weights = torch.tensor([[3.0, 1.0]])
    x = torch.full((1, 1, 7), 0.9)
    # At t = 0 the state says nothing: the weighted mean.  At t = 1 the state is the chunk.
    start = expected_chunk(x, torch.zeros(1, 1), chunks, weights, bandwidth=0.5)
    torch.testing.assert_close(start, torch.full_like(x, 0.5))
    end = expected_chunk(x, torch.ones(1, 1), chunks, weights, bandwidth=0.5)
    torch.testing.assert_close(end, x)


def test_one_remembered_gaussian_gives_its_conditional_mean():
    a, h, t = 0.4, 0.5, 0.6
    x = torch.full((1, 1, 7), 0.7)
    # x = (1 - t) e + t c with c ~ N(a, h^2): the regression of c on x.
    slope = t * h**2 / ((1 - t) ** 2 + t**2 * h**2)
    found = expected_chunk(x, torch.full((1, 1), t), torch.full((1, 1, 1, 7), a), torch.ones(1, 1), h)
    torch.testing.assert_close(found, torch.full_like(x, a + slope * (0.7 - t * a)))
