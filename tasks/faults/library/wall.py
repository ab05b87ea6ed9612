"""A wall across half of the carry path, too high to carry over, that the perception does not see.

Left and right are those of someone who looks along the carry, from the pick side: left is -x, towards the robot.  The
way round must be within reach, which leaves three lanes for either.  From 10 cm short of the path's middle on, the left
wall stands where the arm itself crosses it in the lane nearest to the robot, so that its ladder starts above that.
"""

from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.faults.definition.fault import Fault, severity


def _fault(
    name: str, parameter: str, other_way: str, opposite: str, lanes: tuple[int, ...], mildest: tuple[float, float]
) -> Fault:
    return Fault(
        name=name,
        family="collision",
        fault_class=FaultClass.AVOIDABLE,
        cue="region",
        unit="m beyond the middle of the path",
        ladder=(*mildest, -0.04, 0.02),
        default_severity=0.02,
        control_severity=-0.80,
        effect={parameter: severity},
        description=f"a wall reaches across the middle of the carry path; the way on the {other_way} is free",
        remedy=f"carry round it on the {other_way}",
        opposite=opposite,
        tasks=("pick_place", "stack", "bin_transport"),
        lanes=lanes,
    )


FAULTS = (
    _fault("wall_left", "wall_left_edge_m", "right", "wall_right", (0, 1, 2), (-0.08, -0.06)),
    _fault("wall_right", "wall_right_edge_m", "left", "wall_left", (2, 3, 4), (-0.12, -0.08)),
)
