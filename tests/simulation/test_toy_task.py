"""A task that is one record plays like the others: here, lifting the object half as high."""

from __future__ import annotations

import dataclasses

import gymnasium as gym
import pytest

from flow_rag_vla.tasks.catalogue import registry
from flow_rag_vla.tasks.catalogue.lift import TASK as LIFT
from flow_rag_vla.tasks.expert.expert_rollout import run_expert
from flow_rag_vla.tasks.expert.scripted_expert import ExpertPlan
from flow_rag_vla.tasks.scenarios.sites import make_site

pytestmark = pytest.mark.sim

HOVER = dataclasses.replace(LIFT, name="FlowRAG-Hover-Franka", slug="hover", aliases=())


def test_a_toy_task_is_built_played_and_succeeded_in(monkeypatch):
    from flow_rag_vla.tasks.env.make import make_fleet

    monkeypatch.setattr(registry, "_TASKS", dict(registry._TASKS))
    toy = registry.register_task(HOVER)
    fleet = make_fleet("hover", 2, physics="newton_mujoco", device="cpu", max_steps=160)
    try:
        site = make_site(3, toy.slug)
        scenarios = [site.scenario(10_000_100 + i) for i in range(2)]
        truth = run_expert(fleet, scenarios, ExpertPlan.nominal(2, "cpu", toy))
        assert truth.success.tolist() == [True, True]
    finally:
        fleet.close()
        del gym.registry[toy.name]
