"""What a fault is: a trigger, an effect in physical units, and a severity ladder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from flow_rag_vla.tasks.contract import PHASES, FaultClass, Phase
from flow_rag_vla.tasks.faults.definition.parameters import check_parameters

GRAVITY_M_S2 = 9.81

FAMILIES: tuple[str, ...] = ("grasp", "collision", "drop", "misalignment", "timeout")
CUES: tuple[str, ...] = ("object", "region", "none")

type Effect = float | Callable[[float], float]
"""A number, or a function of the severity."""


def severity(value: float) -> float:
    """The effect that is the severity itself."""
    return value


def minus_severity(value: float) -> float:
    """The effect that is the severity with its sign turned."""
    return -value


@dataclass(frozen=True)
class Trigger:
    """When a passing effect (push, release, hold, slowness) begins: all conditions that are given must be met."""

    phase: Phase | None = None
    step: int | None = None
    """Not before this control step."""
    region_y_m: tuple[float, float] | None = None
    """Object in this stretch of the table.  By default the task's carry zone for pushes and releases, which need the
    object in the hand as well, and anywhere for holds and slowness."""

    def parameters(self) -> dict[str, float]:
        """As hazard parameters."""
        values: dict[str, float] = {}
        if self.phase is not None:
            values["trigger_phase"] = float(PHASES.index(self.phase))
        if self.step is not None:
            values["trigger_step"] = float(self.step)
        if self.region_y_m is not None:
            values["trigger_y_low_m"], values["trigger_y_high_m"] = self.region_y_m
        return values


@dataclass(frozen=True)
class Fault:
    """A scripted hazard: what a site ties it to, how it acts, and how severe it can be."""

    name: str
    family: str
    """The failure that it brings about: one of ``FAMILIES``."""
    fault_class: FaultClass
    cue: str
    """What announces it at a site: ``object`` (its colour) or ``region`` (its lane); ``none`` if nothing does."""
    unit: str
    ladder: tuple[float, ...]
    """Severities from mild to severe, in ``unit``."""
    default_severity: float
    control_severity: float
    """A harmless severity under the same cue, for control scenarios."""
    effect: Mapping[str, Effect]
    """Hazard parameter to its value."""
    description: str
    remedy: str
    """What avoids it, or what to do about it."""
    trigger: Trigger = field(default_factory=Trigger)
    opposite: str | None = None
    """The fault whose remedy is the opposite."""
    unopposed_in: tuple[str, ...] = ()
    """Short names of the tasks in which one constant habit nevertheless avoids both."""
    tasks: tuple[str, ...] = ()
    """Short names of the tasks that it makes sense in; empty for all."""
    objects: tuple[str, ...] = ()
    """Object models that it makes sense with; empty for all."""
    lanes: tuple[int, ...] = ()
    """Lanes in which its remedy is within reach; empty for all."""

    def __post_init__(self) -> None:
        """Check the words and the ladder."""
        if self.family not in FAMILIES:
            raise ValueError(f"fault {self.name}: family is {self.family!r}, expected one of {', '.join(FAMILIES)}")
        if self.cue not in CUES:
            raise ValueError(f"fault {self.name}: cue is {self.cue!r}, expected one of {', '.join(CUES)}")
        if (self.cue == "none") is (self.fault_class is FaultClass.AVOIDABLE):
            raise ValueError(f"fault {self.name}: avoidable faults need a cue, others have none; got {self.cue!r}")
        if self.default_severity not in self.ladder:
            raise ValueError(
                f"fault {self.name}: default severity {self.default_severity} is not on its ladder {self.ladder}"
            )
        if len(set(self.ladder)) != len(self.ladder):
            raise ValueError(f"fault {self.name}: its ladder {self.ladder} repeats a severity")
        self.parameters(self.default_severity)

    def parameters(self, at_severity: float) -> dict[str, float]:
        """Hazard parameters at ``at_severity``.

        Raises:
            UnknownNameError: an effect names no hazard parameter.
            ValueError: a value is not finite.
        """
        values = {name: effect(at_severity) if callable(effect) else effect for name, effect in self.effect.items()}
        return check_parameters({**values, **self.trigger.parameters()})

    def applies_to(self, task_slug: str) -> bool:
        """Whether the task with this short name offers the fault."""
        return not self.tasks or task_slug in self.tasks

    def objects_of(self, task_objects: tuple[str, ...]) -> tuple[str, ...]:
        """Those of a task's objects that it makes sense with."""
        return tuple(name for name in task_objects if not self.objects or name in self.objects)
