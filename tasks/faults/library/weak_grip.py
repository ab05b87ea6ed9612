"""The gripper presses with less than what is commanded, on an object that needs most of the nominal force."""

from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.facts.objects import FLAT_SIDED
from flow_rag_vla.tasks.faults.definition.fault import Fault, severity

FAULTS = (
    Fault(
        name="weak_grip",
        family="grasp",
        fault_class=FaultClass.AVOIDABLE,
        cue="region",
        unit="share of the commanded force",
        ladder=(0.9, 0.6, 0.45, 0.3),
        default_severity=0.3,
        control_severity=0.95,
        effect={"object_mass_kg": 0.3, "object_friction": 0.4, "grip_scale": severity},
        description="in this region the fingers press with a share of what is commanded",
        remedy="command a firmer grip",
        objects=FLAT_SIDED,
    ),
)
