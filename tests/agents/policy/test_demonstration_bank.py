"""The nearest demonstrated state of the task that the instruction asks for, and of no other."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from safetensors.torch import save_file

from flow_rag_vla.agents.policy.demonstration_bank import DemonstrationBank, save_bank
from flow_rag_vla.agents.policy.demonstration_set import DemonstrationSet
from flow_rag_vla.agents.policy.features import policy_features

HORIZON = 2
NO_NOISE = torch.zeros(0)


@pytest.fixture
def data(observe, instructions) -> DemonstrationSet:
    """Ten steps at one place, five of each task; the first action entry counts them."""
    features = policy_features(observe(10)) + 0.01 * torch.arange(10.0).unsqueeze(1)
    return DemonstrationSet(
        features=features,
        actions=torch.arange(10.0).unsqueeze(1).expand(10, 7).clone(),
        last_step=torch.tensor([4] * 5 + [9] * 5),
        disturbed=torch.zeros(10, dtype=torch.bool),
        task=torch.tensor([0] * 5 + [1] * 5),
        tasks=instructions.tasks,
        instruction=torch.tensor([0] * 5 + [1] * 5),
        instruction_texts=instructions.texts,
        instruction_embeddings=instructions.embeddings,
    )


@pytest.fixture
def bank(data, instructions, tmp_path) -> DemonstrationBank:
    path = tmp_path / "bank.safetensors"
    save_bank(path, data, HORIZON, size=10)
    return DemonstrationBank.load(path, instructions)


def test_the_same_state_is_answered_by_the_task_that_is_asked_for(bank, observe):
    spoken = dataclasses.replace(observe(3), instruction=("pick up the cube", "stack it", "pick up the cube"))
    _, chunks = bank(spoken, NO_NOISE)
    assert chunks[:, :, 0].tolist() == [[0, 1], [5, 6], [0, 1]]


def test_a_task_without_demonstrations_is_refused(data, instructions, observe, tmp_path):
    path = tmp_path / "bank.safetensors"
    only_first = dataclasses.replace(data, task=torch.zeros(10, dtype=torch.long), tasks=("PickPlace",))
    save_bank(path, only_first, HORIZON, size=10)
    spoken = dataclasses.replace(observe(1), instruction=("stack it",))
    with pytest.raises(ValueError, match=r"nothing is stored for Stack; it knows \['PickPlace'\]"):
        DemonstrationBank.load(path, instructions)(spoken, NO_NOISE)


def test_a_bank_of_other_features_or_none_gives_one_line(instructions, tmp_path):
    path = tmp_path / "bank.safetensors"
    with pytest.raises(ValueError, match="no such file"):
        DemonstrationBank.load(path, instructions)
    save_file({"features": torch.zeros(3, 2), "chunks": torch.zeros(3, 2, 7)}, path)
    with pytest.raises(ValueError, match="made for other features"):
        DemonstrationBank.load(path, instructions)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ValueError, match="demonstration bank") as error:
        DemonstrationBank.load(path, instructions)
    assert "\n" not in str(error.value)
