"""The faults: data about what goes wrong in the world, in physical units, and how severe it can be.

A fault only sets physical parameters (``HazardParameters``); the simulator decides what comes of them.  Thresholds
follow from statics: friction holds a load of mass ``m`` when each finger presses with
``F >= m (g + a) / (2 mu)``, with carry accelerations ``a`` of 3 to 5 m/s^2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

from flow_rag_vla.tasks.contract import FaultClass

GRAVITY_M_S2 = 9.81
NEVER_N = 1.0e6
"""Stands for 'no force is enough' (an object that does not break); finite, so that it stays JSON-able."""


@dataclass(frozen=True)
class HazardParameters:
    """Physical parameters of one environment; the defaults are a plain object and an empty path."""

    object_mass_kg: float = 0.1
    object_friction: float = 1.0
    crush_force_n: float = NEVER_N
    """A finger force above this breaks the object, which then loses its friction."""
    post_top_m: float = 0.0
    """Height of the post's top above the table; 0 for no post."""
    beam_bottom_m: float = 0.0
    """Height of the beam's underside above the table; 0 for no beam."""
    push_force_n: float = 0.0
    """Downward push on the carried object when it passes the middle of the path."""
    push_steps: float = 0.0
    """Control steps that the push lasts."""
    release_steps: float = 0.0
    """Control steps for which the gripper is forced open when the object passes the middle of the path."""


HAZARD_FIELDS: tuple[str, ...] = tuple(f.name for f in fields(HazardParameters))


@dataclass(frozen=True)
class Fault:
    """A scripted hazard: what a site ties it to, how it acts, and its severity ladder."""

    name: str
    family: str
    """``grasp``, ``collision`` or ``drop``."""
    fault_class: FaultClass
    cue: str
    """What announces it at a site: ``object`` (its colour) or ``region`` (its lane); ``none`` if nothing does."""
    unit: str
    ladder: tuple[float, ...]
    """Severities from mild to severe, in ``unit``."""
    default_severity: float
    control_severity: float
    """A harmless severity under the same cue, for control scenarios."""
    parameters: Callable[[float], HazardParameters]
    """Severity to physical parameters."""
    description: str

    def __post_init__(self) -> None:
        """Check the ladder."""
        if self.default_severity not in self.ladder:
            raise ValueError(f"{self.name}: default severity {self.default_severity} is not in {self.ladder}")


def _slippery(required_grip_n: float) -> HazardParameters:
    """Mass 0.5 kg, and the friction at which holding it still takes ``required_grip_n`` a finger."""
    mass = 0.5
    return HazardParameters(
        object_mass_kg=mass,
        object_friction=min(1.0, mass * GRAVITY_M_S2 / (2.0 * required_grip_n)),
    )


_FAULTS = (
    Fault(
        "slippery_object", "grasp", FaultClass.AVOIDABLE, "object", "N a finger to hold it still",
        (6.0, 9.0, 12.0, 15.0), 12.0, 2.5, _slippery,
        "a heavy object with little friction: the nominal 10 N grip lets it slide",
    ),
    Fault(
        "crushable_object", "grasp", FaultClass.AVOIDABLE, "object", "N a finger that break it",
        (14.0, 11.0, 9.0, 8.0), 8.0, 60.0, lambda force: HazardParameters(crush_force_n=force),
        "an object that breaks under the nominal grip and then slides out of the fingers",
    ),
    Fault(
        "post", "collision", FaultClass.AVOIDABLE, "region", "m, top above the table",
        (0.13, 0.15, 0.17, 0.19), 0.17, 0.04, lambda top: HazardParameters(post_top_m=top),
        "a post that the perception does not see stands on the nominal carry path",
    ),
    Fault(
        "beam", "collision", FaultClass.AVOIDABLE, "region", "m, underside above the table",
        (0.345, 0.335, 0.325, 0.315), 0.325, 0.60, lambda bottom: HazardParameters(beam_bottom_m=bottom),
        "a beam that the perception does not see hangs over the nominal carry path",
    ),
    Fault(
        "push", "drop", FaultClass.AVOIDABLE, "region", "N, downward for 6 control steps",
        (18.0, 22.0, 26.0, 30.0), 26.0, 5.0, lambda force: HazardParameters(push_force_n=force, push_steps=6.0),
        "something pushes the carried object down: more than the nominal grip can hold",
    ),
    Fault(
        "forced_release", "drop", FaultClass.EXOGENOUS, "none", "control steps with the gripper forced open",
        (2.0, 4.0, 8.0), 8.0, 0.0, lambda steps: HazardParameters(release_steps=steps),
        "the gripper opens in mid-carry whatever the policy commands",
    ),
)  # fmt: skip

FAULTS: dict[str, Fault] = {fault.name: fault for fault in _FAULTS}
if len(FAULTS) != len(_FAULTS):
    raise ValueError("two faults have the same name")


def get_fault(name: str) -> Fault:
    """The fault called ``name``.

    Raises:
        KeyError: naming the faults that exist.
    """
    try:
        return FAULTS[name]
    except KeyError:
        raise KeyError(f"unknown fault {name!r}; available: {', '.join(sorted(FAULTS))}") from None


def avoidable_faults() -> tuple[Fault, ...]:
    """The faults that a changed action avoids, in registry order."""
    return tuple(fault for fault in FAULTS.values() if fault.fault_class is FaultClass.AVOIDABLE)


def parameter_dict(parameters: HazardParameters) -> dict[str, float]:
    """``parameters`` as plain floats for a scenario.

    Raises:
        ValueError: a parameter is not finite.
    """
    values = {name: float(getattr(parameters, name)) for name in HAZARD_FIELDS}
    for name, value in values.items():
        if not math.isfinite(value):
            raise ValueError(f"hazard parameter {name} is {value}, expected a finite number")
    return values
