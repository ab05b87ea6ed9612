"""A bar with a weight in one end: grasped in its middle, it swings in the fingers."""

from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.faults.definition.fault import Effect, Fault

BAR_KG = 0.2
WEIGHT_AT_M = 0.07
"""Distance of the weight from the middle of the bar: half its length."""

FRICTION = 0.3
"""Smooth enough that a firm grip in the middle does not hold it level either."""


def bar_mass_kg(weight_kg: float) -> float:
    """Bar and weight together."""
    return BAR_KG + weight_kg


def balance_point_m(weight_kg: float) -> float:
    """Distance of the common centre of mass from the middle of the bar."""
    return weight_kg * WEIGHT_AT_M / bar_mass_kg(weight_kg)


def minus_balance_point_m(weight_kg: float) -> float:
    """The same, with the weight in the other end."""
    return -balance_point_m(weight_kg)


def _fault(name: str, offset: Effect, side: str, opposite: str) -> Fault:
    return Fault(
        name=name,
        family="grasp",
        fault_class=FaultClass.AVOIDABLE,
        cue="object",
        unit="kg in one end of the bar",
        ladder=(0.1, 0.2, 0.3, 0.8),
        default_severity=0.8,
        control_severity=0.02,
        effect={"object_mass_kg": bar_mass_kg, "object_friction": FRICTION, "com_offset_m": offset},
        description=f"a bar that is heavy at its {side} end: grasped in the middle it swings down and out",
        remedy="grasp it where it balances",
        opposite=opposite,
        # Carried low, the bar rests on the table by its heavy end, whichever that is, and gets there.
        unopposed_in=("pick_place",),
        tasks=("pick_place", "lift"),
        objects=("bar",),
    )


FAULTS = (
    _fault("mass_offset_plus", balance_point_m, "+x", "mass_offset_minus"),
    _fault("mass_offset_minus", minus_balance_point_m, "-x", "mass_offset_plus"),
)
