"""A beam over the carry path that the perception does not see.

No opposite of the post, though it wants a lower carry and the post a higher one: the arm reaches under it from behind,
so that one end of it is open, and a high way round on that side clears both.
"""

from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.faults.definition.fault import Fault, severity

FAULTS = (
    Fault(
        name="beam",
        family="collision",
        fault_class=FaultClass.AVOIDABLE,
        cue="region",
        unit="m, underside above the table",
        ladder=(0.38, 0.37, 0.35, 0.325),
        default_severity=0.325,
        control_severity=0.60,
        effect={"beam_bottom_m": severity},
        description="a beam that the perception does not see hangs over the nominal carry path",
        remedy="carry lower",
        tasks=("pick_place",),
    ),
)
