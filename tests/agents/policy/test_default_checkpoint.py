"""The checkpoint that ships with the project: what it knows, how large it is, and that it needs no sentence encoder."""

from __future__ import annotations

import pytest
import torch

from flow_rag_vla.agents.policy.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint
from flow_rag_vla.agents.policy.demonstration_bank import DemonstrationBank, bank_path
from flow_rag_vla.agents.policy.instruction_encoder import packaged_weights, shared_instruction_encoder
from flow_rag_vla.tasks.catalogue.registry import all_tasks, get_task, task_names

MAX_BYTES = 20_000_000


@pytest.fixture(scope="module")
def policy():
    return load_checkpoint(DEFAULT_CHECKPOINT)


def test_it_knows_every_task_in_every_wording_but_those_held_out(policy):
    known = policy.encoder.instructions
    assert set(policy.tasks) == set(task_names())
    assert set(known.texts) == {text for task in all_tasks() for text in task.instructions}
    assert all(known.task_of(text) == task.name for task in all_tasks() for text in task.instructions)


@pytest.mark.parametrize("path", [DEFAULT_CHECKPOINT, bank_path(DEFAULT_CHECKPOINT)], ids=lambda path: path.name)
def test_its_files_stay_small(path):
    assert path.stat().st_size < MAX_BYTES


def test_nothing_else_ships_beside_it():
    weights = {"franka.safetensors", "franka_bank.safetensors", "detector.safetensors", "vision_cnn.safetensors"}
    assert {path.name for path in DEFAULT_CHECKPOINT.parent.iterdir()} == weights | {"README.md", "VISION.md"}


def test_it_decides_by_two_solver_steps_of_its_own_on_sixteen_actions(policy):
    assert (policy.flow.cfg.ode_steps, policy.flow.horizon) == (2, 16)


def test_its_bank_answers_for_every_task_with_chunks_of_its_horizon(policy, observe):
    bank = DemonstrationBank.load(bank_path(DEFAULT_CHECKPOINT), policy.encoder.instructions)
    assert bank.horizon == policy.flow.horizon
    for text in policy.encoder.instructions.texts:
        _, chunk = bank(observe(1, instruction=(text,)), torch.zeros(0))
        assert bool(torch.isfinite(chunk).all())


def test_its_embeddings_are_those_of_the_pinned_sentence_encoder(policy):
    assert packaged_weights().exists()
    known = policy.encoder.instructions
    text = known.texts[0]
    torch.testing.assert_close(
        known.embeddings[0], shared_instruction_encoder().encode(text), rtol=0, atol=1e-4
    )  # bits differ between processors


@pytest.mark.parametrize(
    ("slug", "lets_go"), [("pick_place", True), ("stack", True), ("bin_transport", True), ("lift", False)]
)
def test_the_instruction_alone_decides_whether_it_lets_go_of_an_object_at_its_goal(policy, carry, slug, lets_go):
    at = (0.5, 0.22, 0.025)
    noise = torch.randn(16, policy.flow.horizon, 7, generator=torch.Generator().manual_seed(0))
    text = get_task(slug).instructions[0]
    seen = carry(at, 16, instruction=(text,) * 16, goal_pos_b=list(at))
    opens = (policy.flow.generate(policy.encoder.encode(seen), noise)[:, :, 6] > 0).any(dim=1)
    assert opens.tolist() == [lets_go] * 16
