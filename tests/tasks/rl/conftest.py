"""Hand-made facts of one control step: a cube on the table, the open hand 10 cm above it; registered configurations."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch

from flow_rag_vla.tasks.facts.step_facts import StepFacts

OBJECT = (0.5, -0.2, 0.025)
GOAL = (0.5, -0.2, 0.175)


@pytest.fixture
def facts() -> Callable[..., StepFacts]:
    """A maker of facts of one environment; fields not named are zero or False."""

    def make(**changes: object) -> StepFacts:
        rows: dict[str, object] = {field.name: 0.0 for field in dataclasses.fields(StepFacts)}
        rows |= {"object_pos_b": OBJECT, "goal_pos_b": GOAL, "ee_pos_b": (OBJECT[0], OBJECT[1], OBJECT[2] + 0.10)}
        rows |= {"finger_force_n": (0.0, 0.0), "commanded_closed": False, "invalid_reason": -1}
        return StepFacts(**{name: torch.tensor([row]) for name, row in (rows | changes).items()})

    return make


@pytest.fixture
def registered() -> Callable[[str, str], Any]:
    """Makes the configuration that a task's entry point names."""
    from isaaclab_tasks.utils.parse_cfg import load_cfg_from_registry

    return load_cfg_from_registry
