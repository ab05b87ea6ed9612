"""The implementation guide's interface, on a tiny untrained policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import torch

from flow_rag_vla.agents.advice import Advisor
from flow_rag_vla.agents.checkpoint import PolicyCheckpoint
from flow_rag_vla.agents.corrections import CANDIDATES
from flow_rag_vla.agents.encoders import LearnedStateEncoder, LearnedStateEncoderCfg, RetrievalEncoder
from flow_rag_vla.agents.features import observation_from_fields
from flow_rag_vla.agents.flow_matching import FlowMatching, FlowMatchingCfg
from flow_rag_vla.agents.flow_rag_vla import FlowRAGVLA
from flow_rag_vla.agents.velocity_network import VelocityNetworkCfg
from flow_rag_vla.memory.failure_memory import FailureMemory
from flow_rag_vla.tasks.contract import Observation

HORIZON = 2


def _observation(num_envs: int) -> Observation:
    """Hand above the table, holding a cube 10 cm up, far from the goal."""

    def rows(*values: float) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float32).expand(num_envs, -1).clone()

    down = (1.0, 0.0, 0.0, 0.0)
    o = observation_from_fields(
        {
            "ee_pos_b": rows(0.5, 0.0, 0.125), "ee_quat_b": rows(*down), "ee_target_pos_b": rows(0.5, 0.0, 0.125),
            "ee_target_quat_b": rows(*down), "gripper_width_m": rows(0.05), "grip_force_n": rows(10.0),
            "previous_action": rows(0, 0, 0, 0, 0, 0, -0.25), "object_pos_b": rows(0.5, 0.0, 0.125),
            "object_quat_b": rows(0, 0, 0, 1), "object_size_m": rows(0.05, 0.05, 0.05),
            "object_rgb": rows(0.1, 0.2, 0.9), "goal_pos_b": rows(0.5, 0.25, 0.025),
            "hand_force_b": rows(0, 0, -1), "link_force_b": rows(0, 0, 0),
        }
    )  # fmt: skip
    return o


@pytest.fixture
def model() -> Iterator[FlowRAGVLA]:
    torch.manual_seed(0)
    encoder = LearnedStateEncoder(LearnedStateEncoderCfg(hidden_dim=16)).eval()
    flow = FlowMatching(FlowMatchingCfg(VelocityNetworkCfg(horizon=HORIZON, hidden_dim=16, num_layers=1))).eval()
    memory = FailureMemory(horizon=HORIZON, num_candidates=len(CANDIDATES))
    keys = RetrievalEncoder()
    advisor = Advisor(memory, keys, num_neighbours=5, gate=0.5)
    model = FlowRAGVLA(PolicyCheckpoint(encoder, flow), advisor, memory=memory, key_encoder=keys)
    yield model
    model.processor.close()


def test_forward_takes_an_observation_and_an_instruction(model):
    chunk = model(_observation(3), "put the cube on the goal")
    assert chunk.shape == (3, HORIZON, 7)
    assert bool(torch.isfinite(chunk).all())


def test_a_failure_is_remembered_once_and_successes_never(model):
    before = _observation(2)
    gone = torch.tensor([[0.5, 0.0, 0.025], [0.5, 0.0, 0.025]])
    after = dataclasses.replace(
        before, object_pos_b=gone, grip_force_n=torch.zeros(2, 1), gripper_width_m=torch.zeros(2, 1)
    )
    action = torch.zeros(2, HORIZON, 7)
    action[:, :, 6] = -0.25
    assert model.update_memory(before, after, action, torch.tensor([True, True])) == 0
    assert model.update_memory(before, after, action, torch.tensor([True, False])) == 1
    assert model.update_memory(before, after, action, torch.tensor([True, False])) == 0
    assert model.advisor.advise(before).given.tolist() == [True, True]


def test_an_environment_with_broken_physics_gets_no_advice_and_disturbs_nobody(model):
    before = _observation(2)
    after = dataclasses.replace(before, object_pos_b=before.object_pos_b - 0.1, grip_force_n=torch.zeros(2, 1))
    action = torch.zeros(2, HORIZON, 7)
    action[:, :, 6] = -0.25
    model.update_memory(before, after, action, torch.tensor([True, False]))
    broken = before.object_pos_b.clone()
    broken[0] = float("nan")
    advice = model.advisor.advise(dataclasses.replace(before, object_pos_b=broken))
    assert advice.given.tolist() == [False, True]
