"""What makes a task: its words, objects, places, time limit, and when it counts as done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from flow_rag_vla.tasks.facts.layout import Area
    from flow_rag_vla.tasks.facts.step_facts import StepFacts


@dataclass(frozen=True)
class Task:
    """A manipulation task of the Franka; pure data and one term, free of the simulator."""

    name: str
    """Gym id."""
    slug: str
    """Short name, as in file names and ``--task``."""
    instructions: tuple[str, ...]
    """Wordings of the same task; an episode's seed picks one."""
    held_out_instructions: tuple[str, ...]
    """Further wordings that no episode and no demonstration uses: what a policy is asked to understand unseen."""
    objects: tuple[str, ...]
    """Object models that clean scenarios use (``objects.OBJECTS``)."""
    area: Area
    nominal_clearance_m: float
    """Height above rest at which the object is carried by default."""
    low_clearance_m: float
    """The lowest that still works: what passes under a beam."""
    at_goal: Callable[[StepFacts], torch.Tensor]
    """(num_envs,) bool: the object is where it belongs."""
    releases: bool
    """The object must be let go at the goal; otherwise it must be held there."""
    success_steps: int
    """Control steps for which the object must be at the goal (released and still, or held)."""
    max_steps: int = 200
    """Time limit, control steps (1/30 s); measurements of recovery allow more."""
    aliases: tuple[str, ...] = ()
    """Other names that ``--task`` understands."""
    carry_zone_y_m: tuple[float, float] = (-0.10, 0.10)
    """Stretch of the way (y) in which pushes and forced releases may start."""
    scene: str = "table"
    """What stands on the table: a name of ``env.scene.SCENES``."""

    @property
    def class_name(self) -> str:
        """What the names of its configuration classes begin with: ``PickPlace`` of ``FlowRAG-PickPlace-Franka``."""
        return self.name.split("-")[1]

    @property
    def marks_goal(self) -> bool:
        """A mark on the table shows where the goal is."""
        return self.area.goal_height_m == (0.0, 0.0)
