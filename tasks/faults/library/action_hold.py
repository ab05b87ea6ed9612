"""Commands are ignored for a while (a stalled controller; LeRobot's action_hold lasts 8 steps)."""

from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.faults.definition.fault import Fault, Trigger, severity

FAULTS = (
    Fault(
        name="action_hold",
        family="timeout",
        fault_class=FaultClass.EXOGENOUS,
        cue="none",
        unit="control steps without reaction",
        ladder=(40.0, 120.0, 160.0, 200.0),
        default_severity=120.0,
        control_severity=4.0,
        effect={"hold_steps": severity},
        description="from control step 40 on the arm ignores commands for a while and keeps its pose and grip",
        remedy="nothing prevents it: go on afterwards",
        trigger=Trigger(step=40),
    ),
)
