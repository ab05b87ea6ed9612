"""From a scenario file's entry to a fault: words, physical limits, and effects that would do nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from flow_rag_vla.tasks.catalogue.registry import get_task
from flow_rag_vla.tasks.contract import PHASES, FaultClass, Phase, UnknownNameError
from flow_rag_vla.tasks.facts.layout import LANE_CENTRES_X_M
from flow_rag_vla.tasks.facts.objects import get_object
from flow_rag_vla.tasks.faults.definition.fault import Fault, Trigger
from flow_rag_vla.tasks.faults.definition.parameters import HAZARD_FIELDS, MAX_LATENCY_STEPS
from flow_rag_vla.tasks.scenarios.scenario_schema import MAX_NUMBER

if TYPE_CHECKING:
    from flow_rag_vla.tasks.scenarios.scenario_schema import FaultEntry

EFFECT_FIELDS: tuple[str, ...] = tuple(name for name in HAZARD_FIELDS if not name.startswith("trigger_"))
"""What an effect may set; triggers have a key of their own."""

OBSTACLES: tuple[str, ...] = tuple(n for n in EFFECT_FIELDS if n.endswith(("_top_m", "_bottom_m", "_edge_m")))
"""An environment has one obstacle, so a fault may set one of these."""

_SIGNED: tuple[str, ...] = ("com_offset_m", "push_side_n", "wall_left_edge_m", "wall_right_edge_m")
_UPPER_LIMIT: dict[str, float] = {"latency_steps": MAX_LATENCY_STEPS, "speed_scale": 1.0, "grip_scale": 1.0}


def make_fault(entry: FaultEntry, place: str, known: Collection[str], mistakes: list[str]) -> Fault | None:
    """The fault that ``entry`` describes; None after adding its mistakes, one line each, to ``mistakes``.

    Args:
        entry: Checked by the schema.
        place: Where it stands in the file.
        known: Names of all faults, for ``opposite``.
        mistakes: Is added to.
    """
    found = [*_wrong_words(entry, known), *_wrong_effects(entry)]
    mistakes += [f"{place}.{line}" for line in found]
    if found:
        return None
    trigger = entry.trigger
    region = None if trigger.region_y_m is None else (trigger.region_y_m[0], trigger.region_y_m[1])
    try:
        fault = Fault(
            name=entry.name,
            family=entry.family,
            fault_class=FaultClass(entry.fault_class),
            cue=entry.cue,
            unit=entry.unit,
            ladder=tuple(entry.ladder),
            default_severity=entry.default,
            control_severity=entry.control,
            effect=entry.effect,
            description=entry.description,
            remedy=entry.remedy,
            trigger=Trigger(None if trigger.phase is None else Phase(trigger.phase), trigger.step, region),
            opposite=entry.opposite,
            tasks=tuple(get_task(name).slug for name in entry.tasks),
            objects=tuple(entry.objects),
            lanes=tuple(entry.lanes),
        )
        limits = [f"{place}.effect.{line}" for line in _beyond_limits(fault)]
    except ValueError as error:
        mistakes.append(f"{place}: {error}")
        return None
    mistakes += limits
    return None if limits else fault


def _wrong_words(entry: FaultEntry, known: Collection[str]) -> Iterable[str]:
    for key, names, get in (("tasks", entry.tasks, get_task), ("objects", entry.objects, get_object)):
        for i, name in enumerate(names):
            try:
                get(name)
            except UnknownNameError as error:
                yield f"{key}[{i}]: {error}"
    for i, lane in enumerate(entry.lanes):
        if lane not in range(len(LANE_CENTRES_X_M)):
            yield f"lanes[{i}]: lane {lane} does not exist; there are lanes 0 to {len(LANE_CENTRES_X_M) - 1}"
    if entry.opposite is not None and entry.opposite not in known:
        yield f"opposite: unknown fault {entry.opposite!r}; available: {', '.join(sorted(known))}"
    trigger = entry.trigger
    if trigger.phase is not None and trigger.phase not in PHASES:
        yield f"trigger.phase: unknown phase {trigger.phase!r}; available: {', '.join(PHASES)}"
    if trigger.region_y_m is not None and trigger.region_y_m[0] >= trigger.region_y_m[1]:
        yield f"trigger.region_y_m: got {trigger.region_y_m}, expected the lower end first"
    if entry.default not in entry.ladder:
        yield f"default: {entry.default} is not on the ladder {entry.ladder}"
    if entry.control in entry.ladder:
        yield f"control: {entry.control} is on the ladder, expected a harmless severity beside it"


def _wrong_effects(entry: FaultEntry) -> Iterable[str]:
    unknown = [name for name in entry.effect if name not in EFFECT_FIELDS]
    for name in unknown:
        yield f"effect: unknown hazard parameter {name!r}; available: {', '.join(EFFECT_FIELDS)}"
    if unknown:
        # What is missing beside a misspelt name is most likely that name.
        return
    obstacles = [name for name in entry.effect if name in OBSTACLES]
    if len(obstacles) > 1:
        yield f"effect: sets {' and '.join(obstacles)}, expected one obstacle at most"
    if {"push_force_n", "push_side_n"} & set(entry.effect) and "push_steps" not in entry.effect:
        yield "effect: a push without push_steps does nothing; set push_steps, the control steps that it lasts"
    if "push_steps" in entry.effect and not {"push_force_n", "push_side_n"} & set(entry.effect):
        yield "effect: push_steps without a push does nothing; set push_force_n or push_side_n"
    if not any(callable(effect) for effect in entry.effect.values()):
        yield "effect: no parameter depends on the severity, expected at least one"


def _beyond_limits(fault: Fault) -> Iterable[str]:
    """One line for each parameter that is physically impossible at some severity."""
    complained: set[str] = set()
    for severity in (*fault.ladder, fault.control_severity):
        values = fault.parameters(severity)
        for name in fault.effect:
            signed = name in _SIGNED or "bias" in name
            high = _UPPER_LIMIT.get(name, MAX_NUMBER)
            low = -MAX_NUMBER if signed else 0.0
            if name not in complained and not low <= values[name] <= high:
                complained.add(name)
                yield f"{name}: is {values[name]:g} at severity {severity:g}, expected {low:g} to {high:g}"
