"""The gripper opens in mid-carry whatever the policy commands (as FailGen's slip, 4 to 15 steps)."""

from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.faults.fault import Fault, severity

FAULTS = (
    Fault(
        name="forced_release",
        family="drop",
        fault_class=FaultClass.EXOGENOUS,
        cue="none",
        unit="control steps with the gripper forced open",
        ladder=(1.0, 2.0, 4.0, 8.0),
        default_severity=8.0,
        control_severity=0.0,
        effect={"release_steps": severity},
        description="the gripper opens in mid-carry whatever the policy commands",
        remedy="nothing prevents it: pick the object up again",
    ),
)
