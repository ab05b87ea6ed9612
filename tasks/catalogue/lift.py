"""Lift: grasp the object and hold it at the commanded height.

Success: the object, whole and in the hand, stays level, within 2 cm of the commanded height and 5 cm of the place
above which it is to be held, for half a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_rag_vla.tasks.catalogue.task import Task
from flow_rag_vla.tasks.facts.layout import Area
from flow_rag_vla.tasks.facts.step_facts import goal_height_error_m, goal_offset_m

if TYPE_CHECKING:
    import torch

    from flow_rag_vla.tasks.facts.step_facts import StepFacts

HOLD_HEIGHT_TOLERANCE_M = 0.02
HOLD_OFFSET_M = 0.05
LEVEL_RAD = 0.35


def at_goal(facts: StepFacts) -> torch.Tensor:
    """(num_envs,) bool: at the commanded height, level."""
    at_height = goal_height_error_m(facts).abs() < HOLD_HEIGHT_TOLERANCE_M
    return at_height & (goal_offset_m(facts) < HOLD_OFFSET_M) & (facts.object_tilt_rad < LEVEL_RAD)


TASK = Task(
    name="FlowRAG-Lift-Franka",
    slug="lift",
    instructions=(
        "lift the object to the commanded height and hold it",
        "pick up the object and hold it in the air",
        "raise the object and keep it there",
    ),
    held_out_instructions=("lift up the object and keep holding it", "hold the object up at the given height"),
    objects=("cube", "block", "cylinder", "bar"),
    area=Area(pick_y_m=(-0.31, -0.11), goal_height_m=(0.10, 0.24), goal_above_object=True),
    nominal_clearance_m=0.12,
    low_clearance_m=0.06,
    at_goal=at_goal,
    releases=False,
    success_steps=15,
    max_steps=150,
    carry_zone_y_m=(-0.60, 0.60),
)
