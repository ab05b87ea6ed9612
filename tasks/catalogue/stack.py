"""Stack: put the cube on top of the base cube, which stands on the place side and can be knocked over.

Success: the cube rests on the base, centre within 2 cm of the base's centre, let go and whole.  The goal is the top of
the base wherever the base has been pushed to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_rag_vla.tasks.catalogue.task import Task
from flow_rag_vla.tasks.facts.layout import Area
from flow_rag_vla.tasks.facts.step_facts import goal_height_error_m, goal_offset_m

if TYPE_CHECKING:
    import torch

    from flow_rag_vla.tasks.facts.step_facts import StepFacts

BASE_EDGE_M = 0.05
STACK_TOLERANCE_M = 0.02
HEIGHT_TOLERANCE_M = 0.008


def at_goal(facts: StepFacts) -> torch.Tensor:
    """(num_envs,) bool: on top of the base."""
    return (goal_offset_m(facts) < STACK_TOLERANCE_M) & (goal_height_error_m(facts).abs() < HEIGHT_TOLERANCE_M)


TASK = Task(
    name="FlowRAG-Stack-Franka",
    slug="stack",
    instructions=(
        "stack the cube on the other cube",
        "put the cube on top of the grey cube",
        "place one cube onto the other",
    ),
    held_out_instructions=("build a tower of the two cubes", "set the cube down on the grey one"),
    objects=("cube",),
    area=Area(goal_height_m=(BASE_EDGE_M, BASE_EDGE_M)),
    nominal_clearance_m=0.12,
    low_clearance_m=0.07,
    at_goal=at_goal,
    releases=True,
    success_steps=10,
    scene="stack",
)
