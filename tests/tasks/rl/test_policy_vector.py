"""The flat observation: its width is the declared one, and it holds what was sensed."""

from __future__ import annotations

import dataclasses

import pytest
import torch

import flow_rag_vla.tasks  # noqa: F401  (registers the gym ids)
from flow_rag_vla.tasks.catalogue.registry import task_names
from flow_rag_vla.tasks.contract import Observation
from flow_rag_vla.tasks.rl.alignment import missing_turn
from flow_rag_vla.tasks.rl.policy_vector import POLICY_DIM, policy_vector

WIDTHS = {
    "joint_pos": 7, "joint_vel": 7, "ee_pos_b": 3, "ee_quat_b": 4, "ee_target_pos_b": 3, "ee_target_quat_b": 4,
    "gripper_width_m": 1, "grip_force_n": 1, "hand_force_b": 3, "link_force_b": 3, "previous_action": 7,
    "object_pos_b": 3, "object_quat_b": 4, "object_size_m": 3, "object_rgb": 3, "goal_pos_b": 3,
}  # fmt: skip


def sensed() -> Observation:
    """Two environments; every field counts on from the one before."""
    columns = torch.arange(2 * sum(WIDTHS.values()), dtype=torch.float32).reshape(2, -1)
    parts = dict(zip(WIDTHS, columns.split(list(WIDTHS.values()), dim=1), strict=True))
    return Observation(**parts, instruction=("lift", "lift"))


def test_the_hand_made_observation_has_every_sensed_field():
    names = {field.name for field in dataclasses.fields(Observation)}
    assert names == {*WIDTHS, "instruction", "rgb"}


def test_the_vector_is_everything_sensed_and_what_moves_need():
    o = sensed()
    vector = policy_vector(o)
    assert vector.shape == (2, POLICY_DIM)
    everything = sum(WIDTHS.values())
    assert torch.equal(vector[:, :everything], torch.arange(2.0 * everything).reshape(2, -1))
    assert torch.equal(vector[:, everything : everything + 3], o.object_pos_b - o.ee_pos_b)
    assert torch.equal(vector[:, everything + 3 : everything + 6], o.goal_pos_b - o.object_pos_b)
    assert torch.equal(vector[:, everything + 6], missing_turn(o.ee_quat_b, o.object_quat_b))


@pytest.mark.parametrize("task", task_names())
def test_every_task_declares_the_width_of_the_vector(registered, task: str):
    assert registered(task, "env_cfg_entry_point").observation_space == POLICY_DIM
