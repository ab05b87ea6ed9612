"""The arm moves more slowly than commanded."""

from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.faults.definition.fault import Fault, severity

FAULTS = (
    Fault(
        name="slow_actuation",
        family="timeout",
        fault_class=FaultClass.EXOGENOUS,
        cue="none",
        unit="share of the commanded motion",
        ladder=(0.6, 0.45, 0.25, 0.1),
        default_severity=0.45,
        control_severity=0.95,
        effect={"speed_scale": severity},
        description="the arm executes a share of every commanded motion, so that the time runs out",
        remedy="nothing prevents it: waste no motion",
    ),
)
