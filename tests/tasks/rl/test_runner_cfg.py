"""Every task has what `isaaclab train` asks for."""

from __future__ import annotations

import gymnasium as gym
import pytest

import flow_rag_vla.tasks  # noqa: F401  (registers the gym ids)
from flow_rag_vla.tasks.catalogue.registry import task_names


@pytest.mark.parametrize("task", task_names())
def test_every_task_has_a_runner_with_a_folder_of_its_own(registered, task: str):
    folders = {name: registered(name, "rsl_rl_cfg_entry_point").experiment_name for name in task_names()}
    assert [name for name, folder in folders.items() if folder == folders[task]] == [task]


@pytest.mark.parametrize("task", task_names())
def test_training_needs_no_choice_of_library_and_normalises_actions(registered, task: str):
    assert gym.spec(task).kwargs["default_agent"] == "rsl_rl"
    assert registered(task, "rsl_rl_cfg_entry_point").clip_actions == 1.0
    assert len(registered(task, "env_cfg_entry_point").action_scale) == 7
