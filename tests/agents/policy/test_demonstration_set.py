"""Several folders become one training set: steps, tasks and texts numbered through."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from flow_rag_vla.agents.policy.demonstration_set import load_demonstrations
from flow_rag_vla.agents.policy.features import NUM_POLICY_FEATURES
from flow_rag_vla.agents.policy.instruction_encoder import INSTRUCTION_DIM

FIELDS = (
    "ee_pos_b", "ee_quat_b", "ee_target_pos_b", "ee_target_quat_b", "gripper_width_m", "grip_force_n",
    "previous_action", "object_pos_b", "object_quat_b", "object_size_m", "goal_pos_b",
)  # fmt: skip


def write(folder, observe, task, texts, spoken, *, name="wave-000", metadata=None):
    """A file of ``len(spoken)`` episodes of two steps; ``spoken`` are their texts' numbers."""
    folder.mkdir(exist_ok=True)
    observation = observe(2 * len(spoken))
    rows = {f"observation.{name}": getattr(observation, name) for name in FIELDS}
    rows["action"] = torch.zeros(2 * len(spoken), 7)
    rows["disturbed"] = torch.zeros(2 * len(spoken), dtype=torch.bool)
    rows["episode"] = torch.arange(len(spoken)).repeat_interleave(2)
    rows["layout_seed"] = rows["episode"] + 7
    rows["instruction"] = torch.tensor(spoken).repeat_interleave(2)
    stored = {"task": task, "instructions": json.dumps(texts)} if metadata is None else metadata
    save_file(rows, folder / f"{name}.safetensors", metadata=stored)


def one_hot(text):
    return torch.eye(INSTRUCTION_DIM)[len(text)]


def test_steps_tasks_and_texts_are_numbered_through_all_folders(observe, tmp_path):
    write(tmp_path / "lift", observe, "Lift", ["hold it up", "lift it"], [1, 0])
    write(tmp_path / "stack", observe, "Stack", ["stack it!"], [0])
    write(tmp_path / "stack", observe, "Stack", ["pile it", "stack it!"], [0, 1], name="wave-001")
    data = load_demonstrations([tmp_path / "lift", tmp_path / "stack"], one_hot)
    assert data.features.shape == (10, NUM_POLICY_FEATURES)
    assert data.last_step.tolist() == [1, 1, 3, 3, 5, 5, 7, 7, 9, 9]
    assert data.layout_seeds == {7, 8}
    assert data.contacts == {"unknown"}
    assert [data.tasks[i] for i in data.task] == ["Lift"] * 4 + ["Stack"] * 6
    texts = [data.instruction_texts[i] for i in data.instruction]
    assert texts[::2] == texts[1::2] == ["lift it", "hold it up", "stack it!", "pile it", "stack it!"]
    torch.testing.assert_close(data.instruction_embeddings, torch.stack([one_hot(t) for t in data.instruction_texts]))
    known = data.instructions()
    assert {text: known.task_of(text) for text in known.texts} == {
        "lift it": "Lift", "hold it up": "Lift", "stack it!": "Stack", "pile it": "Stack",
    }  # fmt: skip
    embeddings, rows = known.look_up(("pile it",))
    assert torch.equal(embeddings[rows[0]], one_hot("pile it"))


def test_one_text_for_two_tasks_is_refused(observe, tmp_path):
    write(tmp_path / "lift", observe, "Lift", ["do it"], [0])
    write(tmp_path / "stack", observe, "Stack", ["do it"], [0])
    with pytest.raises(ValueError, match="given twice"):
        load_demonstrations([tmp_path / "lift", tmp_path / "stack"], one_hot).instructions()


def test_a_file_that_names_no_task_is_refused(observe, tmp_path):
    write(tmp_path, observe, "Lift", ["lift it"], [0], metadata={})
    with pytest.raises(ValueError, match="names no task; record it again"):
        load_demonstrations([tmp_path], one_hot)


def test_a_folder_without_demonstrations_is_named(observe, tmp_path):
    write(tmp_path / "lift", observe, "Lift", ["lift it"], [0])
    with pytest.raises(ValueError, match=r"no demonstrations in .*stack; .*collect_demos\.py"):
        load_demonstrations([tmp_path / "lift", tmp_path / "stack"], one_hot)
