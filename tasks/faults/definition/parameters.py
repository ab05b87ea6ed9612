"""The physical quantities that a fault may set, per environment; the simulator decides what comes of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

from flow_rag_vla.tasks.contract import UnknownNameError

NEVER_N = 1.0e6
"""Stands for 'no force is enough' (an object that does not break); finite, so that it stays JSON-able."""

MAX_LATENCY_STEPS = 16
"""Longest delay of a command, control steps."""

ANY_PHASE = -1.0
FROM_START = 0.0


@dataclass(frozen=True)
class HazardParameters:
    """Physical parameters of one environment; the defaults are a plain object, an empty path and obedient motors."""

    # The object.
    object_mass_kg: float = 0.0
    """0 leaves the object its own mass."""
    object_friction: float = 1.0
    crush_force_n: float = NEVER_N
    """A finger force, mean of a control step, above this breaks the object, which then loses its friction."""
    com_offset_m: float = 0.0
    """Centre of mass this far along the object's own x axis."""

    # The obstacle: at most one of these.
    post_top_m: float = 0.0
    """Height of the post's top above the table; 0 for no post."""
    beam_bottom_m: float = 0.0
    """Height of the beam's underside above the table; 0 for no beam."""
    wall_left_edge_m: float = math.inf
    """How far (+x) beyond the middle of the lane a wall from the left (-x) reaches; infinite for no wall."""
    wall_right_edge_m: float = math.inf
    """How far (-x) beyond the middle of the lane a wall from the right (+x) reaches; infinite for no wall."""
    rim_top_m: float = 0.0
    """Height to which the bin's near wall is raised; 0 for the wall as it looks."""

    # Forces on the carried object, and the gripper.
    push_force_n: float = 0.0
    """Downward push on the carried object once the trigger is met."""
    push_side_n: float = 0.0
    """The same, along +x."""
    push_steps: float = 0.0
    """Control steps that the push lasts."""
    release_steps: float = 0.0
    """Control steps for which the gripper is forced open once the trigger is met."""
    release_count: float = 1.0
    """How often that happens: again whenever the object is carried through anew."""
    grip_scale: float = 1.0
    """The fingers press with this share of the commanded force."""

    # Perception.
    object_bias_x_m: float = 0.0
    object_bias_y_m: float = 0.0
    object_bias_z_m: float = 0.0
    """Perceived minus true object position while the object lies, not held, on the pick side."""
    goal_bias_x_m: float = 0.0
    goal_bias_y_m: float = 0.0
    goal_bias_z_m: float = 0.0
    """Perceived minus true goal until the object has been let go."""

    # Actuation.
    speed_scale: float = 1.0
    """Executed share of commanded displacements and turns once the trigger is met."""
    hold_steps: float = 0.0
    """Control steps for which commands are ignored once the trigger is met."""
    latency_steps: float = 0.0
    """Control steps by which commands come late, from the first on."""

    # When pushes, releases, holds and slowness begin; all conditions must be met.
    trigger_phase: float = ANY_PHASE
    """Index into ``contract.PHASES``; -1 for any."""
    trigger_step: float = FROM_START
    """Not before this control step."""
    trigger_y_low_m: float = -math.inf
    trigger_y_high_m: float = math.inf
    """Object within this stretch of the table."""


_DEFAULTS = HazardParameters()
HAZARD_FIELDS: tuple[str, ...] = tuple(f.name for f in fields(HazardParameters))


def default_of(name: str) -> float:
    """The harmless value of parameter ``name``."""
    return getattr(_DEFAULTS, name)


def check_parameters(values: Mapping[str, float]) -> dict[str, float]:
    """``values`` as plain finite floats for a scenario; what is not named keeps its default.

    Raises:
        UnknownNameError: a name is not a hazard parameter.
        ValueError: a value is not finite.
    """
    for name, value in values.items():
        if name not in HAZARD_FIELDS:
            raise UnknownNameError(f"unknown hazard parameter {name!r}; available: {', '.join(HAZARD_FIELDS)}")
        if not math.isfinite(value):
            raise ValueError(f"hazard parameter {name} is {value}, expected a finite number")
    return {name: float(value) for name, value in values.items()}
