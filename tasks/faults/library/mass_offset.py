"""A bar whose centre of mass is not in its middle: held there, it swings in the fingers."""

from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.faults.fault import Effect, Fault, minus_severity, severity

MASS_KG = 0.6


def _fault(name: str, offset: Effect, side: str, opposite: str) -> Fault:
    return Fault(
        name=name,
        family="grasp",
        fault_class=FaultClass.AVOIDABLE,
        cue="object",
        unit="m from the middle of the bar",
        ladder=(0.015, 0.03, 0.045, 0.055),
        default_severity=0.045,
        control_severity=0.003,
        effect={"object_mass_kg": MASS_KG, "com_offset_m": offset},
        description=f"a bar that is heavy at its {side} end: grasped in the middle it swings down and out",
        remedy="grasp it where it balances",
        opposite=opposite,
        tasks=("pick_place", "lift"),
        objects=("bar",),
    )


FAULTS = (
    _fault("mass_offset_plus", severity, "+x", "mass_offset_minus"),
    _fault("mass_offset_minus", minus_severity, "-x", "mass_offset_plus"),
)
