"""A push on the carried object, of 0.3 kg so that it does not fly off; 5 to 10 N do nothing to a 10 N grip.

An object that was knocked down may land anywhere on its way, so it is pushed wherever it is carried from the beginning
of the zone on: where it landed must not decide whether it is pushed again.
"""

from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.faults.definition.fault import Fault, severity

FAULTS = (
    Fault(
        name="push",
        family="drop",
        fault_class=FaultClass.AVOIDABLE,
        cue="region",
        unit="N, downward for 6 control steps",
        ladder=(10.0, 14.0, 18.0, 30.0),
        default_severity=30.0,
        control_severity=5.0,
        effect={"object_mass_kg": 0.3, "push_force_n": severity, "push_steps": 6.0, "trigger_y_high_m": 0.6},
        description="something pushes the carried object down: more than the nominal grip can hold",
        remedy="a firmer grip",
    ),
)
