"""A heavy object that slips when the hand accelerates or jerks it."""

from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.facts.objects import FLAT_SIDED
from flow_rag_vla.tasks.faults.definition.fault import Fault, severity

FAULTS = (
    Fault(
        name="heavy_object",
        family="drop",
        fault_class=FaultClass.AVOIDABLE,
        cue="object",
        unit="kg",
        ladder=(0.6, 0.8, 1.0, 1.2),
        default_severity=1.0,
        control_severity=0.2,
        effect={"object_mass_kg": severity, "object_friction": 0.6},
        description="an object heavier than it looks: the nominal grip cannot carry it",
        remedy="a firmer grip",
        objects=FLAT_SIDED,
    ),
)
