"""A task is one record: registering it gives it a gym id, configurations, sites and scenarios."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import gymnasium as gym
import pytest

from flow_rag_vla.tasks.catalogue import registry
from flow_rag_vla.tasks.catalogue.lift import TASK as LIFT
from flow_rag_vla.tasks.catalogue.task import Task
from flow_rag_vla.tasks.scenarios.sites import make_site

HOVER = dataclasses.replace(
    LIFT, name="FlowRAG-Hover-Franka", slug="hover", instructions=("hover it",), max_steps=90, aliases=("float",)
)


@pytest.fixture
def hover(monkeypatch: pytest.MonkeyPatch) -> Iterator[Task]:
    """A toy task that is forgotten after the test."""
    monkeypatch.setattr(registry, "_TASKS", dict(registry._TASKS))
    yield registry.register_task(HOVER)
    del gym.registry[HOVER.name]


def test_the_four_tasks_are_found_in_the_order_of_the_guide():
    slugs = [task.slug for task in registry.all_tasks()]
    assert slugs == ["pick_place", "stack", "lift", "bin_transport"]


def test_a_new_task_is_known_by_all_its_names(hover: Task):
    assert {registry.get_task(name) for name in ("FlowRAG-Hover-Franka", "hover", "float")} == {hover}


def test_a_new_task_has_its_own_configurations(hover: Task):
    from flow_rag_vla.tasks.env.env_cfg import env_cfg_class
    from flow_rag_vla.tasks.rl.runner_cfg import runner_cfg_class

    named = gym.spec(hover.name).kwargs
    assert named["env_cfg_entry_point"] == "flow_rag_vla.tasks.env.env_cfg:HoverEnvCfg"
    assert named["rsl_rl_cfg_entry_point"] == "flow_rag_vla.tasks.rl.runner_cfg:HoverRunnerCfg"
    env_cfg = env_cfg_class(hover.name)()
    assert type(env_cfg).__name__ == "HoverEnvCfg"
    assert (env_cfg.task_name, env_cfg.episode_length_s) == (hover.name, pytest.approx(3.0))
    assert runner_cfg_class(hover.name)().experiment_name == "flow_rag_hover"


def test_a_new_task_has_sites_and_scenarios(hover: Task):
    site = make_site(0, hover.slug)
    scenario = site.scenario(5)
    assert (scenario.task, scenario.instruction) == (hover.name, "hover it")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({}, "task 'FlowRAG-Lift-Franka' .lift. is already registered"),
        ({"name": "FlowRAG-Raise-Franka"}, "task 'FlowRAG-Raise-Franka' .lift. is already registered"),
        ({"name": "Hover", "slug": "hover"}, "task 'Hover': expected a gym id like FlowRAG-Name-Franka"),
    ],
)
def test_a_task_that_cannot_be_told_apart_is_refused(changes: dict, complaint: str):
    with pytest.raises(ValueError, match=complaint):
        registry.register_task(dataclasses.replace(LIFT, **changes))


def test_a_task_in_a_scene_that_nobody_built_is_refused(hover: Task, monkeypatch: pytest.MonkeyPatch):
    from flow_rag_vla.tasks.env.env_cfg import env_cfg_class

    monkeypatch.setitem(registry._TASKS, hover.name, dataclasses.replace(hover, scene="moon"))
    with pytest.raises(KeyError, match="unknown scene 'moon'; available: table, stack, bin"):
        env_cfg_class(hover.name)


def test_a_configuration_of_no_task_is_no_attribute():
    from flow_rag_vla.tasks.env import env_cfg

    assert not hasattr(env_cfg, "JuggleEnvCfg")
