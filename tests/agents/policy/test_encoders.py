from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from flow_rag_vla.agents.policy.encoders import (
    EMBEDDING_DIM,
    LearnedStateEncoder,
    RetrievalEncoder,
    RetrievalEncoderCfg,
)
from flow_rag_vla.agents.policy.features import NUM_RETRIEVAL_FEATURES, policy_features, retrieval_features
from flow_rag_vla.agents.policy.instruction_encoder import INSTRUCTION_DIM
from flow_rag_vla.agents.policy.instructions import InstructionTable

INSTRUCTION = "pick up the cube"


def random_observations(observe, n, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return observe(
        n,
        object_rgb=torch.rand(n, 3, generator=rng),
        object_pos_b=torch.rand(n, 3, generator=rng),
        goal_pos_b=torch.rand(n, 3, generator=rng),
        ee_pos_b=torch.rand(n, 3, generator=rng),
    )


def test_learned_embeddings_have_512_numbers(observe, instructions):
    assert LearnedStateEncoder(instructions=instructions).encode(observe(3)).shape == (3, EMBEDDING_DIM)


def test_encoding_an_observation_looks_up_its_instructions(observe, instructions):
    torch.manual_seed(0)
    encoder = LearnedStateEncoder(instructions=instructions)
    spoken = dataclasses.replace(random_observations(observe, 4), instruction=("stack it", INSTRUCTION) * 2)
    embeddings = instructions.embeddings[[1, 0, 1, 0]]
    torch.testing.assert_close(encoder.encode(spoken), encoder(policy_features(spoken), embeddings))


def test_the_same_state_under_another_instruction_is_another_embedding(observe, instructions):
    torch.manual_seed(0)
    encoder = LearnedStateEncoder(instructions=instructions)
    asked = encoder.encode(dataclasses.replace(observe(2), instruction=(INSTRUCTION, "stack it")))
    assert (asked[0] - asked[1]).abs().max() > 1e-3


def test_an_instruction_is_embedded_once_for_a_whole_fleet(observe):
    spoken = []
    known = InstructionTable(
        ["lift"],
        ["Lift"],
        torch.eye(1, INSTRUCTION_DIM),
        lambda t: spoken.append(t) or torch.eye(2, INSTRUCTION_DIM)[1],
    )
    encoder = LearnedStateEncoder(instructions=known)
    observation = dataclasses.replace(observe(1024), instruction=("heave",) * 1024)
    for _ in range(3):
        encoder.encode(observation)
    assert spoken == ["heave"]


def test_memory_keys_have_length_one(observe):
    keys = RetrievalEncoder().encode(random_observations(observe, 50))
    torch.testing.assert_close(keys.norm(dim=1), torch.ones(50))


def test_inner_products_of_keys_approximate_the_gaussian_kernel():
    encoder = RetrievalEncoder()
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(60, NUM_RETRIEVAL_FEATURES, generator=rng)
    y = x + 0.4 * encoder.length_scales.float() * torch.randn(x.shape, generator=rng)
    keys = encoder.embed(torch.cat([x, y]))
    error = keys @ keys.T - encoder.kernel(torch.cat([x, y]), torch.cat([x, y]))
    assert error.abs().max() < 5 / math.sqrt(EMBEDDING_DIM)
    assert error.square().mean().sqrt() < 1.1 / math.sqrt(EMBEDDING_DIM)


def test_the_kernel_falls_to_exp_minus_half_at_one_length_scale():
    encoder = RetrievalEncoder()
    x = torch.zeros(1, NUM_RETRIEVAL_FEATURES)
    y = x.clone()
    y[0, 0] = encoder.length_scales[0]
    assert encoder.kernel(x, y).item() == pytest.approx(math.exp(-0.5), abs=1e-6)
    wide = RetrievalEncoder(RetrievalEncoderCfg(embedding_dim=16384))
    assert (wide.embed(x) @ wide.embed(y).T).item() == pytest.approx(math.exp(-0.5), abs=0.02)


def test_another_colour_is_another_key_and_two_centimetres_are_not(observe):
    encoder = RetrievalEncoder()
    red = encoder.encode(observe())
    orange = encoder.encode(observe(object_rgb=[0.9, 0.5, 0.1]))
    moved = encoder.encode(observe(object_pos_b=[0.51, -0.26, 0.025], ee_pos_b=[0.51, -0.26, 0.125]))
    assert (red @ orange.T).item() < 0.3
    assert (red @ moved.T).item() > 0.9


def test_a_neighbouring_lane_is_similar_and_the_one_behind_it_is_not(observe):
    encoder = RetrievalEncoder()

    def met(x: float) -> torch.Tensor:
        # Object, goal and hand stand in the lane.
        place = {"object_pos_b": [x, -0.2, 0.02], "goal_pos_b": [x, 0.2, 0.0], "ee_pos_b": [x, -0.2, 0.2]}
        return retrieval_features(observe(**place))

    at = met(0.53)
    # exp(-(0.07^2 + 0.07^2) / (2 0.25^2)), and the same for twice as far.
    assert encoder.kernel(at, met(0.60)).item() == pytest.approx(0.925, abs=0.001)
    assert encoder.kernel(at, met(0.67)).item() == pytest.approx(0.731, abs=0.001)


def test_a_key_does_not_depend_on_its_batch(observe):
    encoder = RetrievalEncoder()
    batch = random_observations(observe, 37)
    keys = encoder.encode(batch)
    for i in (0, 17, 36):
        single = encoder.encode(batch.select(torch.tensor([i])))[0]
        torch.testing.assert_close(single, keys[i], rtol=0, atol=1e-6)


def test_the_seed_alone_decides_the_keys(observe):
    batch = random_observations(observe, 5)
    same = RetrievalEncoder().encode(batch)
    assert torch.equal(RetrievalEncoder().encode(batch), same)
    assert not torch.equal(RetrievalEncoder(RetrievalEncoderCfg(seed=1)).encode(batch), same)


def test_keys_hold_no_trace_of_joints_or_contact_forces(observe):
    plain = observe()
    other = dataclasses.replace(plain, joint_vel=torch.rand(1, 7), link_force_b=torch.rand(1, 3))
    assert torch.equal(RetrievalEncoder().encode(plain), RetrievalEncoder().encode(other))


@pytest.mark.parametrize(
    "cfg",
    [
        RetrievalEncoderCfg(embedding_dim=511),
        RetrievalEncoderCfg(length_scales={"object_rgb": 1.0}),
        RetrievalEncoderCfg(length_scales=dict.fromkeys(RetrievalEncoderCfg().length_scales, 0.0)),
    ],
)
def test_impossible_encoders_are_refused(cfg):
    with pytest.raises(ValueError, match=r"embedding_dim|length scales"):
        RetrievalEncoder(cfg)
