"""A heavy object with little friction.

Each finger must press with ``F >= m (g + a) / (2 mu)`` to hold a mass ``m``, with carry accelerations ``a`` of 3 to
5 m/s^2; the severity is the ``F`` that holds it still.
"""

from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.facts.objects import FLAT_SIDED
from flow_rag_vla.tasks.faults.definition.fault import GRAVITY_M_S2, Fault

MASS_KG = 0.5


def friction_held_by(force_n: float) -> float:
    """Friction coefficient at which ``force_n`` a finger just holds ``MASS_KG``."""
    return min(1.0, MASS_KG * GRAVITY_M_S2 / (2.0 * force_n))


FAULTS = (
    Fault(
        name="slippery_object",
        family="grasp",
        fault_class=FaultClass.AVOIDABLE,
        cue="object",
        unit="N a finger to hold it still",
        ladder=(6.0, 9.0, 12.0, 15.0),
        default_severity=12.0,
        control_severity=2.5,
        effect={"object_mass_kg": MASS_KG, "object_friction": friction_held_by},
        description="a heavy object with little friction: the nominal 10 N grip lets it slide",
        remedy="a firmer grip",
        objects=FLAT_SIDED,
        opposite="crushable_object",
    ),
)
