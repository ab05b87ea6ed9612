"""The goal is perceived beside where it is, until a look after the release shows the truth."""

from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.faults.definition.fault import Effect, Fault, minus_severity, severity


def _fault(name: str, bias: Effect, side: str, opposite: str) -> Fault:
    return Fault(
        name=name,
        family="misalignment",
        fault_class=FaultClass.AVOIDABLE,
        cue="region",
        unit="m along y",
        ladder=(0.020, 0.030, 0.040, 0.050),
        default_severity=0.050,
        control_severity=0.005,
        effect={"goal_bias_y_m": bias},
        description=f"the goal is perceived too far to the {side}: the object is put down beside it",
        remedy="put it down on the other side of where the goal seems to be",
        opposite=opposite,
        tasks=("pick_place", "stack"),
    )


FAULTS = (
    _fault("goal_bias_plus", severity, "+y side", "goal_bias_minus"),
    _fault("goal_bias_minus", minus_severity, "-y side", "goal_bias_plus"),
)
