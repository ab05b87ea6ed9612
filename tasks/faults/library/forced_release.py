"""The gripper opens in mid-carry whatever the policy commands (as FailGen's slip, 4 to 15 steps)."""

from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.faults.definition.fault import Fault, severity

FAULTS = (
    Fault(
        name="forced_release",
        family="drop",
        fault_class=FaultClass.EXOGENOUS,
        cue="none",
        unit="releases of 8 control steps each",
        ladder=(1.0, 2.0, 4.0, 6.0),
        default_severity=1.0,
        control_severity=0.0,
        effect={"release_count": severity, "release_steps": 8.0},
        description="the gripper opens in mid-carry whatever the policy commands, and so again in the next carry",
        remedy="nothing prevents it: pick the object up again",
    ),
)
