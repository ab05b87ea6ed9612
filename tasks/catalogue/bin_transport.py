"""Bin transport: carry the object over the wall of a bin and put it down inside.

Success: the object lies in the bin, anywhere, let go and whole.  The bin spans all lanes; its walls are part of the
task and seen by everyone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_rag_vla.tasks.catalogue.task import Task
from flow_rag_vla.tasks.facts.layout import Area

if TYPE_CHECKING:
    import torch

    from flow_rag_vla.tasks.facts.step_facts import StepFacts

BIN_X_M = (0.28, 0.80)
BIN_Y_M = (0.11, 0.43)
"""Inner faces of the bin's walls, robot-base frame."""

BIN_WALL_HEIGHT_M = 0.10
BIN_WALL_THICKNESS_M = 0.016


def at_goal(facts: StepFacts) -> torch.Tensor:
    """(num_envs,) bool: inside the bin, below its rim."""
    x, y, z = facts.object_pos_b.unbind(dim=1)
    inside = (x > BIN_X_M[0]) & (x < BIN_X_M[1]) & (y > BIN_Y_M[0]) & (y < BIN_Y_M[1])
    return inside & (z < BIN_WALL_HEIGHT_M / 2)


TASK = Task(
    name="FlowRAG-BinTransport-Franka",
    slug="bin_transport",
    instructions=(
        "carry the object over the wall and put it in the bin",
        "put the object into the bin",
        "transport the object to the bin",
    ),
    held_out_instructions=("drop the object off inside the bin", "take the object across the wall into the container"),
    objects=("cube", "block", "cylinder"),
    area=Area(place_y_m=(0.24, 0.27)),
    nominal_clearance_m=0.16,
    low_clearance_m=0.13,
    at_goal=at_goal,
    releases=True,
    success_steps=5,
    scene="bin",
)
