"""The object is perceived beside where it lies: a camera that is out of calibration over part of the pick side."""

from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.faults.definition.fault import Effect, Fault, minus_severity, severity


def _fault(name: str, bias: Effect, side: str, opposite: str) -> Fault:
    return Fault(
        name=name,
        family="grasp",
        fault_class=FaultClass.AVOIDABLE,
        cue="region",
        unit="m along y",
        ladder=(0.010, 0.020, 0.030, 0.040),
        default_severity=0.040,
        control_severity=0.003,
        effect={"object_bias_y_m": bias},
        description=f"the object is perceived too far to the {side}: a finger lands on it or beside it",
        remedy="reach to the other side of where it seems to be",
        opposite=opposite,
    )


FAULTS = (
    _fault("pose_bias_plus", severity, "+y side", "pose_bias_minus"),
    _fault("pose_bias_minus", minus_severity, "-y side", "pose_bias_plus"),
)
