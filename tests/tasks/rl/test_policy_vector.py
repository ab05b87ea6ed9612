"""The flat observation: its width is the declared one, and it holds what was sensed."""

from __future__ import annotations

import pytest
import torch

import flow_rag_vla.tasks  # noqa: F401  (registers the gym ids)
from flow_rag_vla.tasks.catalogue.registry import task_names
from flow_rag_vla.tasks.contract import OBSERVATION_WIDTHS, Observation
from flow_rag_vla.tasks.rl.alignment import missing_turn
from flow_rag_vla.tasks.rl.policy_vector import POLICY_DIM, policy_vector


def sensed() -> Observation:
    """Two environments; every field counts on from the one before."""
    columns = torch.arange(2 * sum(OBSERVATION_WIDTHS.values()), dtype=torch.float32).reshape(2, -1)
    parts = dict(zip(OBSERVATION_WIDTHS, columns.split(list(OBSERVATION_WIDTHS.values()), dim=1), strict=True))
    return Observation(**parts, instruction=("lift", "lift"))


def test_the_vector_is_everything_sensed_and_what_moves_need():
    o = sensed()
    vector = policy_vector(o)
    assert vector.shape == (2, POLICY_DIM)
    everything = sum(OBSERVATION_WIDTHS.values())
    assert torch.equal(vector[:, :everything], torch.arange(2.0 * everything).reshape(2, -1))
    assert torch.equal(vector[:, everything : everything + 3], o.object_pos_b - o.ee_pos_b)
    assert torch.equal(vector[:, everything + 3 : everything + 6], o.goal_pos_b - o.object_pos_b)
    assert torch.equal(vector[:, everything + 6], missing_turn(o.ee_quat_b, o.object_quat_b))


@pytest.mark.parametrize("task", task_names())
def test_every_task_declares_the_width_of_the_vector(registered, task: str):
    assert registered(task, "env_cfg_entry_point").observation_space == POLICY_DIM
