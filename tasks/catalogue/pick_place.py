"""Pick-and-place: take the object from the pick side of the table and put it down on the goal.

Success: the object rests within 3 cm of the goal at table height, let go and whole.  A collision or a deliberate
release off the goal ends the episode; a lost or missed grasp does not, the policy may try again until the time limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_rag_vla.tasks.catalogue.task import Task
from flow_rag_vla.tasks.facts.layout import Area
from flow_rag_vla.tasks.facts.step_facts import goal_height_error_m, goal_offset_m

if TYPE_CHECKING:
    import torch

    from flow_rag_vla.tasks.facts.step_facts import StepFacts

GOAL_TOLERANCE_M = 0.03
HEIGHT_TOLERANCE_M = 0.01


def at_goal(facts: StepFacts) -> torch.Tensor:
    """(num_envs,) bool: within 3 cm of the goal, at table height."""
    return (goal_offset_m(facts) < GOAL_TOLERANCE_M) & (goal_height_error_m(facts).abs() < HEIGHT_TOLERANCE_M)


TASK = Task(
    name="FlowRAG-PickPlace-Franka",
    slug="pick_place",
    instructions=(
        "pick up the object and place it on the goal",
        "move the object to the goal",
        "put the object down at the marked spot",
    ),
    held_out_instructions=("take the object to the target position", "set the object down where the goal is"),
    objects=("cube", "block", "cylinder", "bar"),
    area=Area(),
    nominal_clearance_m=0.12,
    low_clearance_m=0.06,
    at_goal=at_goal,
    releases=True,
    success_steps=1,
    aliases=("pick_and_place",),
)
