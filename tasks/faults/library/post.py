"""A post on the carry path that the perception does not see."""

from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.faults.definition.fault import Fault, severity

FAULTS = (
    Fault(
        name="post",
        family="collision",
        fault_class=FaultClass.AVOIDABLE,
        cue="region",
        unit="m, top above the table",
        ladder=(0.11, 0.12, 0.14, 0.17),
        default_severity=0.17,
        control_severity=0.04,
        effect={"post_top_m": severity},
        description="a broad post that the perception does not see stands on the nominal carry path",
        remedy="carry higher",
        tasks=("pick_place", "stack"),
    ),
)
