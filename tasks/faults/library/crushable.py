"""An object that breaks under too firm a grip."""

from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.facts.objects import FLAT_SIDED
from flow_rag_vla.tasks.faults.definition.fault import Fault, severity

FAULTS = (
    Fault(
        name="crushable_object",
        family="grasp",
        fault_class=FaultClass.AVOIDABLE,
        cue="object",
        unit="N a finger that break it",
        ladder=(14.0, 11.0, 9.0, 8.0),
        default_severity=9.0,
        control_severity=60.0,
        effect={"crush_force_n": severity},
        description="an object that breaks under the nominal grip and then slides out of the fingers",
        remedy="a softer grip",
        opposite="slippery_object",
        objects=FLAT_SIDED,
    ),
)
