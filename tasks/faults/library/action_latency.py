"""Commands reach the arm late (1 to 5 control steps in the literature)."""

from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.faults.definition.fault import Fault, severity

FAULTS = (
    Fault(
        name="action_latency",
        family="timeout",
        fault_class=FaultClass.EXOGENOUS,
        cue="none",
        unit="control steps",
        ladder=(1.0, 2.0, 4.0, 8.0),
        default_severity=2.0,
        control_severity=0.0,
        effect={"latency_steps": severity},
        description="commands reach the arm late: it overshoots and comes back",
        remedy="nothing prevents it: move with care",
    ),
)
