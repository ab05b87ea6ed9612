"""The bin's near wall is higher than it looks."""

from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.faults.definition.fault import Fault, severity

FAULTS = (
    Fault(
        name="raised_rim",
        family="collision",
        fault_class=FaultClass.AVOIDABLE,
        cue="region",
        unit="m, top above the table",
        ladder=(0.15, 0.16, 0.18, 0.20),
        default_severity=0.20,
        control_severity=0.11,
        effect={"rim_top_m": severity},
        description="the near wall of the bin is higher than it looks: the carried object runs into its rim",
        remedy="carry higher",
        tasks=("bin_transport",),
    ),
)
